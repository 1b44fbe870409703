"""The store against a real S3 server, with a proxy between them that fails on order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config

from cxr_snapshot.errors import MissingObjectError, SettingsError, StorageError, StorageUnavailableError
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.settings import Settings
from cxr_snapshot.store.client import open_store, read_time
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from support.requests_made import requests_to
from support.s3_proxy import FAULTS, RandomFaults, S3Proxy, S3Request
from support.stages import EARLIER, run_stages
from support.stores import client_of, store_in
from support.upstreams import ServedUpstream

BODY = bytes(range(256)) * 1024


@pytest.fixture
def proxy(store: Store) -> Iterator[S3Proxy]:
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def shaky(store: Store, proxy: S3Proxy) -> Store:
    """The same bucket, seen through the proxy."""
    return store_in(client_of(proxy.url), store.bucket, store.prefix)


def fail(proxy: S3Proxy, *faults: str | None) -> None:
    """Let the next requests have these faults, in order, and later ones none."""
    script = iter(faults)
    proxy.faults = lambda _: next(script, None)


class TestReading:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_fault_that_passes_is_not_noticed(self, store, shaky, proxy, fault, tmp_path):
        store.put("a", BODY)
        fail(proxy, fault)
        assert shaky.get("a") == BODY
        fail(proxy, fault)
        assert shaky.sha256("a") == hashlib.sha256(BODY).hexdigest()
        fail(proxy, fault)
        assert shaky.save("a", tmp_path / "a") == hashlib.sha256(BODY).hexdigest()
        assert (tmp_path / "a").read_bytes() == BODY
        assert [request.fault for request in proxy.requests].count(fault) == 3

    def test_a_404_is_believed_at_once_when_the_listing_agrees(self, shaky, proxy):
        with pytest.raises(MissingObjectError, match=r"s3://\S+/covid-cxr/a does not exist"):
            shaky.get("a")
        assert [request.method for request in proxy.requests] == ["GET", "GET"]
        assert shaky.get_json("a") is None
        assert shaky.age("a") is None

    def test_a_404_that_lasts_although_the_object_is_listed(self, store, shaky, proxy):
        store.put("a", BODY)
        proxy.faults = lambda request: "404" if request.key else None
        with pytest.raises(StorageUnavailableError, match="is in the store's listing, but"):
            shaky.get("a")

    def test_a_body_that_always_breaks_off(self, store, shaky, proxy):
        store.put("a", BODY)
        proxy.faults = lambda _: "cut"
        with pytest.raises(StorageUnavailableError, match=r"could not read s3://\S+/a: .*Check that the store runs"):
            shaky.get("a")


class TestWriting:
    @pytest.mark.parametrize("fault", ["503", "500", "reset", "lost"])
    def test_a_fault_that_passes_is_not_noticed(self, store, shaky, proxy, fault):
        fail(proxy, fault)
        shaky.put("a", BODY)
        fail(proxy, fault)
        shaky.copy("a", "b")
        fail(proxy, fault)
        shaky.delete(["a"])
        assert store.get("b") == BODY
        assert not store.exists("a")

    def test_the_source_of_a_copy_that_seems_missing_for_a_moment(self, store, shaky, proxy):
        store.put("a", BODY)
        fail(proxy, "404")
        shaky.copy("a", "b")
        assert store.get("b") == BODY

    def test_the_source_of_a_copy_that_is_missing(self, shaky):
        with pytest.raises(MissingObjectError, match="/a does not exist"):
            shaky.copy("a", "b")

    def test_damaged_bytes_are_refused(self, store):
        with pytest.raises(StorageError, match="could not write"):
            store.put("a", BODY, sha256="0" * 64)
        assert not store.exists("a")

    @pytest.mark.parametrize("conditional", [True, False])
    def test_conditions(self, store, conditional):
        store = Store(store.client, store.bucket, store.prefix, conditional_writes=conditional)
        with pytest.raises(PreconditionFailedError):
            store.put("a", b"2", only_if_etag='"0123"')
        store.put("a", b"1", only_if_absent=True)
        with pytest.raises(PreconditionFailedError):
            store.put("a", b"2", only_if_absent=True)
        found = store.fetch("a")
        assert found.body == b"1"
        store.put("a", b"2", only_if_etag=found.etag)
        with pytest.raises(PreconditionFailedError):
            store.put("a", b"3", only_if_etag=found.etag)
        assert store.get("a") == b"2"

    def test_without_conditional_writes_no_condition_is_sent(self, store, proxy):
        headers: list[str] = []
        client = client_of(proxy.url)
        client.meta.events.register("before-send.s3", lambda request, **_: headers.extend(map(str, request.headers)))
        Store(client, store.bucket, store.prefix, conditional_writes=False).put("a", b"1", only_if_absent=True)
        assert headers
        assert not [name for name in headers if name.lower().startswith("if-")]


class TestListing:
    def test_folders_existence_and_deletion_of_many(self, store):
        names = [f"2026-11-23/{number}" for number in range(1005)] + ["_work/a", "latest.json"]
        for _ in bounded_map(lambda name: store.put(name, b""), names):
            pass
        assert store.folders() == ("2026-11-23", "_work")
        assert len(store.list("2026-11-23/")) == 1005
        assert store.exists("latest.json")
        assert not store.exists("latest")
        store.delete(names[:1005])
        assert list(store.list("")) == ["_work/a", "latest.json"]

    def test_an_empty_prefix(self, store):
        root = store_in(store.client, store.bucket, "")
        root.put("2026-11-23/a", b"a")
        assert root.folders() == ("2026-11-23",)
        assert list(root.list("")) == ["2026-11-23/a"]
        assert root.uri("a") == f"s3://{store.bucket}/a"


class TestErrors:
    def test_no_bucket(self, store):
        with pytest.raises(
            StorageError, match=r"bucket nowhere-to-be-found does not exist\. Create it or set CXR_BUCKET"
        ):
            Store(store.client, "nowhere-to-be-found", "").put("a", b"")

    def test_nobody_answers(self):
        quick = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url="http://127.0.0.1:9", config=quick, **keys)
        with pytest.raises(StorageUnavailableError, match="Check that the store runs and AWS_ENDPOINT_URL_S3 names it"):
            Store(client, "bucket", "").get("a")

    def test_settings_decide_on_conditional_writes(self, store):
        for choice, expected in (("required", True), ("unavailable", False)):
            settings = Settings.load({"bucket": store.bucket, "conditional_writes": choice}, environ={})
            assert open_store(settings, store.client).conditional_writes is expected
        with pytest.raises(SettingsError, match="one of required, unavailable"):
            Settings.load({"bucket": store.bucket, "conditional_writes": "maybe"}, environ={})


def test_every_fifth_request_fails(
    first_state: Store,
    sample: ServedUpstream,
    store: Store,
    proxy: S3Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm, _ = read_latest(first_state)
    assert calm is not None

    # The pauses of boto3 and of the store between two tries add up to a minute.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: None))
    proxy.faults = RandomFaults(seed=5, share=0.2)
    shaky = store_in(client_of(proxy.url), store.bucket, store.prefix)
    pipeline = sample.pipeline(shaky, tmp_path / "shaky", verify="all")
    snapshot = run_stages(pipeline, *EARLIER).snapshot
    assert snapshot is not None

    done = [request.fault for request in proxy.requests]
    assert set(FAULTS) <= set(done)
    assert 0.15 < sum(fault is not None for fault in done) / len(done) < 0.25
    ours, theirs = _contents(store), _contents(first_state)
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} <= _naming_the_bucket(calm["version"])


def _contents(store: Store) -> dict[str, str]:
    return {name: item.etag for name, item in store.list("").items()}


def _naming_the_bucket(version: str) -> set[str]:
    """Return the names of objects that hold the snapshot's address, or a checksum of such."""
    files = ("snapshot.json", "README.md", "croissant.json", "CHANGES.md", "SHA256SUMS", "_SUCCESS")
    return {"latest.json", "index.json", *(f"{version}/{name}" for name in files)}


