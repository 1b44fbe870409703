"""Bringing files into the store, from a source that is a list in memory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Container, Iterator

import pandas as pd
import pytest

from cxr_snapshot.errors import RateLimitedError, StorageError
from cxr_snapshot.ingestion.ingest import ingest, load_inventory
from cxr_snapshot.sources.base import Listing, Revision, UpstreamFile
from cxr_snapshot.store.objects import Store, blob_name
from support.damage import DAMAGES


class ListSource:
    """Gives the files that it was made with, and remembers which ones it was asked to fetch."""

    name = "covid"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.contents = files
        self.fetched: list[str] = []

    def resolve(self, *, pin: str | None = None, last_seen: str | None = None) -> Revision:
        return Revision(self.name, pin or "1")

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        return Listing(
            len(self.contents), iter([self._file(path, body, known) for path, body in self.contents.items()])
        )

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        return inventory

    def _file(self, path: str, body: bytes, known: Container[str]) -> UpstreamFile:
        upstream_hash = hashlib.sha1(body).hexdigest()
        if path.endswith(".DS_Store"):
            return UpstreamFile(path, len(body), upstream_hash, ignored="mac_metadata")
        if upstream_hash in known:
            return UpstreamFile(path, len(body), upstream_hash)
        self.fetched.append(path)
        return UpstreamFile(path, len(body), upstream_hash, body)


def test_files_become_blobs_and_an_inventory_sorted_by_path(store: Store) -> None:
    source = ListSource({"b": b"two", "a": b"one", "c": b"two", "x/.DS_Store": b"mac"})
    facts = ingest(store, source, Revision("covid", "1"))
    assert (facts["files"], facts["fetched"], facts["uploaded"], facts["bytes"]) == (4, 3, 2, 12)
    inventory = load_inventory(store, Revision("covid", "1"))
    assert inventory is not None
    assert list(inventory["path"]) == ["a", "b", "c", "x/.DS_Store"]
    assert inventory["sha256"].isna().tolist() == [False, False, False, True]
    for sha256, body in zip(inventory["sha256"][:3], (b"one", b"two", b"two"), strict=True):
        assert store.get(blob_name(sha256)) == body


def test_known_files_are_neither_fetched_nor_stored_again_whatever_became_of_them(store: Store) -> None:
    ingest(store, ListSource({"a": b"one", "b": b"two"}), Revision("covid", "1"))
    ingest(store, ListSource({"a": b"one"}), Revision("covid", "2"))
    source = ListSource({"a": b"one", "renamed": b"two", "new": b"three"})
    facts = ingest(store, source, Revision("covid", "3"))
    assert source.fetched == ["new"]
    assert (facts["fetched"], facts["uploaded"]) == (1, 1)
    inventory = load_inventory(store, Revision("covid", "3"))
    assert inventory is not None
    assert inventory.set_index("path")["sha256"]["renamed"] == hashlib.sha256(b"two").hexdigest()


def test_same_revision_is_not_asked_for_twice(store: Store) -> None:
    ingest(store, ListSource({"a": b"one"}), Revision("covid", "1"))
    source = ListSource({"never": b"read"})
    assert ingest(store, source, Revision("covid", "1"))["files"] == 1
    assert source.fetched == []


def test_source_that_breaks_off_leaves_no_inventory(store: Store) -> None:
    class Broken(ListSource):
        def files(self, revision: Revision, known: Container[str]) -> Listing:
            def some() -> object:
                yield self._file("a", b"one", known)
                raise ConnectionError("cut")

            return Listing(2, some())

    with pytest.raises(ConnectionError, match="cut"):
        ingest(store, Broken({}), Revision("covid", "1"))
    assert load_inventory(store, Revision("covid", "1")) is None
    assert store.get(blob_name(hashlib.sha256(b"one").hexdigest())) == b"one"


def test_what_came_before_the_upstream_failed_is_not_fetched_again(store: Store) -> None:
    class Limited(ListSource):
        def files(self, revision: Revision, known: Container[str]) -> Listing:
            def some() -> Iterator[UpstreamFile]:
                for number, (path, body) in enumerate(self.contents.items()):
                    if number == 50 and not known:
                        raise RateLimitedError("covid", "https://example.invalid", "rate limit reached", "Wait.")
                    yield self._file(path, body, known)

            return Listing(len(self.contents), some())

    source = Limited({f"{number:02}": b"%d" % number for number in range(60)})
    with pytest.raises(RateLimitedError):
        ingest(store, source, Revision("covid", "1"))
    assert len(source.fetched) == 50
    assert ingest(store, source, Revision("covid", "1"))["fetched"] == 10
    assert source.fetched == sorted(source.contents)


@pytest.mark.parametrize("damage", ["truncated", "deleted"])
@pytest.mark.parametrize("revision", ["1", "2"])
def test_blobs_that_the_store_lost_are_fetched_again(
    store: Store, damage: str, revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    files = {"a": b"one one", "b": b"two two", "c": b"three three"}
    ingest(store, ListSource(files), Revision("covid", "1"))
    names = [blob_name(hashlib.sha256(files[path]).hexdigest()) for path in "ac"]
    for name in names:
        DAMAGES[damage](store, name)
    source = ListSource(files)
    ingest(store, source, Revision("covid", revision))
    assert source.fetched == ["a", "c"]
    assert [store.get(name) for name in names] == [files["a"], files["c"]]
    assert "covid: 2 stored files are missing or damaged, such as a; fetching them again" in caplog.text
    assert store.damaged == sorted(names)


def test_bytes_that_the_upstream_has_no_more(store: Store) -> None:
    ingest(store, ListSource({"a": b"one"}), Revision("covid", "1"))
    store.delete([blob_name(hashlib.sha256(b"one").hexdigest())])

    class Changed(ListSource):
        def _file(self, path: str, body: bytes, known: Container[str]) -> UpstreamFile:
            return UpstreamFile(path, len(body), hashlib.sha1(b"one").hexdigest(), body)

    changed = Changed({"a": b"uno"})
    with pytest.raises(
        StorageError, match=r"such as a, and the upstream has other bytes .* Delete (\S+) and run again"
    ):
        ingest(store, changed, Revision("covid", "1"))
    store.delete(["_work/sources/covid/1.parquet"])  # as the error says
    ingest(store, changed, Revision("covid", "1"))
    inventory = load_inventory(store, Revision("covid", "1"))
    assert inventory is not None
    assert inventory["sha256"].tolist() == [hashlib.sha256(b"uno").hexdigest()]
    assert store.get(blob_name(hashlib.sha256(b"uno").hexdigest())) == b"uno"


@pytest.mark.parametrize("name", ["known", "1"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_notes_are_made_again(store: Store, name: str, damage: str) -> None:
    files = {"a": b"one", "b": b"two"}
    ingest(store, ListSource(files), Revision("covid", "1"))
    before = {each: store.get(each) for each in store.list("_work/")}
    DAMAGES[damage](store, f"_work/sources/covid/{name}.parquet")
    ingest(store, ListSource(files), Revision("covid", "1"))
    ingest(store, ListSource(files | {"c": b"three"}), Revision("covid", "2"))
    assert before.items() - {(each, store.get(each)) for each in before} <= {
        ("_work/sources/covid/known.parquet", before["_work/sources/covid/known.parquet"])
    }
    assert {len(table) for table in map(store.get_table, store.list("_work/sources/covid/"))} == {2, 3}
