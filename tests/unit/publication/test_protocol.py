"""The publish protocol, one property at a time. Kills and races are in files of their own."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.errors import LostBlobError, PublishConflictError, StorageError, VerificationError
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.publication.checksums import SUCCESS, SUMS
from cxr_snapshot.publication.draft import SCHEMA_VERSION
from cxr_snapshot.publication.parts import Copy, Draft
from cxr_snapshot.publication.protocol import CLAIM_LIFETIME, publish
from cxr_snapshot.publication.verification import SAMPLE, draw_sample, verify
from cxr_snapshot.publication.versions import move_latest, newest_version, read_latest, read_pointer
from cxr_snapshot.settings import Settings
from cxr_snapshot.store.conditional import PROBE
from cxr_snapshot.store.encoding import csv_bytes, json_bytes, parquet_bytes
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed
from cxr_snapshot.tables import CLASSES, MANIFEST_SCHEMA, conform
from support.damage import DAMAGES, flip
from support.ledgers import AUDIT
from support.s3_proxy import S3Proxy
from support.stores import client_of, store_in

DAY, CREATED = "2026-11-23", "2026-11-23T03:00:00+00:00"


def make_draft(store: Store, text: str, images: int = 6) -> Draft:
    """Return a draft whose blobs are in the store; another ``text`` gives another content."""
    rows, copies = [], []
    for number in range(images):
        body = f"{text} {number:04d}".encode()
        sha256 = hashlib.sha256(body).hexdigest()
        store.put(blob_name(sha256), body)
        file = f"images/COVID/{number:04d}.png"
        same = {"source": "covid", "class": "COVID", "format": "PNG", "bytes": len(body)}
        rows.append({"file": file, "sha256": sha256, "source_sha256": sha256, **same})
        copies.append(Copy(blob_name(sha256), file, sha256, len(body)))
    manifest = conform(pd.DataFrame(rows), MANIFEST_SCHEMA)
    tables = {"manifest.csv": csv_bytes(manifest), "manifest.parquet": parquet_bytes(manifest, MANIFEST_SCHEMA)}
    zero = dict.fromkeys(CLASSES, 0)
    facts: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "content_digest": text, "manifest_sha256": text}
    facts |= {"revisions": {"covid": "a" * 40, "pneumonia": "2"}, "fingerprint": text, "code_version": "test"}
    facts |= {
        "settings": Settings(bucket="any").selection(),
        "pictures": SMALL.description,
        "counts": zero,
        "candidates": zero,
        "excluded": {},
        "splits": {"train": zero},
        "audit": AUDIT,
        "overrides": [],
    }
    return Draft(manifest, tuple(copies), tables, facts, "None.\n", {name: [] for name in CLASSES})


@pytest.fixture
def draft(store: Store) -> Draft:
    return make_draft(store, "first")


def release(store: Store, draft: Draft, date: str, created: str, previous: str | None) -> dict[str, Any]:
    """Publish, verify and move the pointer, as a run does."""
    snapshot = publish(store, draft, date, created, previous)
    verify(store, snapshot["version"])
    move_latest(store, snapshot["version"])
    return snapshot


class TestVersions:
    def test_one_for_each_content_of_a_day(self, store, draft):
        first = release(store, draft, DAY, CREATED, None)
        second = release(store, make_draft(store, "second"), DAY, CREATED, DAY)
        third = release(store, draft, DAY, CREATED, "2026-11-23.1")
        versions = [item["version"] for item in (first, second, third)]
        assert versions == [DAY, "2026-11-23.1", "2026-11-23.2"]
        assert read_latest(store)[0] == third
        for version in versions:
            verify(store, version)

    def test_the_same_twice_changes_nothing(self, store, draft):
        first = publish(store, draft, DAY, CREATED, None)
        before = store.list("")
        assert publish(store, draft, DAY, "2026-11-23T09:00:00+00:00", None) == first
        assert store.list("") | {PROBE: None} == before | {PROBE: None}

    def test_latest_never_moves_back(self, store, draft):
        newest = release(store, draft, DAY, CREATED, None)
        older = release(store, make_draft(store, "older"), "2026-11-20", CREATED, None)
        assert older["version"] == "2026-11-20"
        assert read_latest(store)[0] == newest

    def test_a_draft_that_was_compared_with_an_older_snapshot(self, store, draft):
        publish(store, draft, DAY, CREATED, None)
        with pytest.raises(PublishConflictError, match=r"2026-11-23 was published since this run compared .* nothing"):
            publish(store, make_draft(store, "late"), DAY, CREATED, None)


class OldClaims(Store):
    """A store in which every object is older than a claim lives."""

    def age(self, name: str) -> float | None:
        return None if super().age(name) is None else CLAIM_LIFETIME + 1


def put_claim(store: Store, digest: str) -> None:
    claim = {"digest": digest, "created": CREATED, "previous": None}
    put_sealed(store, f"_work/claims/{DAY}.json", json_bytes(claim))


class TestClaims:
    def test_of_another_publisher_at_work(self, store, draft):
        put_claim(store, "other")
        with pytest.raises(PublishConflictError, match=r"is publishing other content as s3://\S+/2026-11-23/ since \d"):
            publish(store, draft, DAY, CREATED, None)
        assert store.folders() == ("_work",)
        assert read_pointer(store) == (None, None)

    def test_of_a_dead_publisher_keeps_its_name(self, store, draft):
        put_claim(store, "other")
        store.put(f"{DAY}/manifest.csv", b"begun")
        patient = store_in(store.client, store.bucket, store.prefix, OldClaims)
        assert publish(patient, draft, DAY, CREATED, None)["version"] == "2026-11-23.1"
        assert store.get(f"{DAY}/manifest.csv") == b"begun"
        verify(store, "2026-11-23.1")

    def test_work_that_was_begun_is_continued_with_its_own_time(self, store, draft):
        whole = publish(store, draft, DAY, CREATED, None)
        wanted = {name: item.etag for name, item in store.list(f"{DAY}/").items()}
        store.delete([f"{DAY}/_SUCCESS", f"{DAY}/{draft.copies[0].target}"])
        store.put(f"{DAY}/{draft.copies[1].target}", b"X" * draft.copies[1].size)
        store.put(f"{DAY}/manifest.csv", b"X" * len(draft.tables["manifest.csv"]))
        with S3Proxy(store.client.meta.endpoint_url) as proxy:
            shown = store_in(client_of(proxy.url), store.bucket, store.prefix)
            assert publish(shown, draft, DAY, "2026-11-23T09:00:00+00:00", None) == whole
            written = {
                r.key.removeprefix(f"{store.prefix}/") for r in proxy.requests if r.method == "PUT" and r.status == 200
            } - {PROBE}
        targets = {f"{DAY}/{copy.target}" for copy in draft.copies[:2]}
        assert written == targets | {f"{DAY}/manifest.csv", f"{DAY}/_SUCCESS"}
        assert {name: item.etag for name, item in store.list(f"{DAY}/").items()} == wanted

    def test_of_which_nothing_can_be_read_counts_as_that_of_other_content(self, store, draft):
        release(store, draft, DAY, CREATED, None)
        for version, content in (("2026-11-23.1", "second"), ("2026-11-23.2", "third")):
            flip(store, f"_work/claims/{DAY}.json")
            previous = newest_version(store, DAY)
            assert release(store, make_draft(store, content), DAY, CREATED, previous)["version"] == version
        verify(store, DAY, all_images=True)

    def test_that_are_gone_give_no_name_away(self, store, draft, caplog):
        release(store, draft, DAY, CREATED, None)
        store.delete([f"_work/claims/{DAY}.json"])
        with caplog.at_level(logging.WARNING):
            second = release(store, make_draft(store, "second"), DAY, CREATED, DAY)
        assert second["version"] == "2026-11-23.1"
        assert f"{DAY}/ holds objects, but nobody reserved this name" in caplog.text
        assert store.get_json(f"{DAY}/snapshot.json")["content_digest"] == "first"

    def test_leave_a_folder_with_a_stray_object_alone(self, store, draft):
        store.put(f"{DAY}/stray.txt", b"of somebody")
        assert release(store, draft, DAY, CREATED, None)["version"] == "2026-11-23.1"
        verify(store, "2026-11-23.1", all_images=True)


class Interfered(Store):
    """A store in which somebody does something as soon as an object is written."""

    def __init__(self, store: Store, when: str, harm: Callable[[], None]) -> None:
        super().__init__(store.client, store.bucket, store.prefix, conditional_writes=store.conditional_writes)
        self.when, self.harm = when, [harm]

    def put(self, name: str, body: bytes, **others: Any) -> None:
        super().put(name, body, **others)
        if name == self.when and self.harm:
            self.harm.pop()()


class TestReadingBack:
    """Before ``_SUCCESS``."""

    LAST = f"{DAY}/{SUMS}"  # of the small files

    @pytest.mark.parametrize("damage", ["flipped", "truncated"])
    @pytest.mark.parametrize("name", ["images/COVID/0003.png", "manifest.csv", "snapshot.json"])
    def test_what_is_wrong_is_written_again(self, store, draft, damage, name, caplog):
        shown = Interfered(store, self.LAST, lambda: DAMAGES[damage](store, f"{DAY}/{name}"))
        with caplog.at_level(logging.WARNING):
            publish(shown, draft, DAY, CREATED, None)
        assert not shown.harm
        assert f"{name} is not what was to be written; it is written again" in caplog.text
        verify(store, DAY, all_images=True)

    def test_a_damaged_blob_is_named_and_once_it_is_mended_the_work_goes_on(self, store, draft):
        image = draft.copies[2]
        body = store.get(image.source)
        flip(store, image.source)
        with pytest.raises(LostBlobError, match=f"{image.sha256} is missing or damaged"):
            publish(store, draft, DAY, CREATED, None)
        assert not store.exists(f"{DAY}/{SUCCESS}")
        store.put(image.source, body)
        release(store, draft, DAY, CREATED, None)
        verify(store, DAY, all_images=True)

    def test_trusted_images_are_not_read_but_where_an_earlier_try_is_continued(self, store, draft):
        image = draft.copies[2]
        flip(store, image.source)
        publish(store, draft, DAY, CREATED, None, trusted={image.sha256})
        store.delete([f"{DAY}/{SUCCESS}"])
        with pytest.raises(LostBlobError, match=f"{image.sha256} is missing or damaged"):
            publish(store, draft, DAY, CREATED, None, trusted={image.sha256})

    def test_a_stray_object_stops_it(self, store, draft):
        shown = Interfered(store, self.LAST, lambda: store.put(f"{DAY}/stray.txt", b""))
        with pytest.raises(VerificationError, match=r"1 objects of \S+ belong to no snapshot, such as .*stray\.txt"):
            publish(shown, draft, DAY, CREATED, None)
        store.delete([f"{DAY}/stray.txt"])  # as the error says
        release(store, draft, DAY, CREATED, None)


@pytest.mark.parametrize("name", ["_work/claims/2026-11-23.json", "2026-11-23/_SUCCESS", "latest.json"])
def test_a_lost_answer_to_a_conditional_write_is_read_back(store: Store, draft: Draft, name: str) -> None:
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        key, lost = store.key(name), iter(["lost"])
        proxy.faults = lambda request: next(lost, None) if (request.method, request.key) == ("PUT", key) else None
        shown = store_in(client_of(proxy.url), store.bucket, store.prefix)
        snapshot = release(shown, draft, DAY, CREATED, None)
        puts = [(r.fault, r.status) for r in proxy.requests if (r.method, r.key) == ("PUT", key)]
    assert puts == [("lost", 200), (None, 412)]
    assert read_latest(store)[0] == snapshot
    verify(store, DAY)


class Ignorant(Store):
    """A store that overwrites whatever the condition, as some do."""

    ignores = "only_if_absent"

    def put(self, name: str, body: bytes, **conditions: Any) -> None:
        conditions.pop(self.ignores, None)
        super().put(name, body, **conditions)


class TestStoresWithoutConditionalWrites:
    @pytest.mark.parametrize(("ignores", "header"), [("only_if_absent", "If-None-Match"), ("only_if_etag", "If-Match")])
    def test_are_found_out(self, store, draft, ignores, header):
        ignorant = Ignorant(store.client, store.bucket, store.prefix)
        ignorant.ignores = ignores
        with pytest.raises(StorageError, match=f"ignored {header} .* CXR_CONDITIONAL_WRITES=unavailable"):
            publish(ignorant, draft, DAY, CREATED, None)
        assert store.folders() == ("_work",)

    def test_work_when_the_setting_says_so(self, store, draft, caplog):
        plain = Store(store.client, store.bucket, store.prefix, conditional_writes=False)
        with caplog.at_level(logging.WARNING):
            release(plain, draft, DAY, CREATED, None)
        assert "Let only one run work" in caplog.text
        assert release(plain, make_draft(store, "second"), DAY, CREATED, DAY)["version"] == "2026-11-23.1"
        assert read_pointer(store)[0] == "2026-11-23.1"
        verify(store, DAY)
        verify(store, "2026-11-23.1")


class TestVerification:
    def test_counts(self, store):
        publish(store, make_draft(store, "many", images=SAMPLE + 8), DAY, CREATED, None)
        objects = len(store.list(f"{DAY}/"))
        tables = objects - SAMPLE - 8 - 2
        assert verify(store, DAY)["read_back"] == SAMPLE + tables
        found = verify(store, DAY, all_images=True)
        assert found["read_back"] == SAMPLE + 8 + tables
        assert found["objects"] == objects
        assert found["bytes"] == sum(item.size for item in store.list(f"{DAY}/").values())

    def test_what_is_wrong_is_named(self, store, draft):
        publish(store, draft, DAY, CREATED, None)
        image, size = draft.copies[0].target, draft.copies[0].size
        for name, body, words in (
            (image, b"X" * size, f"{image} is not what SHA256SUMS says"),
            (image, b"X", f"{image} has 1 bytes, not {size} bytes"),
            ("manifest.csv", b"X", "manifest.csv is not what SHA256SUMS says"),
            ("README.md", b"X", "README.md is not what SHA256SUMS says"),
            ("more.txt", b"X", "1 files not in SHA256SUMS, such as more.txt"),
            ("SHA256SUMS", b"X", "SHA256SUMS is not what _SUCCESS says"),
            (image, None, f"1 files missing, such as {image}"),
            ("_SUCCESS", None, "_SUCCESS is missing, so this is no snapshot"),
        ):
            target = f"{DAY}/{name}"
            before = store.get(target) if store.exists(target) else None
            store.put(target, body) if body is not None else store.delete([target])
            with pytest.raises(VerificationError, match=words):
                verify(store, DAY)
            store.put(target, before) if before is not None else store.delete([target])
        verify(store, DAY)

    @pytest.mark.parametrize(
        ("column", "value", "words"),
        [
            ("file", "images/COVID/0000.png", "has 6 rows for 5 files under images/, look at images/COVID/0000.png"),
            ("file", "images/COVID/0000.PNG", "images/COVID/0000.PNG and images/COVID/0000.png differ only in case"),
            ("file", "other/0001.png", "has 6 rows for 5 files under images/, look at other/0001.png"),
            ("file", None, "has 6 rows for 6 files under images/, look at"),
            (
                "sha256",
                "0" * 64,
                "1 rows of the manifest have another SHA-256 than SHA256SUMS, such as images/COVID/0001",
            ),
            ("sha256", None, "1 rows of the manifest have another SHA-256 than SHA256SUMS, such as images/COVID/0001"),
            ("bytes", None, "images/COVID/0001.png has 10 bytes, not -1 bytes"),
        ],
    )
    def test_each_row_has_a_file_of_its_own(self, store, draft, column, value, words):
        manifest = draft.manifest.copy()
        manifest.loc[1, column] = value
        tables = draft.tables | {"manifest.parquet": parquet_bytes(manifest, MANIFEST_SCHEMA)}
        files = manifest["file"].fillna("images/COVID/0001.png")  # a file goes where its row says
        copies = [replace(copy, target=str(file)) for copy, file in zip(draft.copies, files, strict=True)]
        publish(store, replace(draft, tables=tables, copies=tuple(copies)), DAY, CREATED, None)
        for all_images in (False, True):
            with pytest.raises(VerificationError, match=words):
                verify(store, DAY, all_images=all_images)

    def test_a_file_without_row(self, store, draft):
        more = replace(draft.copies[0], target="images/COVID/more.png")
        publish(store, replace(draft, copies=(*draft.copies, more)), DAY, CREATED, None)
        with pytest.raises(VerificationError, match="has 6 rows for 7 files under images/, look at images/COVID/more"):
            verify(store, DAY)

    def test_an_image_outside_of_the_sample_is_read_back_only_when_all_are(self, store):
        draft = make_draft(store, "many", images=SAMPLE + 1)
        publish(store, draft, DAY, CREATED, None)
        sample = draw_sample(DAY, [copy.target for copy in draft.copies])
        [last] = [copy for copy in draft.copies if copy.target not in sample]
        store.put(f"{DAY}/{last.target}", b"X" * last.size)
        verify(store, DAY)
        with pytest.raises(VerificationError, match=last.target):
            verify(store, DAY, all_images=True)


def test_equal_drafts_have_equal_digests(store: Store, draft: Draft) -> None:
    assert make_draft(store, "first").digest == draft.digest
    assert make_draft(store, "second").digest != draft.digest
    assert replace(draft, copies=draft.copies[1:]).digest != draft.digest
