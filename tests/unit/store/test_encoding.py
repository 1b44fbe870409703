"""Tables come back equal from what reads them."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cxr_snapshot.store.encoding import csv_bytes

CELLS = st.text(
    st.sampled_from("ab\u00e9 ,\"'\r\n\t;|#\\") | st.characters(codec="utf-8", exclude_characters="\0"), max_size=6
)
ROWS = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6)


@given(ROWS)
@example([("a\rb", "c"), ("\r", "\r\n"), ("\n", '"\r"')])
def test_csv_reads_back_equal(rows: list[tuple[str, str]]) -> None:
    # The first column keeps a row of empty cells from being an empty line.
    frame = pd.DataFrame([(str(number), *row) for number, row in enumerate(rows)], columns=["n", "one", "other"])
    body, wanted = csv_bytes(frame), frame.to_numpy().tolist()
    header, *plain = csv.reader(io.StringIO(body.decode(), newline=""))
    assert (header, plain) == (["n", "one", "other"], wanted)
    read = pd.read_csv(io.BytesIO(body), dtype=str, keep_default_na=False)
    assert read.to_numpy().tolist() == wanted
    types = arrow_csv.ConvertOptions(column_types=dict.fromkeys(frame, pa.string()))
    lines = arrow_csv.ParseOptions(newlines_in_values=True)
    arrow = arrow_csv.read_csv(io.BytesIO(body), convert_options=types, parse_options=lines)
    assert [list(row.values()) for row in arrow.to_pylist()] == wanted


@pytest.mark.parametrize(
    ("cell", "line"),
    [("a", "a"), ("a,b", '"a,b"'), ('a"b', '"a""b"'), ("a\rb", '"a\rb"'), ("a\nb", '"a\nb"'), (None, '""')],
)
def test_csv_has_one_form_in_every_version_of_python(cell: str | None, line: str) -> None:
    assert csv_bytes(pd.DataFrame({"x": [cell]})) == f"x\n{line}\n".encode()
    assert csv_bytes(pd.DataFrame({"x": [cell]}), header=False) == f"{line}\n".encode()


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\u202ea", "\x1b[31m"])
def test_a_cell_that_looks_like_a_formula_stays_as_it_is(cell: str) -> None:
    assert csv_bytes(pd.DataFrame({"x": [cell]})) == f"x\n{cell}\n".encode()
