"""Reading the real metadata.csv of each step gives the facts that were counted by other code."""

from __future__ import annotations

import io
import json
import re
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.selection.rules import filter_records
from cxr_snapshot.sources.covid import METADATA, covid_records, read_metadata
from cxr_snapshot.sources.hannover import FORM, hannover_records
from cxr_snapshot.sources.sheets import irregularities, read_sheet
from cxr_snapshot.tables import INSPECTION_SCHEMA, INVENTORY_SCHEMA, conform
from support.paths import REAL_ADULTS, REAL_DATA

pytestmark = pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")

STEPS = range(1, 9)


HANNOVER = REAL_ADULTS / "covid-19-image-repository.git"


def git(*arguments: str, repository: Path = REAL_DATA / "covid-chestxray-dataset.git") -> bytes:
    return subprocess.run(["git", "--git-dir", repository, *arguments], check=True, capture_output=True).stdout


def metadata(step: int) -> pd.DataFrame:
    return read_metadata(git("show", f"refs/replay/step-{step}:{METADATA}"))


def records(step: int) -> pd.DataFrame:
    """Return the ledger rows of a step; git's hash stands in for SHA-256."""
    entries = git("ls-tree", "-rz", f"refs/replay/step-{step}", "images/").decode().rstrip("\0").split("\0")
    rows = [
        {"path": path, "bytes": 0, "sha256": facts.split()[2]} for facts, path in (line.split("\t") for line in entries)
    ]
    return covid_records(conform(pd.DataFrame(rows), INVENTORY_SCHEMA), metadata(step))


def filtered(step: int, views: str) -> pd.DataFrame:
    table = records(step)
    undecoded = conform(pd.DataFrame({"sha256": table["sha256"].dropna().unique()}), INSPECTION_SCHEMA)
    return filter_records(table, undecoded, views=views, licences="any", controls="kaggle")


def names(paths: pd.Series) -> list[str]:
    return sorted(path.removeprefix("images/") for path in paths)


@pytest.mark.parametrize("step", STEPS)
def test_counts_and_names(step: int) -> None:
    expected: dict[str, Any] = json.loads((REAL_DATA / "expected_covid.json").read_text())[step - 1]
    table = metadata(step)
    assert table["problem"].ne("blank_row").fillna(value=True).sum() == expected["csv_records"]
    ledger = filtered(step, "frontal+lateral")
    images = ledger[ledger["in_upstream"]]
    assert len(images) == expected["images_in_tree"]
    assert names(ledger.loc[ledger["rule"].eq("no_metadata_row"), "path"]) == sorted(expected["images_without_row"])
    covid = ledger[ledger["class"].eq("COVID")]
    assert len(covid) == expected["covid_rows"]
    missing = covid[covid["rule"].eq("missing_file") & covid["modality"].isin(["X-ray", "Radiograph"])]
    assert names(missing["path"]) == sorted(expected["missing_names"])
    inside = ledger[ledger["rule"].isna()]
    assert len(inside) + len(missing) == expected["covid_xray_rows"]
    assert len(inside) == expected["covid_xray_unique_files_present"]
    assert inside["patient_id"].nunique() == expected["patients"]
    frontal = filtered(step, "frontal")
    assert frontal["rule"].isna().sum() == expected["frontal_only"]


@pytest.mark.parametrize("step", STEPS)
def test_selected_names(step: int) -> None:
    expected = pd.read_csv(REAL_DATA / "expected_covid_files.csv")
    ledger = filtered(step, "frontal+lateral")
    assert names(ledger.loc[ledger["rule"].isna(), "path"]) == sorted(
        expected.loc[expected["step"].eq(step), "filename"]
    )


def test_broken_commit_is_read_around_and_reported() -> None:
    table = metadata(6)
    assert table["problem"].value_counts().to_dict() == {"blank_row": 29, "ragged_row": 5}
    assert irregularities(table)["line"].tolist() == [137, 138, 139, 156, 159]
    repaired = metadata(7)
    good = table[table["problem"].isna()]
    assert repaired["problem"].isna().all()
    assert set(good["filename"]) < set(repaired["filename"])


def test_image_whose_row_was_cut_is_told_where_its_name_stands() -> None:
    evidence = filtered(6, "frontal").set_index("path")["evidence"]
    assert evidence["images/wong-0002.jpg"] == "similar_rows: line 137 holds the name but cannot be read"
    assert evidence["images/wong-0004.jpg"] == "similar_rows: none"


# Upstream's header, in its spelling since June 2020, by our column.
CLINICAL = {
    "offset_days": "offset",
    "rt_pcr_positive": "rtpcrpositive",
    "went_icu": "wenticu",
    "in_icu": "inicu",
    "intubation_present": "intubationpresent",
    "needed_supplemental_o2": "neededsupplementalo2",
    "po2_saturation": "po2saturation",
    "leukocyte_count": "leukocytecount",
    "neutrophil_count": "neutrophilcount",
    "lymphocyte_count": "lymphocytecount",
} | {name: name for name in ("survival", "intubated", "temperature", "date", "location")}
# What is kept as text, of all steps: two days could be in March or later, 95 is no temperature in Celsius, and what
# would have been stated was not.
KEPT = {
    "date": {"03/06/20", "03/09/20"},
    "temperature": {"95"},
    "went_icu": {"Would have been stated"},
    "in_icu": {"Would have been stated"},
    "intubated": {"Not visible"},
    "intubation_present": {"Not visible"},
}


