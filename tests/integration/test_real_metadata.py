"""Reading the real metadata.csv of each step gives the facts that were counted by other code."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.selection.rules import filter_records
from cxr_snapshot.sources.covid import METADATA, covid_records, read_metadata
from cxr_snapshot.sources.sheets import irregularities
from cxr_snapshot.tables import INSPECTION_SCHEMA, INVENTORY_SCHEMA, conform
from support.paths import REAL_DATA

pytestmark = pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")

STEPS = range(1, 9)


def git(*arguments: str) -> bytes:
    repository = REAL_DATA / "covid-chestxray-dataset.git"
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


@pytest.mark.parametrize("step", STEPS)
def test_nothing_real_is_taken_for_a_shifted_row(step: int) -> None:
    table = metadata(step)
    assert not table["problem"].eq("shifted_row").any()
    assert table.loc[table["problem"].isna(), ["patient_id", "filename"]].notna().all(axis=None)
    assert set(table["sex"].dropna()) <= {"M", "F"}
