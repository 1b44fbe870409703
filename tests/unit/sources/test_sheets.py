"""The reader takes every form that upstream ever had, and nothing that it would have to guess."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.sources.covid import FORM, read_metadata
from cxr_snapshot.sources.sheets import (
    MAX_AGE,
    MAX_CELL,
    MAX_ROWS,
    MAX_SHEET,
    age,
    decode,
    irregularities,
    is_misplaced,
)
from cxr_snapshot.sources.words import licence_kind
from cxr_snapshot.tables import CLINICAL_COLUMNS

FIRST = "Patientid,offset,sex,age,finding,survival,view,date,location,filename,doi, url,"
SECOND = (
    "Patientid,offset,sex,age,finding,survival,view,modality,date,location,filename,doi, url,license,clinical notes,"
)
THIRD = "patientid,offset,sex,age,finding,view,modality,date,location,folder,filename,doi,url,license,clinical_notes,"
ROW = "7,0,M,65,COVID-19,PA,X-ray,2020,Rome,images,a.jpg,10.1000/1,https://example.org/1,CC BY,some text,"


def read(*lines: str, header: str = THIRD) -> pd.DataFrame:
    return read_metadata("\n".join([header, *lines, ""]).encode())


def only_row(table: pd.DataFrame) -> dict[str, object]:
    assert len(table) == 1
    return {name: None if pd.isna(value) else value for name, value in table.iloc[0].items()}


def test_newest_form() -> None:
    assert only_row(read(ROW)) == {
        "metadata_line": 2,
        "problem": None,
        "raw": None,
        "note": None,
        "mended": None,
        "patient_id": "7",
        "finding": "COVID-19",
        "view": "PA",
        "modality": "X-ray",
        "folder": "images",
        "filename": "a.jpg",
        "age": 65.0,
        "sex": "M",
        "license": "CC BY",
        "url": "https://example.org/1",
        "doi": "10.1000/1",
        **dict.fromkeys((*CLINICAL_COLUMNS, "clinical_text")),
        "offset_days": 0,
        "date": "2020",
        "location": "Rome",
    }


def test_columns_and_types_do_not_depend_on_the_form() -> None:
    tables = [read(ROW), read("1,,,,SARS,,CT,,,a.jpg,,,", header=FIRST)]
    for table in tables:
        assert list(table) == FORM.schema.names
        assert table.dtypes.equals(tables[0].dtypes)


def test_first_form_has_neither_modality_nor_folder_and_ct_is_a_view() -> None:
    content = "\r\n".join(
        [FIRST, "1, ,,,COVID-19,,PA,2019,,a.jpg,,https://example.org,", "2,,F,,SARS,,CT,,,b.jpg,,,", ""]
    )
    table = read_metadata(content.encode())
    assert table["modality"].tolist() == ["X-ray", "CT"]
    assert table["folder"].isna().all()
    assert table["url"].tolist() == ["https://example.org", pd.NA]
    assert table["metadata_line"].tolist() == [2, 3]


def test_second_form_has_modality() -> None:
    row = only_row(read("1,,,,COVID-19,,PA,Radiograph,,,a.jpg,,,CC-NC-SA,,", header=SECOND))
    assert (row["modality"], row["folder"], row["license"]) == ("Radiograph", None, "CC-NC-SA")


@pytest.mark.parametrize("cell", ["PatientID", " patientid ", "patient_id", "Patient ID"])
def test_spelling_of_the_header_does_not_matter(cell: str) -> None:
    assert read(ROW, header=THIRD.replace("patientid", cell))["patient_id"].tolist() == ["7"]


def test_trailing_columns_come_and_go() -> None:
    assert read(ROW.removesuffix(","))["problem"].isna().all()  # header names none, row has none
    assert read(ROW + ",,")["problem"].isna().all()
    assert read(ROW, header=THIRD.removesuffix(","))["problem"].isna().all()


def test_cells_are_trimmed() -> None:
    assert read(ROW.replace("a.jpg", " a.png ")).loc[0, "filename"] == "a.png"


def test_cells_of_several_lines_keep_the_count_of_lines() -> None:
    table = read(ROW.replace("some text", '"two\nlines, ""quoted"""'), ROW.replace("a.jpg", "b.jpg"))
    assert table["metadata_line"].tolist() == [2, 4]
    assert table["filename"].tolist() == ["a.jpg", "b.jpg"]


