"""The newest snapshots of all editions beside one another."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_snapshot.catalog.side_by_side import UNKNOWN, newest_of_all, rows_of
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES

NAMES = ("file_facts", "thumbnail", "no_lungs", "border")
SHARE = {"value": 0.954, "low": 0.899, "high": 0.996, "images": 65, "patients": 43}
AREA = {"value": 0.347, "low": 0.22, "high": 0.481, "images": 108, "patients": 64}


def entry(edition: str = "default", **others: Any) -> dict[str, Any]:
    probes = [
        {"name": name, "of": of, "question": "classes", "accuracy": 0.5, "low": 0.4, "high": 0.6}
        for name in NAMES
        for of in ("originals", "pictures")
    ]
    ages = {"images": 84, "stated": 62, "median": 56.5}
    return {
        "edition": edition,
        "version": "2026-11-23",
        "counts": dict.fromkeys(CLASSES, 1084),
        "revisions": {"pneumonia": "2", "covid": "0" * 40},
        "settings": {},
        "audit": {"figures": {"patients": 1223}},
        "synthetic": False,
        "ages": {"COVID": ages, "NORMAL": ages | {"stated": 0, "median": None}},
        "probes": probes,
    } | others


def test_each_edition_is_a_column_and_each_measure_a_row() -> None:
    probes = entry()["probes"]
    probes[0] |= {"accuracy": 0.325, "low": 0.25, "high": 0.41}
    elsewhere = {"called_covid": SHARE, "found_covid": None, "auc_inside": None, "auc_outside": AREA}
    other = entry("adults", probes=probes, audit={"figures": {"patients": 90}, "external": elsewhere})
    rows = dict(rows_of([entry(), other]))
    assert rows["Images"] == ["3,252, 1,084 a class"] * 2
    assert rows["Patients"] == ["1,223", "90"]
    assert rows["Collections"][0] == "covid, pneumonia"
    assert rows["Age, COVID"][0] == "median 56.5, stated of 62 of 84"
    assert rows["Age, NORMAL"][0] == rows["Age, PNEUMONIA"][0] == "not stated"
    assert rows["Class told from file facts, images/"] == ["50 % (40 % to 60 %)", "32 % (25 % to 41 %)"]
    assert rows["Of 100 healthy adults elsewhere, called COVID"] == [UNKNOWN, "95 (90 to 99), 43 patients"]
    assert rows["Of 100 COVID patients elsewhere, called COVID"] == [UNKNOWN, UNKNOWN]
    assert rows["AUC elsewhere"] == [UNKNOWN, "0.35 (0.22 to 0.48)"]


@pytest.mark.parametrize("probes", [[], [{"name": "border", "of": "originals", "accuracy": None}]])
def test_what_was_not_measured_says_so(probes: list[dict[str, Any]]) -> None:
    rows = dict(rows_of([entry(probes=probes, ages={})]))
    assert {cells[0] for title, cells in rows.items() if "told" in title} == {UNKNOWN}
    assert {cells[0] for title, cells in rows.items() if title.startswith("Age")} == {"not stated"}


def test_of_an_empty_store_there_is_nothing(store: Store) -> None:
    store.edition("begun").put("2026-11-24/manifest.csv", b"")
    assert newest_of_all(store) == []
    assert rows_of([]) == []
