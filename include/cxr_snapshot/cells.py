"""What the columns of ``metadata.csv`` can hold, as a pandera schema.

A row that lost or gained a cell can still have the right length, and then says things of an image that belong to other
columns. Words of a closed vocabulary give it away: a view in the column of the modality, a file name in that of the
folder. A cell that looks like nothing in particular proves nothing and is left to the filter.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from cxr_snapshot import labels

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

MAX_AGE = 120  # years

TEXT = pd.StringDtype(na_value=pd.NA)

MISPLACED = "belongs to another column"
UNREADABLE = "cannot be read"

_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.?"

# What a cell may look like. One text can be several things: `CT` was a view before it was a modality.
_LOOKS: dict[str, Callable[[str], object]] = {
    "number": re.compile(r"-?\d+(?:\.\d+)?").fullmatch,
    "file": re.compile(r"[^/]+\.(?:jpe?g|png|webp|gif|bmp|tiff?|nii|nii\.gz|dcm)", re.IGNORECASE).fullmatch,
    "url": re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE).fullmatch,
    "doi": re.compile(r"(?:doi:\s*)?10\.\d{4,9}/\S+", re.IGNORECASE).fullmatch,
    "date": re.compile(_MONTH + r"(?: \d{1,2},?)? \d{4}", re.IGNORECASE).fullmatch,
    "answer": re.compile(r"Y|N|Unclear", re.IGNORECASE).fullmatch,
    "sex": labels.sex,
    "finding": lambda text: text.lower() != "unknown" and labels.finding_kind(text),  # may stand in any column
    "view": labels.view_kind,
    "modality": labels.modality,
    "folder": labels.folder,
    "licence": labels.licence_kind,
}
# Columns whose cells decide what an image is, and what each may look like. Others cannot give a shift away: people do
# write a DOI's address into `doi`, and an age into `sex`.
_EXPECTED: dict[str, set[str]] = {
    "finding": {"finding"},
    "view": {"view"},
    "modality": {"modality"},
    "folder": {"folder"},
    "filename": {"file", "number", "date"},
    "url": {"url", "doi", "file"},
    "license": {"licence"},  # another address is where the image came from, and the licence stands elsewhere
}


class Complaint(NamedTuple):
    """A cell at fault.

    Attributes:
        line: of its row in the file.
        column: our name of its column.
        cell: its text.
        fault: ``MISPLACED`` or ``UNREADABLE``.
    """

    line: int
    column: str
    cell: str
    fault: str


def is_misplaced(column: str, text: str) -> bool:
    """Say whether ``text`` looks like something, but like nothing that ``column`` can hold."""
    if any(_LOOKS[name](text) for name in _EXPECTED[column]):
        return False  # first, because it is so for nearly every cell
    return any(matches(text) for matches in _LOOKS.values())


def age(text: str) -> float | None:
    """Return a plausible age in years, or ``None``: upstream also has words and ranges here."""
    try:
        years = float(text)
    except ValueError:
        return None
    return years if 0 <= years <= MAX_AGE else None


def complaints(cells: pd.DataFrame) -> list[Complaint]:
    """Check every cell against what its column can hold.

    Args:
        cells: columns named as in ``METADATA_SCHEMA``, text or null; the index is the line in the file.

    Returns:
        One for each cell at fault, by line.
    """
    from pandera.errors import SchemaErrors

    try:
        _schema().validate(cells, lazy=True)
    except SchemaErrors as errors:
        found = errors.failure_cases[["index", "column", "failure_case", "check"]]
        return sorted(Complaint(*row) for row in found.itertuples(index=False))
    return []


@functools.cache
def _schema() -> DataFrameSchema:
    import pandera.pandas as pa  # takes 0.3 s

    def column(can_hold: Callable[[str], bool], fault: str) -> pa.Column:
        check = pa.Check(can_hold, element_wise=True, error=fault)
        return pa.Column(TEXT, nullable=True, required=False, checks=check)

    columns = {
        name: column(functools.partial(lambda name, cell: not is_misplaced(name, cell), name), MISPLACED)
        for name in _EXPECTED
    }
    columns["age"] = column(lambda cell: age(cell) is not None, UNREADABLE)
    columns["sex"] = column(lambda cell: labels.sex(cell) is not None, UNREADABLE)
    return pa.DataFrameSchema(columns)
