"""Reads every ``metadata.csv`` that the COVID collection ever had.

The file is typed by hand upstream. Over the years its header changed spelling, columns came and went, Windows and
Latin-1 bytes slipped in, and some commits hold blank, cut or shifted rows. The reader takes what is certain, hands
each irregular row back with its line number and what is wrong, and refuses a file that it would have to guess about.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from typing import Any

import pandas as pd
import pyarrow as pa

from cxr_snapshot import labels
from cxr_snapshot.cells import MISPLACED, TEXT, Complaint, age, complaints
from cxr_snapshot.errors import MetadataError
from cxr_snapshot.models import conform

log = logging.getLogger(__name__)

REMEDY = (
    "Nothing was published. Report the line upstream, or pin an earlier commit with covid_commit until it is mended."
)

METADATA_SCHEMA = pa.schema(
    [
        ("metadata_line", pa.int64()),  # first line of the row in the file, counted from 1
        ("problem", pa.string()),  # blank_row, ragged_row or shifted_row, else null; then all below but `raw` is null
        ("raw", pa.string()),  # what is wrong with the row and its cells, shortened
        ("note", pa.string()),  # cells of a good row that could not be read and were left empty
        ("patient_id", pa.string()),
        ("finding", pa.string()),
        ("view", pa.string()),
        ("modality", pa.string()),
        ("folder", pa.string()),
        ("filename", pa.string()),
        ("age", pa.float64()),  # years
        ("sex", pa.string()),  # M or F
        ("license", pa.string()),
        ("url", pa.string()),
        ("doi", pa.string()),
    ]
)

_CELLS = METADATA_SCHEMA.names[METADATA_SCHEMA.names.index("note") + 1 :]

# Names in use since the first commit, lower-cased and without spaces and underscores -> our name.
_COLUMNS = {"patientid": "patient_id"} | {
    name: name for name in ("finding", "view", "modality", "folder", "filename", "age", "sex", "license", "url", "doi")
}
_REQUIRED = ("patient_id", "finding", "view", "filename")
_SHOWN = 300  # characters of an irregular row

Row = dict[str, Any]  # a part of the columns of METADATA_SCHEMA


def read_metadata(content: bytes, where: str = "metadata.csv") -> pd.DataFrame:
    """Read one ``metadata.csv``; log its irregular rows.

    Args:
        content: the file's bytes.
        where: what to call the file in messages.

    Returns:
        A table of ``METADATA_SCHEMA``, one row per record of the file in its order, irregular ones included. Cells are
        trimmed; empty ones are null. Columns that the file lacks are null, but for ``modality``: before 2020-03-17
        there was no such column, and the view tells.

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
    table = conform(pd.DataFrame(_checked(rows), columns=METADATA_SCHEMA.names), METADATA_SCHEMA)
    good = table["problem"].isna()
    if not good.any():
        raise MetadataError(f"{where} has a header but no readable row. {REMEDY}")
    if "modality" not in columns:
        is_ct = table["view"].map(labels.view_kind, na_action="ignore").eq("tomography").fillna(value=False)
        table["modality"] = table["modality"].mask(good, "X-ray").mask(is_ct, "CT")
    for found in irregularities(table).itertuples():
        log.warning("%s, line %d: %s; %s", where, found.line, found.what, found.done)
    return table


def irregularities(table: pd.DataFrame) -> pd.DataFrame:
    """List what the reader met that is not as it should be, blank rows left out.

    Args:
        table: columns of ``METADATA_SCHEMA``.

    Returns:
        ``line`` in the file, ``what`` is wrong and what was ``done`` about it, in words; in the order of the lines.
    """
    found = table[table["raw"].notna() | table["note"].notna()]
    left_out = found["problem"].notna()
    return pd.DataFrame(
        {
            "line": found["metadata_line"],
            "what": (found["problem"] + ": " + found["raw"]).where(left_out, found["note"]),
            "done": left_out.map({True: "row left out", False: "cell left empty"}),
        }
    ).reset_index(drop=True)


def decode(content: bytes) -> str:
    """Decode as UTF-8, with or without byte-order mark; bytes that are not, one by one, as Windows-1252.

    Upstream's stray bytes are single accented letters in free text; reading them so keeps the commas where they are,
    and all that is UTF-8 beside them. Bytes that Windows-1252 leaves undefined are read as in Latin-1.
    """
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda stray: _decode_byte(ord(stray[0]) - 0xDC00), text)


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
    # `modality` is older than `folder`: a header with the younger one alone is damaged, and its CT rows would pass.
    needed = (*_REQUIRED, "modality") if "folder" in found else _REQUIRED
    if missing := [name for name in needed if name not in found]:
        present = ", ".join(cell.strip() for cell in header)
        raise MetadataError(f"{where}, line 1: no column {', '.join(missing)}; found {present[:_SHOWN]}. {REMEDY}")
    return found


def _row(line: int, cells: list[str], columns: dict[str, int], fewest: int, most: int) -> Row:
    """Read one record that should have ``fewest`` (the named columns) to ``most`` (the header's) cells."""
    trimmed = [cell.strip() for cell in cells]
    if not any(trimmed):
        return {"metadata_line": line, "problem": "blank_row"}
    # A row may lack the unnamed trailing cells or have more empty ones, nothing else: a cell missing in the middle
    # would shift all that follow it, and no rule can say where.
    if len(trimmed) < fewest or any(trimmed[most:]):
        wanted = f"{fewest} to {most}" if fewest < most else f"{fewest}"
        raw = f"{len(trimmed)} cells instead of {wanted}: {','.join(trimmed)}"
        return {"metadata_line": line, "problem": "ragged_row", "raw": raw[:_SHOWN]}
    row = {name: trimmed[position] or None for name, position in columns.items()}
    return row | {"metadata_line": line, "raw": ",".join(trimmed)}


def _checked(rows: list[Row]) -> list[Row]:
    """Quarantine rows whose cells contradict their columns, and empty the cells that cannot be read."""
    good = {row["metadata_line"]: row for row in rows if "problem" not in row}
    cells = pd.DataFrame(good.values(), index=list(good), columns=_CELLS, dtype=TEXT)
    faults: dict[object, list[Complaint]] = {}
    for complaint in complaints(cells):
        faults.setdefault(complaint.line, []).append(complaint)
    return [_without_faults(row, faults.get(row["metadata_line"], [])) for row in rows]


def _without_faults(row: Row, faults: list[Complaint]) -> Row:
    if "problem" in row:
        return row
    if misplaced := [fault for fault in faults if fault.fault == MISPLACED]:
        signs = ", ".join(f"{fault.column} is {fault.cell!r}" for fault in misplaced)
        raw = f"{signs}: {row['raw']}"
        return {"metadata_line": row["metadata_line"], "problem": "shifted_row", "raw": raw[:_SHOWN]}
    row = row | {"raw": None, "age": age(row["age"]) if row.get("age") else None, "sex": labels.sex(row.get("sex"))}
    return row | {"note": ", ".join(f"{fault.column} is {fault.cell!r}" for fault in faults) or None}
