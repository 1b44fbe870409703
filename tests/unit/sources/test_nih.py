"""Every file of the zip and every row of its table becomes exactly one record, as NIH's words mean it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import pandas as pd
import pytest

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.nih import FORM, METADATA, NihCollection, age, finding_kind, nih_records
from cxr_snapshot.sources.sheets import irregularities, read_sheet
from cxr_snapshot.sources.words import licence_kind
from cxr_snapshot.tables import INVENTORY_SCHEMA, LEDGER_SCHEMA, conform

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y"
)
ROWS = [
    "00000013_005.png,Emphysema|Infiltration|Pleural_Thickening,005,00000013,060Y,M,AP,3056,2544,0.139,0.139",
    "00000042_002.png,No Finding,002,00000042,013M,F,PA,3056,2544,0.139,0.139",
    "00000061_019.png,Edema|Pneumonia,019,00000061,412Y,M,AP,3056,2544,0.139,0.139",
]
TABLE = "\r\n".join([HEADER, *ROWS, ""]).encode()


def inventory(*paths: str, ignored: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the table and members of these paths; equal names have equal bytes."""
    rows = [
        {
            "path": path,
            "bytes": 10,
            "sha256": f"sha of {PurePosixPath(path).name}",
            "ignored": (ignored or {}).get(path),
        }
        for path in (METADATA, *paths)
    ]
    return conform(pd.DataFrame(rows), INVENTORY_SCHEMA)


def records(*paths: str, table: bytes = TABLE, ignored: Mapping[str, str] | None = None) -> pd.DataFrame:
    return nih_records(inventory(*paths, ignored=ignored), read_sheet(table, FORM, METADATA).rows)


def facts(found: pd.DataFrame, *names: str) -> list[list[object]]:
    return [[None if pd.isna(cell) else cell for cell in line] for line in found[list(names)].to_numpy()]


IMAGES = tuple(f"sample/images/{row.split(',')[0]}" for row in ROWS)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ("No Finding", "normal"),
        ("No_Finding", "normal"),
        ("Pneumonia", "pneumonia"),
        ("Infiltration|Pneumonia", "pneumonia"),
        ("Pleural_Thickening", "other"),
        ("Effusion|Mass", "other"),
        ("Hernia", "other"),
        ("No Finding|Pneumonia", None),
        ("No Finding|Mass", None),
        ("Pneumonitis", None),
        ("Pneumonia|Bronchitis", None),
        ("Edema Pneumonia", None),
        ("", "not labelled"),
        ("todo", "not labelled"),
        (None, "not labelled"),
    ],
)
def test_labels_are_whole_words(labels: str | None, kind: str | None) -> None:
    assert finding_kind(labels) == kind


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("060Y", 60),
        ("60y", 60),
        ("013M", 1.083),
        ("001D", 0.003),
        ("120Y", 120),
        ("121Y", None),
        ("411Y", None),
        ("412Y", None),
        ("060", None),
        ("060W", None),
        ("Y", None),
        ("-60Y", None),
    ],
)
def test_ages_have_a_unit_and_are_possible(text: str, years: float | None) -> None:
    assert age(text) == years


@pytest.mark.parametrize(
    ("text", "name"), [("00000013", "00000013"), ("13", "00000013"), ("13.0", "00000013"), ("13a", "13a"), ("", "")]
)
def test_patients_have_eight_digits(text: str, name: str) -> None:
    assert FORM.patient(text) == name


def test_an_image_gets_the_facts_of_its_row() -> None:
    found = records(*IMAGES)
    assert facts(found, "source", "path", "metadata_line", "class", "patient_id", "age", "sex", "view", "rule") == [
        ["nih", IMAGES[0], 2, None, "nih:00000013", 60.0, "M", "AP", None],
        ["nih", IMAGES[1], 3, "NORMAL", "nih:00000042", 1.083, "F", "PA", None],
        ["nih", IMAGES[2], 4, "PNEUMONIA", "nih:00000061", None, "M", "AP", None],
    ]
    assert found["finding_kind"].tolist() == ["other", "normal", "pneumonia"]
    assert found["view_kind"].eq("frontal").all()
    assert found["mended"].isna().all()
    assert found["license"].str.contains("acknowledge").all()
    assert list(found) == LEDGER_SCHEMA.names


def test_no_licence_is_named_so_that_none_is_made_up() -> None:
    assert licence_kind(records(*IMAGES)["license"].iloc[0]) is None


def test_an_impossible_age_is_noted() -> None:
    found = irregularities(read_sheet(TABLE, FORM, METADATA).rows)
    assert found.to_numpy().tolist() == [[4, "age is '412Y'", "cell left empty"]]


def test_copies_that_a_spreadsheet_saved_say_the_same() -> None:
    saved = TABLE.replace(b",00000", b",").replace(b",005,", b",5,").replace(b"\r\n", b"\n")
    found, true = records(*IMAGES, table=b"\xef\xbb\xbf" + saved), records(*IMAGES)
    assert found["mended"].tolist()[0] == "patient_id '013' is read as '00000013'"
    pd.testing.assert_frame_equal(found.drop(columns="mended"), true.drop(columns="mended"))


def test_rows_without_picture_and_pictures_without_row() -> None:
    found = records(IMAGES[0], "sample/images/00001650_000.png")
    assert facts(found, "path", "metadata_line", "in_upstream") == [
        [IMAGES[0], 2, True],
        ["sample/images/00001650_000.png", None, True],
        [IMAGES[1], 3, False],
        [IMAGES[2], 4, False],
    ]


def test_second_copies_and_other_files_are_told_apart() -> None:
    copies = [f"sample/sample/images/{PurePosixPath(IMAGES[0]).name}", "sample/sample/sample_labels.csv"]
    others = ["sample/sample_labels.csv", "sample/readme.txt", "other/images/a.png"]
    found = records(*IMAGES, *copies, *others, ignored=dict.fromkeys(copies, "nested_copy"))
    assert facts(found[~found["path"].isin(IMAGES)], "path", "rule") == [
        [copies[0], "nested_copy"],
        [copies[1], "nested_copy"],
        ["sample/sample_labels.csv", "nested_copy"],
        ["sample/readme.txt", "unexpected_path"],
        ["other/images/a.png", "unexpected_path"],
    ]
    assert found[found["path"].isin(IMAGES)]["rule"].isna().all()


@pytest.mark.parametrize("above", ["", "archive/", "nih/sample/"])
def test_what_lies_above_the_images_does_not_matter(above: str) -> None:
    images = [f"{above}images/{PurePosixPath(path).name}" for path in IMAGES]
    assert facts(records(*images), "path", "metadata_line", "rule") == [
        [path, line, None] for line, path in enumerate(images, start=2)
    ]


def test_a_shifted_row_says_nothing() -> None:
    shifted = TABLE.replace(b"No Finding,002,00000042", b"002,00000042,No Finding")
    found = records(*IMAGES, table=shifted)
    assert found.loc[found["metadata_line"].eq(3), "rule"].tolist() == ["shifted_row"]
    assert found["rule"].notna().sum() == 1


@pytest.mark.parametrize(
    ("table", "problem"),
    [(None, "holds no sample_labels.csv"), (TABLE.replace(b"Finding Labels", b"Labels"), "no column finding")],
)
def test_a_table_that_cannot_be_read_is_refused_with_what_helps(table: bytes | None, problem: str) -> None:
    members = inventory(*IMAGES)
    collection = NihCollection(Settings(bucket="cxr"))
    with pytest.raises(MetadataError, match=rf"{problem}.*take nih out of CXR_SOURCES"):
        collection.records(members if table else members[1:], lambda _: table or b"")
