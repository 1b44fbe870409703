"""Every file and every row of metadata.csv becomes exactly one record, whatever upstream did."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.rules import warnings_of
from cxr_snapshot.selection.splits import assign_splits
from cxr_snapshot.sources.covid import FORM, covid_records, read_metadata
from cxr_snapshot.tables import INVENTORY_SCHEMA, LEDGER_SCHEMA, conform


def inventory(*paths: str) -> pd.DataFrame:
    rows = [{"path": path, "bytes": 10, "sha256": f"sha of {path}"} for path in ("metadata.csv", *paths)]
    return conform(pd.DataFrame(rows), INVENTORY_SCHEMA)


def metadata(*rows: dict[str, Any]) -> pd.DataFrame:
    lines = [{"metadata_line": line} | row for line, row in enumerate(rows, start=2)]
    return conform(pd.DataFrame(lines, columns=FORM.schema.names), FORM.schema)


def row(filename: str | None = "a.jpg", **others: Any) -> dict[str, Any]:
    facts = {"patient_id": "1", "finding": "COVID-19", "view": "PA", "modality": "X-ray", "folder": "images"}
    return facts | {"filename": filename} | others


def rules(records: pd.DataFrame) -> list[tuple[str | None, int | None, bool, str | None]]:
    """Return path, line, whether there is a file, and rule of each record."""
    columns = records[["path", "metadata_line", "in_upstream", "rule"]]
    return [tuple(None if pd.isna(cell) else cell for cell in line) for line in columns.itertuples(index=False)]


def test_image_gets_the_facts_of_its_row() -> None:
    records = covid_records(
        inventory("images/a.jpg"), metadata(row(age=40.0, sex="F", license="CC0", url="u", doi="d"))
    )
    assert rules(records) == [("images/a.jpg", 2, True, None)]
    facts = records.iloc[0]
    assert facts[["source", "class", "patient_id", "finding", "view", "sha256"]].tolist() == [
        *("covid", "COVID", "covid:1", "COVID-19", "PA", "sha of images/a.jpg"),
    ]
    assert facts[["age", "sex", "license", "url", "doi"]].tolist() == [40.0, "F", "CC0", "u", "d"]
    assert list(records) == LEDGER_SCHEMA.names


@pytest.mark.parametrize("folder", [None, "images", "Images", " IMAGES/"])
def test_folder_is_a_word_and_may_be_missing(folder: str | None) -> None:
    assert rules(covid_records(inventory("images/a.jpg"), metadata(row(folder=folder)))) == [
        ("images/a.jpg", 2, True, None)
    ]


@pytest.mark.parametrize("folder", ["volumes", "image"])
def test_row_of_another_folder_does_not_take_an_image(folder: str) -> None:
    assert rules(covid_records(inventory("images/a.jpg"), metadata(row(folder=folder)))) == [
        ("images/a.jpg", None, True, None),
        (f"{folder}/a.jpg", 2, False, None),
    ]


@pytest.mark.parametrize("name", ["a.png", "A.jpg", "a.jpg.jpg", "../images/a.jpg"])
def test_names_are_matched_exactly(name: str) -> None:
    assert rules(covid_records(inventory("images/a.jpg"), metadata(row(name)))) == [
        ("images/a.jpg", None, True, None),
        (f"images/{name}", 2, False, None),
    ]


@pytest.mark.parametrize(
    ("file", "stated"),
    [
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("a.jpg", "a.jpg\u200b"),
        ("a\ufeff.jpg", "a.jpg"),
        ("a b.jpg", "a\u00a0b.jpg"),
    ],
)
def test_names_that_look_the_same_match_and_it_is_said(file: str, stated: str) -> None:
    records = covid_records(inventory(f"images/{file}"), metadata(row(stated)))
    assert rules(records) == [(f"images/{file}", 2, True, None)]
    assert records["mended"].tolist() == [f"file {f'images/{stated}'!a} is read as images/{file}"]


def test_a_name_that_is_there_goes_before_one_that_looks_the_same() -> None:
    both = ("images/caf\u00e9.jpg", "images/cafe\u0301.jpg")
    records = covid_records(inventory(*both), metadata(row(both[1][7:]), row(both[0][7:], finding="SARS")))
    assert records[["path", "finding"]].to_numpy().tolist() == [[both[0], "SARS"], [both[1], "COVID-19"]]
    assert records["mended"].isna().all()


def test_of_two_files_that_look_the_same_none_is_taken() -> None:
    files = inventory("images/a\u200b.jpg", "images/a\ufeff.jpg")
    assert covid_records(files, metadata(row("a.jpg")))["metadata_line"].isna().tolist() == [True, True, False]


def test_patients_that_a_spreadsheet_rewrote_stay_in_one_split() -> None:
    """Two films of each of 20 people; the sheet was saved again, and writes the second ones otherwise."""
    ways = ("{}.0", "0{}", " {}", "\u200b{}", "{}\u00a0")
    lines = [f"{n},COVID-19,PA,a{n}.jpg\n{ways[n % 5].format(n)},COVID-19,PA,b{n}.jpg" for n in range(1, 21)]
    sheet = read_metadata(("patientid,finding,view,filename\n" + "\n".join(lines)).encode())
    files = inventory(*(f"images/{letter}{n}.jpg" for letter in "ab" for n in range(1, 21)))
    ledger = assign_splits(covid_records(files, sheet), "salt")
    assert ledger.groupby("patient_id")["split"].nunique().tolist() == [1] * 20
    assert set(ledger["patient_id"]) == {f"covid:{n}" for n in range(1, 21)}
    assert "rows hold cells that look damaged" in warnings_of(ledger)[0]


def test_second_row_of_a_file_is_set_aside_and_keeps_its_own_patient() -> None:
    records = covid_records(inventory("images/a.jpg"), metadata(row(), row(patient_id="2"), row(view="AP")))
    assert rules(records) == [
        ("images/a.jpg", 2, True, None),
        ("images/a.jpg", 3, False, "duplicate_row"),
        ("images/a.jpg", 4, False, "duplicate_row"),
    ]
    assert records["patient_id"].tolist() == ["covid:1", "covid:2", "covid:1"]
    assert records.loc[1, "evidence"] == "'images/a.jpg' is also named in line 2"


def test_second_row_of_a_missing_file_is_set_aside_too() -> None:
    assert rules(covid_records(inventory(), metadata(row(), row()))) == [
        ("images/a.jpg", 2, False, None),
        ("images/a.jpg", 3, False, "duplicate_row"),
    ]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"finding": "SARS"}, "SARS, PA, X-ray"),
        ({"finding": None}, "(empty), PA, X-ray"),
        ({"view": "L"}, "COVID-19, L, X-ray"),
        ({"modality": "CT"}, "COVID-19, PA, CT"),
    ],
)
def test_image_whose_rows_disagree_on_what_it_is_is_left_out(other: dict[str, Any], said: str) -> None:
    for first, second in ((row(), row(**other)), (row(**other), row())):
        records = covid_records(inventory("images/a.jpg"), metadata(first, second))
        assert rules(records) == [
            ("images/a.jpg", 2, True, "contradictory_rows"),
            ("images/a.jpg", 3, False, "duplicate_row"),
        ]
        told = ["COVID-19, PA, X-ray", said] if first == row() else [said, "COVID-19, PA, X-ray"]
        assert records.loc[0, "evidence"] == f"line 2: {told[0]}; line 3: {told[1]}"


def test_other_words_for_the_same_do_not_disagree() -> None:
    rows = metadata(row(), row(finding="Pneumonia/Viral/COVID-19", view="AP Supine", modality="Radiograph"))
    assert covid_records(inventory("images/a.jpg"), rows).loc[0, "rule"] is pd.NA


def test_irregular_row_names_no_file() -> None:
    broken = {"problem": "ragged_row", "raw": "3 cells: 1,a.jpg,x"}
    records = covid_records(inventory("images/a.jpg"), metadata(broken, row()))
    assert rules(records) == [("images/a.jpg", 3, True, None), (None, 2, False, "ragged_row")]
    assert records.loc[1, "evidence"] == "3 cells: 1,a.jpg,x"


@pytest.mark.parametrize(
    ("finding", "kind", "subtype"),
    [
        ("COVID-19, ARDS", "COVID", None),
        ("SARS", None, "viral"),
        ("Pneumonia/Bacterial", None, "bacterial"),
        ("No Finding", None, None),
        ("todo", None, None),
        (None, None, None),
    ],
)
def test_class_and_subtype(finding: str | None, kind: str | None, subtype: str | None) -> None:
    record = covid_records(inventory("images/a.jpg"), metadata(row(finding=finding))).iloc[0]
    assert [None if pd.isna(record[name]) else record[name] for name in ("class", "subtype")] == [kind, subtype]


NAMES = st.sampled_from(["a.jpg", "b.jpg", "B.jpg", "c", None])
ROWS = st.fixed_dictionaries(
    {
        "problem": st.sampled_from([None, None, None, "ragged_row", "blank_row"]),
        "filename": NAMES,
        "folder": st.sampled_from([None, "images", "IMAGES", "volumes"]),
        "finding": st.sampled_from([None, "COVID-19", "SARS", "todo"]),
        "view": st.sampled_from([None, "PA", "L"]),
        "modality": st.sampled_from([None, "X-ray", "CT"]),
        "patient_id": st.sampled_from([None, "1", "2"]),
    }
)


@given(st.lists(ROWS, max_size=8), st.sets(NAMES.filter(bool)))
def test_every_file_and_every_row_is_there_once(rows: list[dict[str, Any]], names: set[str]) -> None:
    rows = [{"problem": given["problem"]} if given["problem"] else given for given in rows]  # as the reader gives them
    paths = sorted(f"images/{name}" for name in names)
    records = covid_records(inventory(*paths), metadata(*rows))
    assert sorted(records.loc[records["in_upstream"], "path"]) == paths
    assert sorted(records["metadata_line"].dropna()) == list(range(2, len(rows) + 2))
    assert len(records) == len(paths) + (~records["in_upstream"]).sum()
    assert (records["in_upstream"] | records["metadata_line"].notna()).all()


@given(st.lists(ROWS, max_size=6), st.randoms(use_true_random=False))
def test_order_of_rows_decides_nothing_but_which_row_is_the_first(rows: list[dict[str, Any]], random: Any) -> None:
    files = inventory("images/a.jpg", "images/b.jpg")
    shuffled = random.sample(rows, len(rows))
    one, other = (covid_records(files, metadata(*order)).set_index("path") for order in (rows, shuffled))
    for path in ("images/a.jpg", "images/b.jpg"):
        before, after = (table[table["in_upstream"]].loc[path] for table in (one, other))
        assert (before["rule"] is pd.NA) == (after["rule"] is pd.NA)
        if before["rule"] is pd.NA:  # all rows of the file agree on what it is
            assert (before["class"] is pd.NA) == (after["class"] is pd.NA)
