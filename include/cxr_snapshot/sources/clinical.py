"""Reads what tables say of the course of a disease: days, answers, counts, dates.

Upstreams write numbers beside words (``Would have been stated``), and dates in any form. A cell is read where it can
mean one thing only and is possible; else the column stays empty, and the cell's own text is kept beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import NamedTuple

import pyarrow as pa

from cxr_snapshot.sources.words import PLACEHOLDERS, plain

Cell = str | int | float

_NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{0,9})?")
_YEARS = range(1900, 2100)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_ISO_DAY = re.compile(r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2}))?)?")
_NAMED_DAY = re.compile(r"(?P<name>[a-z]{3,9})\.?(?: (?P<day>\d{1,2}),?)? (?P<year>\d{4})", re.IGNORECASE)
_SLASHED_DAY = re.compile(r"(?P<one>\d{1,2})/(?P<other>\d{1,2})/(?P<year>(?:20)?\d{2})")
_ANSWERS = {"y": "Y", "yes": "Y", "n": "N", "no": "N"}


class Reader(NamedTuple):
    """How the cells of a column are read.

    Attributes:
        read: what a cell says, or ``None`` where it cannot be read.
        kind: Arrow's type of that.
    """

    read: Callable[[str], Cell | None]
    kind: pa.DataType


def number(lowest: float, highest: float) -> Reader:
    """Return a reader of numbers in these bounds; what is outside of them is in no patient, or in other units."""

    def read(text: str) -> float | None:
        value = float(text) if _NUMBER.fullmatch(text) else None
        return value if value is not None and lowest <= value <= highest else None

    return Reader(read, pa.float64())


def _days(text: str) -> int | None:
    value = float(text) if _NUMBER.fullmatch(text) else 0.5
    return int(value) if value.is_integer() else None


def _day(text: str) -> str | None:
    """Return an ISO date as exact as ``text`` is: a year, a month or a day; ``None`` where it could be two dates."""
    if found := _ISO_DAY.fullmatch(text):
        return _iso(found["year"], found["month"], found["day"])
    if found := _NAMED_DAY.fullmatch(text):
        months = [month for month, name in enumerate(_MONTHS, start=1) if name.startswith(found["name"].lower())]
        return _iso(found["year"], months[0], found["day"]) if months else None
    if found := _SLASHED_DAY.fullmatch(text):
        year = found["year"] if len(found["year"]) == 4 else f"20{found['year']}"
        pairs = {(found["one"], found["other"]), (found["other"], found["one"])}
        possible = {day for month, of_month in pairs if (day := _iso(year, month, of_month))}
        return possible.pop() if len(possible) == 1 else None
    return None


def _iso(year: str, month: str | int | None, day: str | None) -> str | None:
    try:
        found = date(int(year), int(month or 1), int(day or 1))
    except ValueError:
        return None
    if found.year not in _YEARS:
        return None
    return found.isoformat()[: 10 if day else 7 if month else 4]


DAYS = Reader(_days, pa.int64())
DAY = Reader(_day, pa.string())
ANSWER = Reader(lambda text: _ANSWERS.get(plain(text)), pa.string())  # Y or N
TEST_RESULT = Reader(lambda text: {**_ANSWERS, "unclear": "Unclear"}.get(plain(text)), pa.string())
TEXT = Reader(lambda text: text, pa.string())
CELLS = number(0, 1000)  # thousands in a microlitre


def read_cells(
    cells: Mapping[str, str | None], readers: Mapping[str, Reader]
) -> tuple[dict[str, Cell | None], str | None]:
    """Read the cells of one row.

    Args:
        cells: text by column; ``None`` for an empty cell.
        readers: by column.

    Returns:
        What each column says, and the cells that could not be read as a JSON object, ``None`` where there are none. A
        placeholder such as ``?`` says nothing.
    """
    texts = {name: text for name in readers if (text := cells.get(name)) and plain(text) not in PLACEHOLDERS}
    values = {name: readers[name].read(text) for name, text in texts.items()}
    unread = {name: text for name, text in texts.items() if values[name] is None}
    return dict.fromkeys(readers) | values, json.dumps(unread, ensure_ascii=False) if unread else None