def stated(step: int) -> pd.DataFrame:
    """Return upstream's cells as text, by our columns, a row for each good row; read by pandas alone."""
    body = git("show", f"refs/replay/step-{step}:{METADATA}").decode("utf-8", "replace")
    table = pd.read_csv(io.StringIO(body), dtype=str, on_bad_lines="skip", skip_blank_lines=False)
    table.columns = [re.sub(r"[ _]", "", name).lower() for name in table.columns]
    table = table[table["filename"].notna() & table["patientid"].notna()]
    table = table[
        table["age"].ne("SARS")
    ]  # three rows of step 6 lack a cell, so that all that follow are one too early
    cells = pd.DataFrame({ours: table.get(theirs) for ours, theirs in CLINICAL.items()}, index=table.index)
    return cells.apply(lambda column: column.str.split().str.join(" ")).reset_index(drop=True)


@pytest.mark.parametrize("step", STEPS)
def test_every_clinical_cell_is_read_or_kept_as_text(step: int) -> None:
    table = metadata(step)
    table = table[table["problem"].isna()].reset_index(drop=True)
    cells = stated(step)
    assert len(cells) == len(table)
    kept = pd.DataFrame([json.loads(text) if pd.notna(text) else {} for text in table["clinical_text"]]).reindex(
        columns=cells.columns
    )
    for name, texts in cells.items():
        is_stated = texts.notna() & texts.ne("") & texts.ne("?")
        assert (table[name].notna() | kept[name].notna()).tolist() == is_stated.tolist(), name
        assert not (table[name].notna() & kept[name].notna()).any(), name
        assert set(kept[name].dropna()) <= KEPT.get(name, set())
        assert kept[name].dropna().tolist() == texts[kept[name].notna()].tolist(), name
        if name not in ("date", "location"):
            read = table[name].notna()
            assert table.loc[read, name].astype(str).str.removesuffix(".0").tolist() == texts[read].tolist(), name


def test_what_is_kept_of_the_last_step() -> None:
    """All of ``KEPT`` is there, and all dates that are read are as exact as they were stated."""
    table = metadata(8)
    kept = [json.loads(text) for text in table["clinical_text"].dropna()]
    assert {(name, text) for row in kept for name, text in row.items()} == {
        (name, text) for name, texts in KEPT.items() for text in texts
    }
    assert set(table["date"].dropna().str.len()) == {4, 7, 10}
    assert table.loc[table["date"].str.len().eq(10), "date"].map(date.fromisoformat).notna().all()


@pytest.mark.parametrize("step", STEPS)
def test_nothing_real_is_taken_for_a_shifted_row(step: int) -> None:
    table = metadata(step)
    assert not table["problem"].eq("shifted_row").any()
    assert table.loc[table["problem"].isna(), ["patient_id", "filename"]].notna().all(axis=None)
    assert set(table["sex"].dropna()) <= {"M", "F"}


@pytest.mark.skipif(not REAL_ADULTS.exists(), reason="the real upstream states are not at hand")
@pytest.mark.parametrize("step", range(1, 5))
def test_the_course_at_hannover_is_read(step: int) -> None:
    body = git("show", f"refs/replay/step-{step}:data.csv", repository=HANNOVER)
    theirs = pd.read_csv(io.BytesIO(body))
    files = pd.DataFrame({"path": "png/" + theirs["image_id"] + ".png", "sha256": theirs["image_id"], "bytes": 0})
    ours = hannover_records(conform(files, INVENTORY_SCHEMA), read_sheet(body, FORM, "data.csv").rows)
    ours = ours.set_index("sha256").loc[theirs["image_id"]].reset_index()
    assert ours["clinical_text"].isna().all(), "all of their numbers in these columns can be read"
    assert ours["offset_days"].tolist() == (-theirs["admission_offset"]).tolist()
    assert ours["survival"].eq("N").fillna(value=False).tolist() == theirs["death_offset"].notna().tolist()
    assert ours["went_icu"].eq("Y").fillna(value=False).tolist() == theirs["icu_admission_offset"].notna().tolist()
    inside = theirs["icu_admission_offset"].le(0) & theirs["icu_release_offset"].ge(0)
    assert ours["in_icu"].eq("Y").fillna(value=False).tolist() == inside.tolist()
    for name, value in (("lymphocyte_count", "lymphocytes"), ("neutrophil_count", "neutrophils")):
        that_day = theirs[f"{value}_val"].where(theirs[f"{value}_offset"].eq(0))
        assert ours[name].fillna(-1).tolist() == that_day.fillna(-1).tolist()
