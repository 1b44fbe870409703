"""Each rule leaves out what it is for, says why, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.hints import MAX_NAMED, similar_files, similar_rows
from cxr_snapshot.selection.rules import (
    REASONS,
    RULES,
    excluded_by_rule,
    filter_records,
    taken_by_class,
    warnings_of,
)
from cxr_snapshot.store.withdrawals import Withdrawal
from cxr_snapshot.tables import INSPECTION_SCHEMA, LEDGER_SCHEMA, conform
from support.ledgers import with_kinds

COVID = {
    "source": "covid",
    "path": "images/a.jpg",
    "metadata_line": 2,
    "in_upstream": True,
    "class": "COVID",
    "finding": "COVID-19",
    "view": "PA",
    "modality": "X-ray",
    "folder": "images",
    "license": "CC BY",
    "sha256": "a",
}
ROW_ONLY = {"in_upstream": False, "sha256": None}
OTHER = {"class": None, "finding": "SARS"}
KAGGLE = {
    "source": "pneumonia",
    "path": "chest_xray/train/NORMAL/a.jpeg",
    "in_upstream": True,
    "class": "NORMAL",
    "finding": "NORMAL",
    "view": "AP",
    "modality": "X-ray",
    "license": "CC BY 4.0",
    "sha256": "k",
}
DEFAULTS = {"views": "frontal", "licences": "any", "controls": "kaggle"}


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    return conform(pd.DataFrame([with_kinds(row) for row in rows]), LEDGER_SCHEMA)


def filtered(*rows: dict[str, Any], problem: str | None = None, **chosen: str) -> pd.DataFrame:
    found = [{"sha256": row["sha256"], "format": "JPEG", "problem": problem} for row in rows if row.get("sha256")]
    if problem:
        found = [facts | {"detail": "what was found"} for facts in found]
    inspections = conform(pd.DataFrame(found, columns=["sha256", "format", "problem", "detail"]), INSPECTION_SCHEMA)
    return filter_records(ledger(*rows), inspections.drop_duplicates("sha256"), **(DEFAULTS | chosen))


def outcome(table: pd.DataFrame, position: int = 0) -> tuple[str | None, str | None]:
    rule, evidence = table.iloc[position][["rule", "evidence"]]
    return None if pd.isna(rule) else rule, None if pd.isna(evidence) else evidence


@pytest.mark.parametrize("row", [COVID, KAGGLE])
def test_sound_record_stays_and_gets_what_was_found(row: dict[str, Any]) -> None:
    table = filtered(row)
    assert outcome(table) == (None, None)
    assert table.loc[0, "format"] == "JPEG"
    assert list(table) == LEDGER_SCHEMA.names


@pytest.mark.parametrize(
    ("row", "rule", "evidence"),
    [
        (COVID | ROW_ONLY | {"path": None}, "no_file_name", ""),
        (COVID | ROW_ONLY | {"folder": "attic", "path": "attic/a.jpg"}, "unknown_folder", "folder: attic"),
        (COVID | ROW_ONLY | {"folder": "volumes", "path": "volumes/a.nii"}, "other_folder", "folder: volumes"),
        (COVID | ROW_ONLY, "missing_file", "similar_files: none"),
        (COVID | {"metadata_line": None}, "no_metadata_row", "similar_rows: none"),
        (COVID | {"modality": "Xray"}, "unknown_modality", "modality: Xray"),
        (COVID | {"modality": None}, "not_labelled", "finding: COVID-19, view: PA, modality: (empty)"),
        (COVID | {"modality": "CT", "view": "Axial"}, "not_xray", "modality: CT, view: Axial"),
        (COVID | OTHER | {"finding": "novel"}, "unknown_finding", "finding: novel"),
        (COVID | OTHER | {"finding": "todo"}, "not_labelled", "finding: todo, view: PA, modality: X-ray"),
        (COVID | OTHER | {"finding": None}, "not_labelled", "finding: (empty), view: PA, modality: X-ray"),
        (COVID | OTHER | {"finding": "todo", "modality": "CT"}, "not_xray", "modality: CT, view: PA"),
        (COVID | OTHER | {"finding": "todo", "view": "L"}, "unwanted_view", "view: L"),
        (COVID | OTHER | {"view": "?"}, "other_finding", "finding: SARS"),
        (COVID | OTHER, "other_finding", "finding: SARS"),
        (COVID | {"view": "APical"}, "unknown_view", "view: APical"),
        (COVID | {"view": None}, "not_labelled", "finding: COVID-19, view: (empty), modality: X-ray"),
        (COVID | {"view": "L"}, "unwanted_view", "view: L"),
        (COVID | {"view": "Coronal"}, "unwanted_view", "view: Coronal"),
    ],
)
def test_rules_over_metadata(row: dict[str, Any], rule: str, evidence: str) -> None:
    table = filtered(row, COVID | {"path": "images/other.jpg", "sha256": "other"})
    assert outcome(table) == (rule, evidence)
    assert table.loc[0, "reason"] == REASONS[rule]


@pytest.mark.parametrize("row", [COVID, KAGGLE])
@pytest.mark.parametrize(
    "problem",
    [
        *("not_an_image", "too_many_pixels", "multiple_frames", "too_small", "impossible_shape", "too_many_scans"),
        *("truncated_or_damaged", "invisible"),
    ],
)
def test_rules_over_content(row: dict[str, Any], problem: str) -> None:
    assert outcome(filtered(row, problem=problem)) == (problem, "detail: what was found")


def test_rule_of_an_earlier_stage_stays() -> None:
    row = COVID | ROW_ONLY | {"rule": "duplicate_row", "evidence": "line 2", "view": "L"}
    assert outcome(filtered(row)) == ("duplicate_row", "line 2")


def test_first_broken_rule_counts() -> None:
    order = [rule.name for rule in RULES]
    everything = COVID | ROW_ONLY | OTHER | {"view": "L", "modality": "CT", "folder": "volumes", "license": None}
    assert outcome(filtered(everything, licences="known-only"))[0] == "other_folder"
    assert order.index("other_folder") < order.index("missing_file") < order.index("not_xray")


def test_lateral_views_are_in_when_asked_for() -> None:
    table = filtered(COVID | {"view": "L"}, COVID | {"view": "Axial"}, COVID, views="frontal+lateral")
    assert table["rule"].tolist() == [pd.NA, "unwanted_view", pd.NA]


@pytest.mark.parametrize(
    ("text", "in_under"),
    [
        ("CC BY-NC-SA 4.0", ["any", "no-NoDerivatives", "known-only"]),
        ("listed as authorized for everyone", ["any", "no-NoDerivatives"]),
        (None, ["any", "no-NoDerivatives"]),
        ("CC BY-NC-ND", ["any"]),
    ],
)
def test_licences(text: str | None, in_under: list[str]) -> None:
    evidence = f"license: {text or '(empty)'}"
    for licences in ("any", "no-NoDerivatives", "known-only"):
        expected = (None, None) if licences in in_under else ("licence_not_allowed", evidence)
        assert outcome(filtered(COVID | {"license": text}, licences=licences)) == expected


CONTROLS = {
    "SARS": "PNEUMONIA",
    "Pneumonia/Bacterial/Klebsiella": "PNEUMONIA",
    "No Finding": "NORMAL",
    "COVID-19": "COVID",
    "Pneumonia/Fungal/Pneumocystis": None,
    "Pneumonia/Lipoid": None,
    "Pneumonia": None,
    "Tuberculosis": None,
}


@pytest.mark.parametrize(("finding", "kind"), CONTROLS.items())
def test_controls_from_upstream(finding: str, kind: str | None) -> None:
    row = COVID | {"class": "COVID" if kind == "COVID" else None, "finding": finding}
    preferred = filtered(row, controls="prefer-upstream")
    assert preferred.loc[0, "class"] is (pd.NA if kind is None else kind) or preferred.loc[0, "class"] == kind
    assert outcome(preferred)[0] == (None if kind else "other_finding")
    assert outcome(filtered(row))[0] == (None if kind == "COVID" else "other_finding")


def test_controls_must_be_frontal_xrays_too() -> None:
    table = filtered(
        COVID | OTHER | {"view": "L"}, COVID | OTHER | {"modality": "CT"}, KAGGLE, controls="prefer-upstream"
    )
    assert table["rule"].tolist() == ["unwanted_view", "not_xray", pd.NA]


def of_patient(finding: str | None, **others: Any) -> dict[str, Any]:
    kind = "COVID" if finding == "COVID-19" else None
    return (
        COVID | {"class": kind, "finding": finding, "patient_id": "covid:7", "path": f"images/{finding}.jpg"} | others
    )


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"modality": "CT", "view": "Axial"},
        {"view": "L"},
        ROW_ONLY,
        ROW_ONLY | {"folder": "volumes", "path": "volumes/a.nii"},
        {"rule": "contradictory_rows"},
    ],
)
def test_a_patient_who_has_covid_by_any_row_is_no_control(other: dict[str, Any]) -> None:
    table = filtered(
        of_patient("No Finding"),
        of_patient("SARS"),
        of_patient("COVID-19", metadata_line=9, **other),
        of_patient("No Finding", patient_id="covid:8"),
        of_patient("No Finding", patient_id=None),
        controls="prefer-upstream",
    )
    barred = ("patient_of_another_class", "diseases: COVID-19 in line 9")
    assert [outcome(table, position) for position in (0, 1, 3, 4)] == [barred, barred, (None, None), (None, None)]


@pytest.mark.parametrize("finding", ["SARS", "Pneumonia/Bacterial", "Pneumonia/Fungal/Pneumocystis", "Tuberculosis"])
def test_a_patient_who_had_any_disease_is_not_normal(finding: str) -> None:
    table = filtered(of_patient("No Finding"), of_patient(finding, view="L"), controls="prefer-upstream")
    assert outcome(table) == ("patient_of_another_class", f"diseases: {finding} in line 2")


@pytest.mark.parametrize("finding", ["todo", "No Finding", None, "novel"])
def test_what_is_left_open_bars_nobody(finding: str | None) -> None:
    table = filtered(of_patient("No Finding"), of_patient(finding, view="L"), controls="prefer-upstream")
    assert outcome(table) == (None, None)


def test_covid_stays_covid_and_kaggle_patients_are_held_to_the_same() -> None:
    table = filtered(
        of_patient("COVID-19"),
        of_patient("No Finding"),
        KAGGLE | {"patient_id": "pneumonia:person1"},
        KAGGLE | {"patient_id": "pneumonia:person1", "class": "PNEUMONIA", "finding": "PNEUMONIA", "sha256": "p"},
    )
    assert table["rule"].tolist() == [pd.NA, "other_finding", "patient_of_another_class", pd.NA]


def test_what_took_a_class_is_named_with_counts_and_an_example() -> None:
    table = filtered(
        KAGGLE | {"path": "xray/a.jpeg", "class": None, "rule": "unexpected_path", "finding": None},
        KAGGLE | {"rule": "mac_metadata", "class": None, "finding": None},
        COVID | {"view": "L"},
        COVID | ROW_ONLY | {"path": None, "metadata_line": 7, "rule": "ragged_row", "class": None},
    )
    taken = taken_by_class(table)
    assert taken["NORMAL"] == "unexpected_path 1 (such as xray/a.jpeg), ragged_row 1 (such as line 7)"
    assert "unwanted_view 1 (such as images/a.jpg)" in taken["COVID"]
    assert taken_by_class(filtered(COVID))["NORMAL"] == "none"


def test_hints_stay_short_and_cost_time_in_proportion() -> None:
    """Rows and files of one stem, each a candidate for every other, and rows that cannot be read beside them."""

    def seconds(count: int) -> float:
        rows = [COVID | ROW_ONLY | {"path": f"images/a.{n}", "metadata_line": n} for n in range(count)]
        rows += [COVID | {"path": f"images/a.jpg{n}", "metadata_line": None, "sha256": f"{n}"} for n in range(count)]
        unread = COVID | ROW_ONLY | {"path": None, "rule": "ragged_row"}
        rows += [unread | {"metadata_line": count + n, "evidence": f"3 cells: {n},b{n}.jpg"} for n in range(count)]
        table = ledger(*rows)
        start = time.process_time()
        hints = [*similar_files(table).dropna(), *similar_rows(table).dropna()]
        taken = time.process_time() - start
        assert len(hints) == 2 * count
        assert all(hint.endswith(f"; {count - MAX_NAMED} more") and hint.count(";") == MAX_NAMED for hint in hints)
        return taken

    few = min(seconds(500) for _ in range(3))
    assert min(seconds(4000) for _ in range(2)) < 20 * few, "8 times the rows; the square would be 64 times the time"


def test_hints_name_what_may_have_been_meant() -> None:
    table = filtered(
        COVID | ROW_ONLY | {"path": "images/Film 1.PNG"},
        COVID | {"path": "images/film 1.jpg", "metadata_line": None},
        COVID | ROW_ONLY | {"path": None, "metadata_line": 7, "rule": "ragged_row", "evidence": "5 cells: 1,b.jpg,x"},
        COVID | {"path": "images/b.jpg", "metadata_line": None, "sha256": "b"},
        KAGGLE | {"path": "chest_xray/train/NORMAL/film 1.jpg"},
    )
    assert [outcome(table, position) for position in (0, 1, 3)] == [
        ("missing_file", "similar_files: images/film 1.jpg"),
        ("no_metadata_row", "similar_rows: line 2 names images/Film 1.PNG"),
        ("no_metadata_row", "similar_rows: line 7 holds the name but cannot be read"),
    ]


def test_blob_without_inspection_is_a_fault() -> None:
    with pytest.raises(KeyError, match="1 blobs were not inspected, such as a; run inspect again"):
        filter_records(ledger(COVID), conform(pd.DataFrame(), INSPECTION_SCHEMA), **DEFAULTS)


def test_every_rule_is_named_once_and_explained() -> None:
    assert len(REASONS) == len(RULES)
    assert all(rule.reason.endswith(".") and rule.origin for rule in RULES)


def test_counts_are_in_the_order_of_the_rules() -> None:
    table = filtered(COVID | {"view": "L"}, COVID | OTHER, COVID | {"view": "L"}, COVID)
    assert list(excluded_by_rule(table).items()) == [("other_finding", 1), ("unwanted_view", 2)]


def test_unknown_words_are_counted_as_warnings_with_examples() -> None:
    table = filtered(
        *(COVID | {"view": f"new {number}"} for number in range(7)), COVID | {"view": "L"}, COVID | {"modality": "CTA"}
    )
    modality, view = warnings_of(table)
    assert modality == f"1 x unknown_modality: {REASONS['unknown_modality']} modality: CTA"
    assert view.startswith(f"7 x unknown_view: {REASONS['unknown_view']} view: new 0; view: new 1;")
    assert "new 5" not in view
    assert warnings_of(filtered(COVID)) == []


CELLS = {
    "in_upstream": st.booleans(),
    "path": st.sampled_from([None, "images/a.jpg", "volumes/b.nii"]),
    "metadata_line": st.sampled_from([None, 2, 3]),
    "class": st.sampled_from([None, "COVID"]),
    "finding": st.sampled_from([None, "COVID-19", "SARS", "No Finding", "todo"]),
    "view": st.sampled_from([None, "PA", "L", "?"]),
    "modality": st.sampled_from([None, "X-ray", "CT", "?"]),
    "folder": st.sampled_from([None, "images", "volumes", "?"]),
    "license": st.sampled_from([None, "CC BY", "CC BY-ND", "?"]),
    "rule": st.sampled_from([None, None, "duplicate_row"]),
}
CHOICES = {
    "views": st.sampled_from(["frontal", "frontal+lateral"]),
    "licences": st.sampled_from(["any", "no-NoDerivatives", "known-only"]),
    "controls": st.sampled_from(["kaggle", "prefer-upstream"]),
}


@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=8), st.fixed_dictionaries(CHOICES))
def test_no_record_is_lost_and_each_exclusion_is_explained(cells: list[dict[str, Any]], chosen: dict[str, str]) -> None:
    rows = [COVID | facts | ({"path": "images/a.jpg"} if facts["in_upstream"] else {"sha256": None}) for facts in cells]
    table = filtered(*rows, **chosen)
    assert len(table) == len(rows)
    out = table[table["rule"].notna()]
    assert out["reason"].tolist() == [REASONS[rule] for rule in out["rule"]]
    inside = table[table["rule"].isna()]
    assert inside["class"].isin(["COVID", "PNEUMONIA", "NORMAL"]).all()
    assert inside[["in_upstream", "path", "metadata_line"]].notna().all(axis=None)
    backwards = filtered(*rows[::-1], **chosen)["rule"].tolist()[::-1]
    assert [str(rule) for rule in backwards] == [str(rule) for rule in table["rule"]]


NIH = COVID | {"source": "nih", "class": "NORMAL", "finding": "NORMAL", "folder": None, "license": None}


@pytest.mark.parametrize(
    ("age", "found"), [(17.999, "child: 17.999 years"), (0.003, "child: 0.003 years"), (18.0, None), (None, None)]
)
@pytest.mark.parametrize("row", [COVID, NIH])
def test_who_is_known_to_be_a_child_is_left_out_where_adults_are_asked_for(
    row: dict[str, Any], age: float | None, found: str | None
) -> None:
    one = row | {"age": age}
    assert outcome(filtered(one, ages="adults")) == ("not_adult" if found else None, found)
    assert outcome(filtered(one)) == outcome(filtered(one, ages="any")) == (None, None)


def test_a_childrens_collection_is_left_out_whole() -> None:
    assert outcome(filtered(KAGGLE, ages="adults")) == ("not_adult", "child: as all of pneumonia")


def test_an_age_that_another_row_states_counts_where_the_row_states_none() -> None:
    ages = [None, 7.0, 9.0, 30.0]
    rows = [
        COVID | {"path": f"images/{n}.jpg", "metadata_line": n + 2, "patient_id": "covid:1", "age": age}
        for n, age in enumerate(ages)
    ]
    other = COVID | {"path": "images/other.jpg", "metadata_line": 9, "patient_id": "covid:2"}
    nobody = COVID | {"path": "images/nobody.jpg", "metadata_line": 10}
    table = filtered(*rows, other, nobody, ages="adults")
    assert [outcome(table, place)[1] for place in range(6)] == [
        "child: 7 years in line 3",
        "child: 7 years",
        "child: 9 years",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("erase", [False, True])
def test_what_was_withdrawn_is_left_out_before_all_else(erase: bool) -> None:
    note = Withdrawal("patient", "covid:1", "Asked for.", erase, "2026-11-24T09:00:00+00:00", "ann", ("a",), ("p",), 3)
    rows = ledger(
        COVID | {"patient_id": "covid:1", "rule": "contradictory_rows"},
        COVID | ROW_ONLY | {"path": "images/b.jpg", "metadata_line": 3, "patient_id": "covid:1"},
        COVID | {"path": "images/c.jpg", "metadata_line": 4, "patient_id": "covid:2", "sha256": "c"},
        COVID | {"path": "images/d.jpg", "metadata_line": 5, "patient_id": "covid:4", "sha256": "d"},
    )
    known = [("a", "p"), ("c", "p"), ("d", "q")][erase:]
    found = conform(pd.DataFrame(known, columns=["sha256", "pixel_sha256"]), INSPECTION_SCHEMA)
    result = filter_records(rows, found, **DEFAULTS, withdrawals=[note])
    assert result["rule"].isna().tolist() == [False, False, False, True]
    assert set(result["rule"].dropna()) == {"withdrawn"}
    assert set(result["evidence"].dropna()) == {"withdrawn: withdrawal 3 of 2026-11-24: Asked for."}
    assert pd.isna(result["pixel_sha256"].iloc[0]) is erase, "of what is erased nobody looks at a picture"
