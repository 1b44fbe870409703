"""Every file and every row of data.csv becomes exactly one record of a patient who had COVID-19."""

from __future__ import annotations

import pandas as pd
import pytest

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.hannover import FORM, METADATA, HannoverCollection, hannover_records, modality
from cxr_snapshot.sources.sheets import read_sheet
from cxr_snapshot.sources.words import licence_kind
from cxr_snapshot.tables import INVENTORY_SCHEMA, LEDGER_SCHEMA, conform

HEADER = "patient_id,image_id,sex,age,size,weight,admission_offset,modality,projection,crp_val,d-dimer_val"
ROWS = [
    "042f06a9,b343e657,m,,,,0,CR,ap,5.0,",
    "85901531,21982772,f,,,,-1,DX,pa,,-inf",
    "042f06a9,c9280a30,m,,,,-2,CR,ap,38.0,inf",
]
IMAGES = ("png/b343e657.png", "png/21982772.png", "png/c9280a30.png")


def data(*rows: str) -> bytes:
    return "\n".join([HEADER, *(rows or ROWS), ""]).encode()


def inventory(*paths: str) -> pd.DataFrame:
    rows = [{"path": path, "bytes": 10, "sha256": f"sha of {path}"} for path in (METADATA, *paths)]
    return conform(pd.DataFrame(rows), INVENTORY_SCHEMA)


def records(*rows: str, paths: tuple[str, ...] = IMAGES) -> pd.DataFrame:
    return hannover_records(inventory(*paths), read_sheet(data(*rows), FORM, METADATA).rows)


def facts(found: pd.DataFrame, *names: str) -> list[list[object]]:
    return [[None if pd.isna(cell) else cell for cell in line] for line in found[list(names)].to_numpy()]


def test_an_image_gets_the_facts_of_its_row() -> None:
    found = records()
    assert facts(found, "path", "metadata_line", "patient_id", "sex", "age", "view", "rule") == [
        ["png/b343e657.png", 2, "hannover:042f06a9", "M", None, "ap", None],
        ["png/21982772.png", 3, "hannover:85901531", "F", None, "pa", None],
        ["png/c9280a30.png", 4, "hannover:042f06a9", "M", None, "ap", None],
    ]
    every = {"source": "hannover", "class": "COVID", "finding": "COVID-19", "finding_kind": "covid"}
    every |= {"modality": "X-ray", "modality_kind": "X-ray", "view_kind": "frontal", "license": "CC BY 3.0"}
    for name, value in every.items():
        assert found[name].eq(value).all(), name
    assert found["mended"].isna().all()
    assert licence_kind(found["license"].iloc[0]) == "derivatives"
    assert list(found) == LEDGER_SCHEMA.names


@pytest.mark.parametrize(
    ("word", "kind"),
    [("CR", "X-ray"), ("dx", "X-ray"), ("CT", "CT"), ("X-ray", "X-ray"), ("US", None), ("", "not labelled")],
)
def test_dicom_has_words_of_its_own_for_radiographs(word: str, kind: str | None) -> None:
    assert modality(word) == kind


def test_a_modality_that_is_not_known_is_kept_for_the_rule_to_show() -> None:
    assert facts(records(ROWS[0].replace("CR", "US"), paths=IMAGES[:1]), "modality", "modality_kind") == [["US", None]]


@pytest.mark.parametrize(
    ("text", "name", "damaged"),
    [
        ("042f06a9", "042f06a9", False),
        ("3e461592", "3e461592", False),
        ("01234567", "01234567", False),
        ("1234567", "01234567", False),
        ("3E+05", "00300000", True),
        ("#REF!", "#ref!", True),
    ],
)
def test_patients_are_hexadecimal_numbers(text: str, name: str, damaged: bool) -> None:
    assert (FORM.patient(text), FORM.patient_looks_damaged(text)) == (name, damaged)


def test_rows_and_pictures_that_lack_the_other() -> None:
    found = records(ROWS[0], "042f06a9,,m,,,,0,CR,ap,5.0,", "042f06a9,00000000,m,,,,0,CR,ap,5.0,", paths=IMAGES[:2])
    assert facts(found, "path", "metadata_line", "in_upstream", "rule") == [
        ["png/b343e657.png", 2, True, None],
        ["png/21982772.png", None, True, None],
        [None, 3, False, None],
        ["png/00000000.png", 4, False, None],
    ]


def test_a_row_that_lost_a_cell_says_nothing() -> None:
    found = records(ROWS[0], "85901531,21982772,f,,,-1,DX,pa,,-inf,", paths=IMAGES[:2])
    assert found.loc[found["metadata_line"].eq(3), "rule"].tolist() == ["shifted_row"]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("data.csv", True),
        ("png/b343e657.png", True),
        ("nii/readme.md", False),
        ("readme.md", False),
        ("LICENSE", False),
        ("old/data.csv", False),
    ],
)
def test_pictures_and_the_table_are_wanted(path: str, wanted: bool) -> None:
    assert HannoverCollection(Settings(bucket="cxr")).is_wanted(path) == wanted


@pytest.mark.parametrize(
    ("table", "problem"),
    [(None, "holds no data.csv"), (data().replace(b"projection", b"position"), "no column view")],
)
def test_a_table_that_cannot_be_read_is_refused_with_what_helps(table: bytes | None, problem: str) -> None:
    files = inventory(*IMAGES)
    with pytest.raises(MetadataError, match=rf"{problem}.*take hannover out of CXR_SOURCES"):
        HannoverCollection(Settings(bucket="cxr")).records(files if table else files[1:], lambda _: table or b"")


def test_the_course_of_the_disease_is_told_from_the_image_on() -> None:
    header = "patient_id,image_id,admission_offset,icu_admission_offset,icu_release_offset,death_offset,modality,"
    header += "projection,lymphocytes_offset,lymphocytes_val,neutrophils_offset,neutrophils_val"
    rows = [
        "042f06a9,a,-2,-2.0,2.0,9.0,CR,ap,0.0,1.1,-2.0,4.9",
        "042f06a9,b,3,5.0,6.0,,CR,ap,0.0,-inf,0.0,4.9",
        "042f06a9,c,-30,-20.0,-1.0,,CR,ap,,,,",
        "85901531,d,0,-1.0,,,CR,ap,,,,",
        "85901532,e,,,,,CR,ap,,,,",
    ]
    table = read_sheet("\n".join([header, *rows]).encode(), FORM, METADATA).rows
    found = hannover_records(inventory(*(f"png/{name}.png" for name in "abcde")), table)
    names = ("offset_days", "survival", "went_icu", "in_icu", "lymphocyte_count", "neutrophil_count", "clinical_text")
    assert facts(found, *names) == [
        [2, "N", "Y", "Y", 1.1, None, None],
        [-3, None, "Y", "N", None, 4.9, '{"lymphocytes_val": "-inf"}'],
        [30, None, "Y", "N", None, None, None],
        [0, None, "Y", None, None, None, None],
        [None, None, None, None, None, None, None],
    ]