def test_blank_rows_are_kept_as_such() -> None:
    table = read(ROW, "", ",,,,", "  ", ROW.replace("a.jpg", "b.jpg"))
    assert table["problem"].tolist() == [pd.NA, "blank_row", "blank_row", "blank_row", pd.NA]
    assert irregularities(table).empty


@pytest.mark.parametrize(
    ("line", "raw"),
    [
        (ROW.replace("7,0,", "7,").replace(",some text,", ","), "14 cells instead of 15 to 16: 7,M,65"),
        ('"Figure 3. A caption, pasted over the sheet."', "1 cells instead of 15 to 16: Figure 3. A caption"),
        (ROW + "too much", "no"),
        (ROW + ",too much", "17 cells instead of 15 to 16: 7,0,M"),
    ],
)
def test_ragged_row_is_left_out_and_reported(line: str, raw: str) -> None:
    if raw == "no":
        assert read(line)["problem"].isna().all()  # the unnamed last column may hold something
        return
    table = read(ROW, line)
    assert table["problem"].tolist() == [pd.NA, "ragged_row"]
    assert table.loc[1, "raw"].startswith(raw)
    assert table.loc[1, "patient_id":].isna().all()
    assert irregularities(table).to_dict("records") == [
        {"line": 3, "what": f"ragged_row: {table.loc[1, 'raw']}", "done": "row left out"}
    ]


@pytest.mark.parametrize(
    ("row", "sign"),
    [
        # a cell deleted, and one added at the end to keep the length
        (ROW.replace("7,0,M,", "7,M,") + ",", "finding is 'PA'"),
        (ROW.replace("COVID-19,PA,X-ray,", "COVID-19,X-ray,") + ",", "filename is '10.1000/1'"),
        (ROW.replace(",Rome,", ",") + ",", "folder is 'a.jpg'"),
        (ROW.replace(",10.1000/1,", ",") + ",", "url is 'CC BY'"),
        # a cell inserted, and the last one lost
        (ROW.replace("M,65,", "M,,65,").removesuffix(","), "finding is '65', license is"),
        (ROW.replace("X-ray,", "X-ray,CT,").removesuffix(","), "filename is 'images'"),
        (ROW.replace("a.jpg,", "a.jpg,b,").removesuffix(","), "license is 'https"),
        # two cells changed places
        (ROW.replace("PA,X-ray", "X-ray,PA"), "modality is 'PA', view is 'X-ray'"),
        (ROW.replace("images,a.jpg", "a.jpg,images"), "filename is 'images', folder is 'a.jpg'"),
        (ROW.replace("X-ray,2020", "March 2003,X-ray"), "modality is 'March 2003'"),
    ],
)
def test_shifted_row_of_the_right_length_is_left_out(row: str, sign: str) -> None:
    table = read(ROW, row)
    assert table["problem"].tolist() == [pd.NA, "shifted_row"]
    assert sign in table.loc[1, "raw"].split(": 7,")[0]
    assert table.loc[1, "patient_id":].isna().all()
    assert irregularities(table)["line"].tolist() == [3]


