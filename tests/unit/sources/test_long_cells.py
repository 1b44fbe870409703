"""A cell or a path of the upstream may be as long as it likes; what is read of it takes time in proportion."""

from __future__ import annotations

import csv
import io
import time

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_snapshot.selection.hints import similar_files, similar_rows
from cxr_snapshot.sources.covid import FORM, covid_records, read_metadata
from cxr_snapshot.sources.pneumonia import pneumonia_records
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform

LENGTH = 100_000  # characters; the csv module takes a few more
CPU_SECONDS = 5.0  # for what takes a tenth of one; what grows with the square of the length takes 8 to 70

# Each is repeated. They look like the beginning of something that a pattern knows, again and again.
PIECES = (
    *(
        ".jpg",
        ".nii.gz",
        ".",
        "1",
        "1.",
        " ",
        "a ",
        "_",
        "-",
        "/",
        "a/",
        ";",
        "?",
        "http://",
        "www.",
        "10.1234/",
        "doi: ",
    ),
    *(
        "person1_virus_",
        "IM-1-",
        "NORMAL2-",
        "january ",
        "1 2, ",
        "no deriv ",
        "cc by ",
        "v1.",
        "pneumonia/",
        "covid-19,",
    ),
    *("\u0300\u0316", "\u1100\u1161\u11a8", "\ufdfa", "\u0130"),  # marks to be sorted; text that grows when changed
)


def read_all(text: str) -> int:
    """Read ``text`` wherever the upstreams can have it; return how many records came of it."""
    sheet = io.StringIO()
    cells = dict.fromkeys(FORM.cells, "x") | {"patient_id": text, "filename": "a.jpg"}
    free = [name for name in FORM.cells if name not in ("folder", "patient_id")]
    rows = [cells, *(cells | {name: text} for name in free), {"patient_id": text}]
    writer = csv.DictWriter(sheet, {name: header for header, name in FORM.columns.items()}, restval="")
    sheet.write(",".join({name: header for header, name in FORM.columns.items()}.values()) + "\r\n")
    writer.writerows(rows)
    paths = ["metadata.csv", f"images/{text}", f"images/{text}.jpg", f"chest_xray/train/NORMAL/{text}", text]
    inventory = conform(pd.DataFrame({"path": paths, "sha256": "0" * 64, "bytes": 1}), INVENTORY_SCHEMA)
    records = covid_records(inventory, read_metadata(sheet.getvalue().encode()))
    films = pneumonia_records(inventory)
    return sum(map(len, (records, films, similar_files(records), similar_rows(records))))


@pytest.mark.parametrize("piece", PIECES)
def test_long_text_takes_time_in_proportion(piece: str) -> None:
    start = time.process_time()
    assert read_all(f"a{piece * (LENGTH // len(piece))}") > len(FORM.cells)
    assert time.process_time() - start < CPU_SECONDS


@settings(max_examples=10)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=3))
def test_any_short_text_again_and_again_takes_time_in_proportion(piece: str) -> None:
    start = time.process_time()
    assert read_all(f"a{piece * (LENGTH // len(piece.encode()))}") > len(FORM.cells)
    assert time.process_time() - start < CPU_SECONDS
