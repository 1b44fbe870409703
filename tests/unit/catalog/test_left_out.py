"""``excluded.csv`` a page at a time."""

from __future__ import annotations

import tracemalloc

import pandas as pd
import pytest

from cxr_snapshot.catalog.left_out import copies_of, read_left_out
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import EXCLUDED_COLUMNS
from support.requests_made import requests_to

VERSION = "2026-11-23"


def put(store: Store, *rows: dict[str, str]) -> None:
    frame = pd.DataFrame([{name: row.get(name, "") for name in EXCLUDED_COLUMNS} for row in rows], dtype="string")
    store.put(f"{VERSION}/excluded.csv", csv_bytes(frame.reindex(columns=list(EXCLUDED_COLUMNS))))


def record(number: int, rule: str = "not_drawn", **others: str) -> dict[str, str]:
    return {"source": "covid", "path": f"images/{number}.jpg", "rule": rule, "reason": "A reason.", **others}


def test_pages_add_up_to_what_fits(store):
    rows = [record(number, "not_drawn" if number % 3 else "not_xray") for number in range(20_000)]
    put(store, *rows)
    wanted = [row["path"] for row in rows if row["rule"] == "not_xray"]
    seen: list[str] = []
    while len(seen) < len(wanted):
        with requests_to(store) as sent:
            page = read_left_out(store, VERSION, rule="not_xray", first=len(seen), most=1000)
        assert len(sent) == 1
        assert page.total == len(wanted)
        assert page.rules == {"not_drawn": 13_333, "not_xray": 6_667}
        assert page.sources == {"covid": 20_000}
        seen += [row["path"] for row in page.rows]
    assert seen == wanted
    assert read_left_out(store, VERSION, rule="not_xray", first=len(wanted)).rows == ()


def test_memory_does_not_grow_with_the_file(store):
    put(store, *(record(number, evidence="x" * 400) for number in range(50_000)))
    tracemalloc.start()
    try:
        read_left_out(store, VERSION, first=40_000)
        assert tracemalloc.get_traced_memory()[1] < 10 * 1024**2
    finally:
        tracemalloc.stop()


def test_cells_come_back_as_they_are(store):
    odd = ['a "quoted", cell', "two\nlines", "a\rreturn", "=1+1", "NA", "null", "", "Ünïcode\u2028", "1e5"]
    put(store, *(record(number, evidence=text) for number, text in enumerate(odd)))
    assert [row["evidence"] for row in read_left_out(store, VERSION).rows] == odd


def test_part_of_a_path_or_of_the_evidence_finds_a_record(store):
    put(store, record(1), record(2, evidence="same pixels as covid:images/1.jpg (COVID)"), record(3))
    assert [row["path"] for row in read_left_out(store, VERSION, path="/1.jpg").rows] == [
        "images/1.jpg",
        "images/2.jpg",
    ]
    assert read_left_out(store, VERSION, path=".*").total == 0


def test_copies_are_those_whose_evidence_names_the_image(store):
    put(
        store,
        record(1, "duplicate_image", evidence="same pixels as covid:images/9.jpg (COVID)"),
        record(2, "duplicate_image", evidence="same pixels as covid:images/9.jpg.jpg (COVID)"),
        record(3, "not_drawn", evidence="a note on covid:images/9.jpg (COVID)"),
        record(4, "duplicate_image", evidence="same pixels as nih:images/9.jpg (COVID)"),
        record(5, "duplicate_across_classes", evidence="copy of covid:images/7.jpg (COVID): 3 of 256 bits apart; "
               "4 of 5 places agree; same pixels as covid:images/9.jpg (no label, not_xray)"),
    )  # fmt: skip
    found = copies_of(store, VERSION, "covid", "images/9.jpg", most=10)
    assert [row["path"] for row in found] == ["images/1.jpg", "images/5.jpg"]


def test_a_table_without_rows_has_none(store):
    put(store)
    page = read_left_out(store, VERSION)
    assert (page.rows, page.total, page.rules, page.sources) == ((), 0, {}, {})


@pytest.mark.parametrize("body", [b"", b"a,b\n1,2\n", b"source,rule\n1,2,3\n", b"\xff\xfe\x00"])
def test_what_is_no_such_table_is_damaged(store, body):
    store.put(f"{VERSION}/excluded.csv", body)
    with pytest.raises(DamagedObjectError, match=r"excluded\.csv is damaged"):
        read_left_out(store, VERSION, path="x")


def test_where_there_is_none_it_says_so(store):
    with pytest.raises(MissingObjectError):
        read_left_out(store, VERSION)
