"""The paths of the zip say what each file is."""

from __future__ import annotations

import pandas as pd
import pytest

from cxr_snapshot.sources.pneumonia import pneumonia_records
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform


def inventory(*paths: str) -> pd.DataFrame:
    rows = [{"path": path, "bytes": 10, "sha256": f"sha of {path}"} for path in paths]
    return conform(pd.DataFrame(rows), INVENTORY_SCHEMA)


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        (
            "chest_xray/train/PNEUMONIA/person123_virus_4.jpeg",
            ["PNEUMONIA", "train", "pneumonia:person123", "viral"],
        ),
        (
            "chest_xray/test/PNEUMONIA/person123_bacteria_4.jpeg",
            ["PNEUMONIA", "test", "pneumonia:person123", "bacterial"],
        ),
        ("chest_xray/train/NORMAL/IM-0115-0001.jpeg", ["NORMAL", "train", "pneumonia:IM-0115", None]),
        ("chest_xray/train/NORMAL/IM-0115-0001-0002.jpeg", ["NORMAL", "train", "pneumonia:IM-0115", None]),
        ("chest_xray/val/NORMAL/NORMAL2-IM-0115-0001.jpeg", ["NORMAL", "val", "pneumonia:IM-0115", None]),
        ("chest_xray/train/NORMAL/other.jpeg", ["NORMAL", "train", "pneumonia:NORMAL-other", None]),
        ("chest_xray/train/COVID/person1_virus_4.jpeg", [None, None, None, None]),
        ("readme.txt", [None, None, None, None]),
    ],
)
def test_facts_are_read_from_the_path(path: str, facts: list[str | None]) -> None:
    record = pneumonia_records(inventory(path)).iloc[0]
    names = ("class", "upstream_split", "patient_id", "subtype")
    assert [None if pd.isna(record[name]) else record[name] for name in names] == facts
    assert (record["rule"] is pd.NA) == (facts[0] is not None)
    assert record[["source", "view", "modality", "license"]].tolist() == ["pneumonia", "AP", "X-ray", "CC BY 4.0"]


def test_a_member_that_the_source_ignored_keeps_its_rule() -> None:
    members = inventory("chest_xray/chest_xray/train/NORMAL/IM-1-1.jpeg").assign(ignored="nested_copy")
    assert pneumonia_records(members)["rule"].tolist() == ["nested_copy"]


def test_a_file_outside_the_class_folders_is_excluded() -> None:
    members = inventory("chest_xray/train/NORMAL/IM-1-1.jpeg", "chest_xray/a.txt", "other/train/NORMAL/b.jpeg")
    rules = pneumonia_records(members)["rule"]
    assert [None if pd.isna(rule) else rule for rule in rules] == [None, "unexpected_path", "unexpected_path"]


@pytest.mark.parametrize(
    "path",
    [
        "train/NORMAL/IM-0115-0001.jpeg",
        "archive/chest_xray/train/NORMAL/IM-0115-0001.jpeg",
        "a/b/c/train/NORMAL/IM-0115-0001.jpeg",
        "chest_xray/train/normal/IM-0115-0001.jpeg",
        "Chest_XRay/Train/Normal/im-0115-0001.JPEG",
        "chest_xray/chest_xray/train/NORMAL/IM-115-0001.jpeg",
    ],
)
def test_harmless_layouts_are_read(path: str) -> None:
    other = path.replace("NORMAL", "PNEUMONIA").replace("ormal", "ORMAL").replace("nORMAL", "Pneumonia")
    records = pneumonia_records(inventory(path, "readme.txt", other.replace("NORMAL", "pneumonia")))
    assert records.loc[0, ["class", "upstream_split", "patient_id"]].tolist() == [
        "NORMAL",
        "train",
        "pneumonia:IM-0115",
    ]
    assert records["class"].tolist() == ["NORMAL", pd.NA, "PNEUMONIA"]
    assert records["rule"].tolist() == [pd.NA, "unexpected_path", pd.NA]


def test_of_several_collections_in_one_zip_the_larger_is_read() -> None:
    members = inventory("a/train/NORMAL/1.png", "b/train/NORMAL/1.png", "b/train/NORMAL/2.png", "x/test/other/1.png")
    assert pneumonia_records(members)["rule"].isna().tolist() == [False, True, True, False]


def test_equal_names_in_two_classes_are_not_one_person_but_equal_persons_are() -> None:
    members = inventory(*(f"train/{kind}/{n}.png" for kind in ("NORMAL", "PNEUMONIA") for n in (1, "person7_virus_1")))
    ids = pneumonia_records(members)["patient_id"].tolist()
    assert ids == ["pneumonia:NORMAL-1", "pneumonia:person7", "pneumonia:PNEUMONIA-1", "pneumonia:person7"]
