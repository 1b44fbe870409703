"""What is remembered of objects: once made, bounded, and never waiting for itself."""

from __future__ import annotations

import io
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_snapshot.errors import MissingObjectError, StorageUnavailableError
from cxr_snapshot.store import ranges
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.ranges import Kept, RangedTable
from support.requests_made import requests_to


def table_of(store: Store, kept: Kept) -> RangedTable:
    return RangedTable(store, "a.parquet", store.files("")["a.parquet"], kept)


@pytest.fixture
def store(store: Store) -> Store:
    """A store with a table of three row groups."""
    sink = io.BytesIO()
    columns = {"name": [f"{number:04}" for number in range(3000)], "other": [str(number % 2) for number in range(3000)]}
    pq.write_table(pa.table(columns), sink, row_group_size=1000)
    store.put("a.parquet", sink.getvalue())
    return store


def test_a_thing_is_made_once_however_many_ask_for_it_at_once():
    kept, made = Kept(100), []

    def make() -> str:
        made.append(1)
        time.sleep(0.05)
        return "thing"

    threads = [threading.Thread(target=lambda: kept.get("key", make, len)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_the_last_used_things_are_kept_up_to_a_number_of_bytes():
    kept = Kept(30)
    for key in "abc":
        kept.get(key, lambda: b"x" * 10, len)
    kept.get("a", lambda: pytest.fail("a was kept"), len)
    kept.get("d", lambda: b"x" * 10, len)
    kept.get("a", lambda: pytest.fail("a was used last"), len)
    assert kept.get("b", lambda: b"anew", len) == b"anew"
    assert kept.size == 24
    assert len(kept.get("large", lambda: b"x" * 31, len)) == 31
    assert kept.size == 24


def test_what_fails_is_not_kept():
    kept = Kept(100)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0, lambda _: 1)
    assert kept.get("a", lambda: 2, lambda _: 1) == 2


def test_only_what_is_asked_for_is_read(store):
    table = table_of(store, Kept(1_000_000))
    with requests_to(store) as sent:
        assert table.rows_of_groups == [1000, 1000, 1000]
        assert table.columns == ["name", "other"]
        assert table.bounds("name")[1] == ("1000", "1999")
        assert table.read([1], ["name"])["name"].to_pylist() == [f"{number:04}" for number in range(1000, 2000)]
    assert len(sent) == 2  # the footer and one column of one row group
    again = table_of(store, table._kept)
    with requests_to(store) as sent:
        again.read([1], ["name"])
    assert len(sent) == 1


def test_nothing_that_is_made_waits_for_itself(store, monkeypatch):
    monkeypatch.setattr(ranges, "_AT_ONCE", 1)  # the one lock is held while a thing is made
    found: list[int] = []

    def read() -> None:
        table = table_of(store, Kept(1_000_000))
        found.append(table.keep("all", lambda: table.read([0, 1, 2], table.columns), lambda each: each.nbytes).num_rows)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert found == [3000]


def test_an_object_that_was_replaced_is_not_mixed_with_what_it_was(store):
    table = table_of(store, Kept(1_000_000))
    assert table.columns
    store.put("a.parquet", store.get("a.parquet") + b" ")
    with pytest.raises(StorageUnavailableError, match="changed while it was read"):
        table.read([0], ["name"])
    store.delete(["a.parquet"])
    with pytest.raises(MissingObjectError):
        table.read([0], ["name"])