def test_the_faults_of_the_proxy_depend_on_seed_and_request_only() -> None:
    requests = [S3Request("PUT", "bucket", f"key-{number % 50}", {}, None, 1) for number in range(200)]
    first, second = RandomFaults(1, 0.2), RandomFaults(1, 0.2)
    assert sorted(map(str, map(first, requests))) == sorted(map(str, map(second, reversed(requests))))
    assert [RandomFaults(2, 0.2)(request) for request in requests] != [RandomFaults(1, 0.2)(r) for r in requests]


@pytest.mark.parametrize("text", ["2026-11-24T21:46:44.000Z", "Tue, 24 Nov 2026 21:46:44 GMT", "20261124T214644Z"])
def test_times_of_listings_headers_and_stranger_ones_are_read(text: str) -> None:
    assert read_time(text) == datetime(2026, 11, 24, 21, 46, 44, tzinfo=UTC)


@pytest.mark.parametrize(("size", "asks"), [(0, False), (2 * 1024**2 - 1, False), (2 * 1024**2, True)])
def test_only_large_bodies_are_announced(store: Store, size: int, asks: bool) -> None:
    with requests_to(store) as sent:
        store.put("a", bytes(size))
        assert store.get("a") == bytes(size)
    assert ["Expect" in request.headers for request in sent] == [asks, False]


