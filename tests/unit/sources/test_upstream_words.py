"""Every word that upstream ever used is known, or is a placeholder, and none of its states trips the guard."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from cxr_snapshot.audit.gates import check_labels
from cxr_snapshot.selection.rules import filter_records, warnings_of
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.covid import FORM, covid_records, finding_kind, folder
from cxr_snapshot.sources.sheets import is_misplaced
from cxr_snapshot.sources.words import licence_kind, modality, view_kind
from cxr_snapshot.tables import INSPECTION_SCHEMA, INVENTORY_SCHEMA, conform
from support.paths import REAL_DATA

# All values of 366 states of metadata.csv until 2020-06-24, of its newest one of 950 rows, and of SCHEMA.md between.
WORDS = Path(__file__).with_name("upstream_words.csv")
KINDS = {
    "finding": finding_kind,
    "view": view_kind,
    "modality": modality,
    "folder": lambda text: folder(text or "images"),  # where it is empty, files lie in images/
    "license": lambda text: licence_kind(text) or "none named",
}
SHIFTED = "shifted row"  # the kind of a word that never stood in the right column


def words() -> list[dict[str, str]]:
    with WORDS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("word", words(), ids=lambda word: f"{word['column']}: {word['value']}")
def test_word_is_known(word: dict[str, str]) -> None:
    column, value = word["column"], word["value"]
    if word["kind"] == SHIFTED:
        assert KINDS[column](value) is None
        assert is_misplaced(FORM, column, value)
    else:
        assert KINDS[column](value.strip()) == word["kind"]
        assert not value.strip() or not is_misplaced(FORM, column, value) or column == "folder"


def filtered(counts: dict[str, dict[str, int]]) -> pd.DataFrame:
    """Return the ledger of a sheet in which each value stands in as many rows, others in all rows being good."""
    good = {"finding": "COVID-19", "view": "PA", "modality": "X-ray", "folder": "images", "license": "CC BY"}
    rows = [
        good | {column: value or None}
        for column, values in counts.items()
        for value, count in values.items()
        for _ in range(count)
    ]
    facts = [{"metadata_line": n, "patient_id": str(n), "filename": f"{n}.jpg"} | row for n, row in enumerate(rows, 2)]
    sheet = conform(pd.DataFrame(facts), FORM.schema)
    files = pd.DataFrame({"path": "images/" + sheet["filename"], "bytes": 1, "sha256": sheet["filename"]})
    inspections = conform(files[["sha256"]], INSPECTION_SCHEMA)
    records = covid_records(conform(files, INVENTORY_SCHEMA), sheet)
    return filter_records(records, inspections, views="frontal", licences="any", controls="kaggle")


def assert_passes(counts: dict[str, dict[str, int]]) -> None:
    ledger = filtered(counts)
    assert not ledger["rule"].str.startswith("unknown_", na=False).any()
    assert not warnings_of(ledger)
    assert check_labels(ledger, Settings(bucket="bucket").max_unknown).value.startswith("0 of ")


def test_placeholders_alone_trip_no_guard() -> None:
    assert_passes(
        {"finding": {"todo": 108, "Unknown": 3, "": 573, "Suspected COVID-19": 1}, "view": {"?": 77, "": 602}}
    )


def test_the_guard_still_trips_on_words_that_nobody_knows() -> None:
    ledger = filtered({"finding": {"COVID-19": 89, "novel": 11}})
    assert ledger["rule"].value_counts().to_dict() == {"unknown_finding": 11}
    assert not check_labels(ledger, Settings(bucket="bucket").max_unknown).passed


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")
def test_all_real_states_pass_at_their_shares() -> None:
    with (REAL_DATA / "vocabulary.csv").open(encoding="utf-8", newline="") as file:
        vocabulary = list(csv.DictReader(file))
    assert {(row["column"], row["value"]) for row in vocabulary} <= {
        (word["column"], word["value"]) for word in words()
    }
    counts: dict[str, dict[str, int]] = {}
    for row in vocabulary:
        if (row["column"], row["value"]) != ("modality", "PA"):  # quarantined by the reader as a shifted row
            counts.setdefault(row["column"], {})[row["value"]] = int(row["most_rows"])
    assert_passes(counts)
