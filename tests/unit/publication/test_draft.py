from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.draft import build_draft, finish
from cxr_snapshot.publication.parts import Draft
from cxr_snapshot.store.objects import Store
from support.ledgers import FACTS, REPORT, parted, picture, small_ledger
from support.packs import pack

WHEN = "2026-11-23T03:00:00+00:00"


def draft(store: Store, previous: dict | None = None) -> Draft:
    return build_draft(
        store, *parted(small_ledger(store)), FACTS, previous=previous, folder="_work/runs/one", report=REPORT
    )


def finished(made: Draft) -> dict[str, bytes]:
    return finish(made, "2026-11-23", WHEN, "s3://bucket/p/2026-11-23/", None)


def publish_by_hand(store: Store, made: Draft) -> None:
    files = made.tables | finished(made)
    sums = {copy.target: copy.sha256 for copy in made.copies}
    sums |= {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    files[SUMS] = sums_bytes(sums)
    files[SUCCESS] = hashlib.sha256(files[SUMS]).hexdigest().encode() + b"\n"
    for name, body in files.items():
        store.put(f"2026-11-23/{name}", body)
    for copy in made.copies:
        store.copy(copy.source, f"2026-11-23/{copy.target}")


def test_a_draft_holds_every_file_of_the_layout(store: Store):
    made = draft(store)
    assert sorted(made.tables | finished(made)) == [
        "ATTRIBUTION.csv",
        "CHANGES.md",
        "README.md",
        "audit.html",
        "audit.json",
        "changes.json",
        "croissant.json",
        "data_dictionary.csv",
        "excluded.csv",
        "manifest.csv",
        "manifest.parquet",
        "preview.jpg",
        "snapshot.json",
    ]
    assert {copy.target.split("/")[0] for copy in made.copies} == {"images", "data"}


def test_nothing_but_class_folders_is_under_images_and_no_file_hides_the_labels(store: Store):
    made = draft(store)
    names = [copy.target for copy in made.copies] + list(made.tables) + list(finished(made))
    assert len(set(map(str.lower, names))) == len(names)
    assert {name.split("/")[1] for name in names if name.startswith("images/")} == {"COVID", "NORMAL", "PNEUMONIA"}
    assert not [name for name in names if "metadata." in name]


def test_every_copy_is_in_the_store_with_the_stated_size_and_hash(store: Store):
    for copy in draft(store).copies:
        body = store.get(copy.source)
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (copy.sha256, copy.size), copy.target


def test_a_rerun_gives_the_same_bytes_and_writes_nothing(store: Store):
    ledger = small_ledger(store)
    first = build_draft(store, *parted(ledger), FACTS, previous=None, folder="_work/runs/one", report=REPORT)
    before = store.list("")
    second = build_draft(store, *parted(ledger), FACTS, previous=None, folder="_work/runs/one", report=REPORT)
    assert store.list("") == before
    assert (second.digest, second.tables, second.copies) == (first.digest, first.tables, first.copies)
    assert finished(second) == finished(first)


def test_the_digest_sees_every_file(store: Store):
    made = draft(store)
    assert replace(made, copies=made.copies[:-1]).digest != made.digest
    assert replace(made, tables=made.tables | {"manifest.csv": b""}).digest != made.digest
    assert replace(made, preview=made.preview | {"COVID": []}).digest != made.digest
    assert replace(made, facts=made.facts | {"counts": {}}).digest != made.digest


def test_snapshot_json_records_how_the_pictures_were_made_and_what_is_in_which_split(store: Store):
    made = draft(store)
    snapshot = json.loads(finished(made)["snapshot.json"])
    assert (snapshot["version"], snapshot["created"], snapshot["previous"]) == ("2026-11-23", WHEN, None)
    assert snapshot["pictures"]["width"] == 224
    assert snapshot["splits"]["test"] == {"COVID": 1, "NORMAL": 1, "PNEUMONIA": 0}
    assert snapshot["manifest_sha256"] == hashlib.sha256(made.tables["manifest.csv"]).hexdigest()


def test_only_what_is_generated_says_what_it_is(store: Store):
    parts, report = parted(small_ledger(store)), REPORT
    facts = FACTS | {"synthetic": True}
    made = finished(build_draft(store, *parts, facts, previous=None, folder="_work/runs/one", report=report))
    assert json.loads(made["snapshot.json"])["synthetic"] is True
    real = finished(draft(store))
    assert "synthetic" not in json.loads(real["snapshot.json"])
    for name in ("README.md", "CHANGES.md", "croissant.json"):
        assert SYNTHETIC in made[name].decode(), name
        assert SYNTHETIC not in real[name].decode(), name
    assert made["preview.jpg"] != real["preview.jpg"]


def test_croissant_describes_the_tables_and_shards_by_their_checksums(store: Store):
    made = draft(store)
    described = {
        item["contentUrl"]: item["sha256"]
        for item in json.loads(finished(made)["croissant.json"])["distribution"]
        if "sha256" in item
    }
    small = made.tables | {"preview.jpg": finished(made)["preview.jpg"]}
    expected = {name: hashlib.sha256(body).hexdigest() for name, body in small.items()}
    expected |= {copy.target: copy.sha256 for copy in made.copies if copy.target.startswith("data/")}
    assert described == expected


def test_changes_are_told_against_the_tables_of_the_previous_snapshot(store: Store):
    first = draft(store)
    publish_by_hand(store, first)
    previous = json.loads(finished(first)["snapshot.json"])
    ledger = small_ledger(store)
    ledger.loc[ledger["rule"].eq("not_drawn"), ["rule", "reason", "evidence"]] = None
    second = build_draft(store, *parted(ledger), FACTS, previous=previous, folder="_work/runs/two", report=REPORT)
    changes = json.loads(second.tables["changes.json"])
    assert changes["previous"] == "2026-11-23"
    assert [entry["reason"] for entry in changes["added"]] == ["was excluded as not_drawn"]
    assert finished(second)["CHANGES.md"].decode().startswith("# Changes in 2026-11-23\n\nCompared with 2026-11-23.")


@pytest.mark.parametrize(("recipe", "used"), [(SMALL.recipe, True), ("224.3", False)])
def test_pictures_come_out_of_earlier_shards_only_if_they_were_made_alike(store: Store, recipe: str, used: bool):
    sha256s = parted(small_ledger(store))[0]["sha256"]
    names = pack(store, "_work/runs/one", dict.fromkeys(sha256s, picture(99)))  # of none of the images
    first = draft(store)
    publish_by_hand(store, first)
    store.delete(names)
    previous = json.loads(finished(first)["snapshot.json"])
    previous["pictures"]["recipe"] = recipe
    assert (shards_of(draft(store, previous)) == shards_of(first)) is used


def shards_of(made: Draft) -> list[str]:
    return [copy.sha256 for copy in made.copies if copy.target.startswith("data/")]