class TestEditions:
    def test_an_edition_has_its_own_place_and_shares_the_work(self, store):
        adults = store.edition("adults")
        for name, place in {
            "latest.json": "editions/adults/latest.json",
            "2026-11-23/manifest.csv": "editions/adults/2026-11-23/manifest.csv",
            "_work/claims/2026-11-23.json": "_work/editions/adults/claims/2026-11-23.json",
            "_work/seen/2026-11-23.json": "_work/editions/adults/seen/2026-11-23.json",
            "_work/examples/224.4.parquet": "_work/editions/adults/examples/224.4.parquet",
            "_work/readings.parquet": "_work/editions/adults/readings.parquet",
            "_work/blobs/sha256/ab/ab": "_work/blobs/sha256/ab/ab",
            "_work/runs/one/ledger.parquet": "_work/runs/one/ledger.parquet",
        }.items():
            adults.put(name, name.encode())
            assert adults.uri(name) == store.uri(place)
            assert store.get(place) == adults.get(name) == name.encode()
            assert list(adults.list(name)) == [name]
            assert adults.exists(name)
            assert store.exists(name) is (name == place), "the default edition's own is not touched"
        adults.copy("_work/blobs/sha256/ab/ab", "2026-11-23/images/a.png")
        assert set(adults.list("2026-11-23/")) == {"2026-11-23/manifest.csv", "2026-11-23/images/a.png"}
        assert (store.folders(), adults.folders()) == (("_work", "editions"), ("2026-11-23",))
        adults.delete(["2026-11-23/manifest.csv", "_work/seen/2026-11-23.json"])
        assert set(adults.list("")) == {"2026-11-23/images/a.png", "latest.json"}
        assert not store.list("_work/editions/adults/seen/")

    def test_damage_is_counted_once_for_all(self, store):
        adults = store.edition("adults")
        adults.damaged.append("x")
        assert store.damaged == ["x"]

    def test_the_default_edition_is_the_store_itself(self, store):
        again = store.edition("adults").edition("default")
        assert again.key("2026-11-23/a") == store.key("2026-11-23/a")
        assert again.key("_work/claims/a.json") == store.key("_work/claims/a.json")

    def test_those_that_have_objects_are_listed(self, store):
        assert store.editions() == ("default",)
        store.put("editions/No name/a", b"")
        for name in ("b", "a"):
            store.edition(name).put("latest.json", b"{}")
        assert store.editions() == store.edition("b").editions() == ("default", "a", "b")

    @pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "..", "a" * 32])
    def test_names_that_lead_elsewhere_are_refused(self, store, name):
        with pytest.raises(SettingsError, match="is no name of an edition"):
            store.edition(name)


def test_a_part_of_an_object_is_read_and_only_of_the_object_that_is_meant(store):
    store.put("a", BODY)
    etag = store.list("a")["a"].etag
    assert store.get_range("a", 1000, 50, etag) == BODY[1000:1050]
    assert store.get_range("a", len(BODY) - 3, 3, etag) == BODY[-3:]
    with pytest.raises(StorageError, match="the store answered bytes="):
        store.get_range("a", len(BODY) - 3, 4, etag)
    store.put("a", BODY + b"x")
    with pytest.raises(StorageUnavailableError, match="changed while it was read"):
        store.get_range("a", 0, 5, etag)
    with pytest.raises(MissingObjectError):
        store.get_range("b", 0, 5, etag)


@pytest.mark.parametrize("fault", ["cut", "503", "reset", "404"])
def test_a_part_is_asked_for_again_where_it_breaks_off(store, shaky, proxy, fault):
    store.put("a", BODY)
    etag = store.list("a")["a"].etag
    fail(proxy, fault)
    assert shaky.get_range("a", 5, 100_000, etag) == BODY[5:100_005]


def test_what_reads_piece_by_piece_begins_anew_where_a_body_breaks_off(store, shaky, proxy):
    store.put("a", BODY)
    fail(proxy, "cut")
    begun = []

    def take(body):
        begun.append(body)
        return b"".join(body.iter_chunks(1000))

    assert shaky.read("a", take) == BODY
    assert len(begun) == 2


def test_an_object_is_passed_on_in_pieces(store):
    store.put("a", BODY * 4)
    size, pieces = store.pieces("a")
    found = list(pieces)
    assert size == len(BODY) * 4
    assert b"".join(found) == BODY * 4
    assert len(found) == 4
    with pytest.raises(MissingObjectError):
        store.pieces("b")


def test_files_are_those_of_a_folder_alone(store):
    for name in ("a/1", "a/2", "a/b/3", "a/b/c/4", "ab/5"):
        store.put(name, b"x")
    assert set(store.files("a/")) == {"a/1", "a/2"}
    assert store.files("a/") == {name: store.list("a/")[name] for name in ("a/1", "a/2")}
    assert store.files("none/") == {}