@given(st.integers(0, 15), st.integers(0, 15), st.sampled_from(["", "?", "a word"]))
@example(13, 14, "")  # the licence is lost, and a note takes its place
def test_no_shift_changes_what_an_image_is_said_to_be(take: int, put: int, filler: str) -> None:
    cells = ROW.split(",")
    del cells[take]
    cells.insert(put, filler)
    plain, shifted = read(ROW), read(ROW.replace("a.jpg", "z.jpg"), ",".join(cells)).tail(1).reset_index(drop=True)
    if pd.isna(shifted.loc[0, "problem"]):
        told = shifted.loc[0, ["finding", "view", "modality", "filename"]]
        assert all(pd.isna(cell) or cell == filler or cell == plain.loc[0, name] for name, cell in told.items())
        licence = shifted.loc[0, "license"]
        assert pd.isna(licence) or licence == plain.loc[0, "license"] or licence_kind(licence) is None


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("finding", "todo"),
        ("finding", ""),
        ("view", "?"),
        ("view", "Unknown"),
        ("modality", "CT"),
        ("modality", "MRI"),
        ("folder", "volumes"),
        ("folder", "image"),
        ("filename", "no-extension-314"),
        ("filename", "000001-272"),
        ("filename", "12345"),
        ("filename", "scan.webp-day5.png"),
        ("url", "10.1148/radiol.1"),
        ("url", "www.example.org/a.jpg"),
        ("url", "personal communication"),
        ("license", "https://creativecommons.org/licenses/by/4.0/"),
        ("license", "listed as authorized for everyone"),
        ("license", "unknown"),
    ],
)
def test_odd_cell_that_proves_no_shift_is_left_to_the_filter(column: str, cell: str) -> None:
    assert not is_misplaced(FORM, column, cell)


def test_cell_that_cannot_be_read_is_emptied_and_reported() -> None:
    table = read(ROW.replace(",M,65,", ",65,adult,"))
    row = only_row(table)
    assert (row["problem"], row["sex"], row["age"], row["filename"]) == (None, None, None, "a.jpg")
    assert irregularities(table).to_dict("records") == [
        {"line": 2, "what": "age is 'adult', sex is '65'", "done": "cell left empty"}
    ]


def test_patient_that_a_spreadsheet_rewrote_is_one_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    ids = ["7", "7.0", " 07", "\ufeff7", "8", "#REF!", "1E+05"]
    with caplog.at_level(logging.WARNING):
        table = read(*(ROW.replace("7,0,", f"{text},0,", 1).replace("a.jpg", f"{n}.jpg") for n, text in enumerate(ids)))
    assert table["patient_id"].tolist() == ["7", "7", "7", "7", "8", "#ref!", "100000"]
    (message,) = (record.getMessage() for record in caplog.records)
    assert message.startswith(
        "metadata.csv: 5 rows hold cells that look damaged, such as line 3: patient_id '7.0' is read"
    )
    assert table["mended"].tolist() == [
        pd.NA,
        "patient_id '7.0' is read as '7'",
        "patient_id '07' is read as '7'",
        "patient_id '\\ufeff7' is read as '7'",
        pd.NA,
        "patient_id '#REF!' looks damaged; patient_id '#REF!' is read as '#ref!'",
        "patient_id '1E+05' looks damaged; patient_id '1E+05' is read as '100000'",
    ]


@pytest.mark.parametrize("text", ["", "NA", "nan", "None", "#N/A", "<NA>"])
def test_what_programs_write_for_a_missing_value_is_empty(text: str) -> None:
    table = read(ROW.replace("COVID-19", text).replace("7,0,", f"{text},0,", 1).replace("CC BY", text))
    assert table.loc[0, ["finding", "patient_id", "license"]].isna().all()


@pytest.mark.parametrize("broken", ["\r", "\n", "\r\n", "\x0b", "\u2028", " \r \n"])
def test_a_cell_is_one_line(broken: str) -> None:
    table = read(ROW.replace("CC BY", f'"CC BY{broken}4.0{broken}"'))
    assert table["license"].tolist() == ["CC BY 4.0"]


