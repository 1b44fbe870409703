"""A cell is read where it can mean one thing only; else its own text is kept."""

from __future__ import annotations

import json

import pytest

from cxr_snapshot.sources.clinical import ANSWER, CELLS, DAY, DAYS, TEST_RESULT, TEXT, number, read_cells


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020", "2020"),
        ("2020-03", "2020-03"),
        ("2020-03-04", "2020-03-04"),
        ("March 2003", "2003-03"),
        ("January 22, 2020", "2020-01-22"),
        ("Mar 4, 2020", "2020-03-04"),
        ("Sept. 9 2019", "2019-09-09"),
        ("3/3/2020", "2020-03-03"),
        ("01/13/20", "2020-01-13"),
        ("13/01/2020", "2020-01-13"),
        ("03/06/20", None),
        ("02/30/2020", None),
        ("February 30, 2020", None),
        ("March", None),
        ("Marble 2020", None),
        ("1066", None),
        ("99/99/2020", None),
        ("a hospital in 2020", None),
    ],
)
def test_dates_are_as_exact_as_they_are_stated(text: str, expected: str | None) -> None:
    assert DAY.read(text) == expected


@pytest.mark.parametrize(
    ("reader", "text", "expected"),
    [
        (DAYS, "5", 5),
        (DAYS, "-42", -42),
        (DAYS, "10.0", 10),
        (DAYS, "1.5", None),
        (DAYS, "W", None),
        (DAYS, "99999999", None),
        (ANSWER, "Y", "Y"),
        (ANSWER, " no ", "N"),
        (ANSWER, "Unclear", None),
        (ANSWER, "Would have been stated", None),
        (TEST_RESULT, "Unclear", "Unclear"),
        (TEST_RESULT, "y", "Y"),
        (number(30, 45), "38.2", 38.2),
        (number(30, 45), "95", None),
        (number(30, 45), "38,2", None),
        (number(30, 45), "nan", None),
        (CELLS, "-inf", None),
        (CELLS, "0.22", 0.22),
        (TEXT, "Wuhan, China", "Wuhan, China"),
    ],
)
def test_what_is_possible_is_read(reader, text, expected) -> None:
    assert reader.read(text) == expected


def test_what_cannot_be_read_is_kept_and_a_placeholder_says_nothing() -> None:
    cells = {"date": "2020", "temperature": "95", "survival": "?", "in_icu": "Would have been stated", "other": "x"}
    readers = {"date": DAY, "temperature": number(30, 45), "survival": ANSWER, "in_icu": ANSWER, "offset_days": DAYS}
    values, text = read_cells(cells, readers)
    assert values == {"date": "2020", "temperature": None, "survival": None, "in_icu": None, "offset_days": None}
    assert json.loads(text or "") == {"temperature": "95", "in_icu": "Would have been stated"}
    assert read_cells({"date": "2020"}, readers)[1] is None
