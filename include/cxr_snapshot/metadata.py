"""Reads every ``metadata.csv`` that the COVID collection ever had.

The file is typed by hand upstream. Over the years its header changed spelling, columns came and went, Windows and
Latin-1 bytes slipped in, and some commits hold blank, cut or shifted rows. The reader takes what is certain, hands
each irregular row back with its line number and what is wrong, and refuses a file that it would have to guess about.
"""

from __future__ import annotations

import csv
import io
import re

import pandas as pd
import pyarrow as pa

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.models import conform

REMEDY = (
    "Nothing was published. Report the line upstream, or pin an earlier commit with covid_commit until it is mended."
)

METADATA_SCHEMA = pa.schema(
    [
        ("metadata_line", pa.int64()),  # first line of the row in the file, counted from 1
        ("problem", pa.string()),  # blank_row or ragged_row, else null
        ("raw", pa.string()),  # the cells of an irregular row, joined
        ("patient_id", pa.string()),
        ("finding", pa.string()),
        ("view", pa.string()),
        ("modality", pa.string()),
        ("folder", pa.string()),
        ("filename", pa.string()),
        ("age", pa.float64()),  # years
        ("sex", pa.string()),
        ("license", pa.string()),
        ("url", pa.string()),
        ("doi", pa.string()),
    ]
)

# Names in use since the first commit, after lower-casing and trimming -> our name.
_COLUMNS = {"patientid": "patient_id"} | {
    name: name for name in ("finding", "view", "modality", "folder", "filename", "age", "sex", "license", "url", "doi")
}
_REQUIRED = ("patient_id", "finding", "view", "filename")


def read_metadata(content: bytes, where: str = "metadata.csv") -> pd.DataFrame:
    """Read one ``metadata.csv``.

    Args:
        content: the file's bytes.
        where: what to call the file in messages.

    Returns:
        A table of ``METADATA_SCHEMA``, one row per record of the file in its order, irregular ones included. Cells are
        trimmed; empty ones are null. Columns that the file lacks are null.

    Raises:
        MetadataError: the header lacks a needed column or names one twice, a quote is not closed, or there is no row.
    """
    records = _records(decode(content), where)
    if not records:
        raise MetadataError(f"{where} is empty. {REMEDY}")
    _, header = records[0]
    columns = _header(header, where)
    named = max(position for position, cell in enumerate(header) if cell.strip()) + 1
    rows = [_row(line, cells, columns, named, len(header)) for line, cells in records[1:]]
    if all(row.get("problem") for row in rows):
        raise MetadataError(f"{where} has a header but no readable row. {REMEDY}")
    return conform(pd.DataFrame(rows), METADATA_SCHEMA)


def decode(content: bytes) -> str:
    """Decode as UTF-8 (with or without byte-order mark), else as Windows-1252 with undefined bytes as in Latin-1.

    Upstream's stray bytes are single accented letters in free text; both fallbacks keep the commas where they are.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return "".join(_decode_byte(byte) for byte in content)


def _decode_byte(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def _records(text: str, where: str) -> list[tuple[int, list[str]]]:
    """Split into ``(first line, cells)``; refuse quoting that would swallow rows."""
    if "\0" in text:
        raise MetadataError(
            f"{where} holds a NUL byte in line {text[: text.index(chr(0))].count(chr(10)) + 1}. {REMEDY}"
        )
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return records
        except csv.Error as error:
            raise MetadataError(f"{where}, line {line}: broken quoting ({error}). {REMEDY}") from error
        if records and (swallowed := _swallowed_row(cells, len(records[0][1]))):
            raise MetadataError(
                f"{where}, line {line}: a quote that is not closed swallows the rows after it ({swallowed!r}). {REMEDY}"
            )
        records.append((line, cells))


def _swallowed_row(cells: list[str], width: int) -> str | None:
    """Return a line inside a cell that looks like a row (commas, a file name), the sign of an unclosed quote."""
    for cell in cells:
        for line in cell.splitlines()[1:]:
            if line.count(",") >= width // 2 and re.search(r"\.(jpe?g|png|gz)\b", line, re.IGNORECASE):
                return line[:80]
    return None


def _header(header: list[str], where: str) -> dict[str, int]:
    """Return our column names with their positions."""
    found: dict[str, int] = {}
    for position, cell in enumerate(header):
        name = _COLUMNS.get(re.sub(r"[\s_]+", "", cell).lower())
        if name in found:
            raise MetadataError(f"{where}, line 1: column {cell.strip()!r} appears twice. {REMEDY}")
        if name:
            found[name] = position
    if missing := [name for name in _REQUIRED if name not in found]:
        present = ", ".join(cell.strip() for cell in header)
        raise MetadataError(f"{where}, line 1: no column {', '.join(missing)}; found {present}. {REMEDY}")
    return found


def _row(line: int, cells: list[str], columns: dict[str, int], fewest: int, most: int) -> dict[str, object]:
    """Read one record that should have ``fewest`` (the named columns) to ``most`` (the header's) cells."""
    trimmed = [cell.strip() for cell in cells]
    if not any(trimmed):
        return {"metadata_line": line, "problem": "blank_row"}
    # A row may lack the unnamed trailing cells or have more empty ones, nothing else: a cell missing in the middle
    # would shift all that follow it, and no rule can say where.
    if len(trimmed) < fewest or any(trimmed[most:]):
        return {"metadata_line": line, "problem": "ragged_row", "raw": ",".join(trimmed)[:200]}
    row: dict[str, object] = {name: trimmed[position] or None for name, position in columns.items()}
    return row | {"metadata_line": line, "age": _number(trimmed[columns["age"]]) if "age" in columns else None}


def _number(text: str) -> float | None:
    """Return a plausible age in years, or ``None``: upstream also has words and ranges here."""
    try:
        age = float(text)
    except ValueError:
        return None
    return age if 0 <= age <= 120 else None