def test_long_cells_are_cut_and_said() -> None:
    table = read(ROW.replace("CC BY", "x" * 1_000_000), ROW.replace("some text", "y" * 1_000_000))
    assert table["license"].str.len().tolist() == [MAX_CELL, 5]
    assert table["mended"].tolist() == ["license is cut after 2,000 characters", pd.NA]


def test_irregular_rows_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(ROW, "a,caption", "")
    assert [record.getMessage() for record in caplog.records] == [
        "metadata.csv, line 3: ragged_row: 2 cells instead of 15 to 16: a,caption; row left out"
    ]


@pytest.mark.parametrize(
    ("text", "years"),
    [
        *(("65", 65.0), ("0.5", 0.5), (".5", 0.5), (str(MAX_AGE), 120.0), ("121", None), ("-1", None), ("60s", None)),
        *((text, None) for text in ("nan", "inf", "1e999", "1_0", "9" * 5000, "0." + "9" * 5000)),
    ],
)
def test_age(text: str, years: float | None) -> None:
    assert age(text) == years


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"\xef\xbb\xbfcaf\xc3\xa9", "café"),
        (b"patient\x92s", "patient\u2019s"),  # Windows-1252
        (b"caf\xe9, caf\xc3\xa9", "café, café"),  # one stray byte does not spoil the rest
        (b"\x81,\xff", "\x81,ÿ"),  # undefined in Windows-1252
    ],
)
def test_decoding(content: bytes, text: str) -> None:
    assert decode(content) == text


@given(st.binary())
def test_decoding_keeps_commas_quotes_and_line_ends(content: bytes) -> None:
    text = decode(content)
    assert [text.count(sign) for sign in ',"\n\r'] == [content.count(sign.encode()) for sign in ',"\n\r']


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (THIRD, "no readable row"),
        (f"{THIRD}\n\n,,,\n", "no readable row"),
        (f"{THIRD}\na,b\n", "no readable row"),
        ("\n" + THIRD, "line 1: no column patient_id, finding, view, filename"),
        (f"{THIRD.replace('finding', 'fnding')}\n{ROW}\n", "line 1: no column finding; found patientid, offset"),
        (f"{THIRD.replace('modality', 'modalty')}\n{ROW}\n", "line 1: no column modality"),
        (f"{THIRD.replace('offset', 'View')}\n{ROW}\n", "line 1: column 'view' appears twice"),
        (f"{THIRD}\n{ROW}\n{ROW.replace('some', chr(34))}\n", "line 3: broken quoting"),
        (f"{THIRD}\n{ROW.replace('some text', chr(34) + 'a' + chr(34) + 'b')}\n", "line 2: broken quoting"),
        (
            f"{THIRD}\n{ROW.replace('some', chr(34))}\n{ROW.replace('Rome', chr(34) + 'Rome' + chr(34))}\n",
            "line 2: broken quoting",
        ),
        (
            f"{THIRD}\n{ROW.replace('some', chr(34))}\n{ROW}\n{ROW.replace('some text', chr(34))}\n",
            "line 2: a quote that is not closed swallows the rows after it",
        ),
        (f"{THIRD}\n{ROW}\n{ROW.replace('some', chr(0))}\n", "NUL byte in line 3"),
        (THIRD.encode("utf-16"), "NUL byte in line 1"),
    ],
)
def test_file_that_cannot_be_read_safely_is_refused_with_line_and_remedy(content: str | bytes, message: str) -> None:
    body = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(MetadataError, match=message) as caught:
        read_metadata(body)
    assert "covid_commit" in str(caught.value)


@pytest.mark.parametrize(
    ("rest", "message"),
    [(b"\n" * (MAX_ROWS + 1), "more than 50,000 rows"), (b"," * MAX_SHEET, "the limit is 16,777,216")],
)
def test_a_file_that_would_take_too_much_memory_is_refused(rest: bytes, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        read_metadata(b"patientid,finding,view,filename\n" + rest)
