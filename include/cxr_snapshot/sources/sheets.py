"""Reads tables that are typed by hand, as CSV.

Over the years the header of such a file changes spelling, columns come and go, Windows and Latin-1 bytes slip in, and
some states hold blank, cut or shifted rows. The reader takes what is certain, hands each irregular row back with its
line number and what is wrong, and refuses a file that it would have to guess about.

A row that lost or gained a cell can still have the right length, and then says things of an image that belong to other
columns. Words of a closed vocabulary give it away: a view in the column of the modality, a file name in that of the
folder. A cell that looks like nothing in particular, or is a placeholder such as ``?``, proves nothing and is left to
the rules.

Cells are read as one line without spaces around it. What programs write for a missing value (``NA``, ``nan``) is an
empty cell, because programs that read the published tables would take it for that too. A patient has one spelling.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from cxr_snapshot import shown
from cxr_snapshot.errors import MetadataError
from cxr_snapshot.sources import identities, words
from cxr_snapshot.sources.clinical import Reader, read_cells
from cxr_snapshot.tables import conform

log = shown.logger(__name__)

MAX_AGE = 120  # years
MAX_SHEET = 16 * 1024**2  # bytes
MAX_ROWS = 50_000
MAX_CELL = 2_000  # characters; of longer cells the rest is cut off

TEXT = pd.StringDtype(na_value=pd.NA)

MISPLACED = "belongs to another column"
UNREADABLE = "cannot be read"

REMEDY = (
    "Nothing was published. Report the line upstream, or pin an earlier commit with covid_commit until it is mended."
)


_SHOWN = 300  # characters of an irregular row
_NAMED = 40  # characters of a cell that was mended
_EXAMPLES = 5  # of cells that were mended, which a log line names

# What pandas writes or reads for a missing value.
_MISSING = {
    *("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#NA", "#N/A", "#N/A N/A"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
}

Row = dict[str, Any]  # a part of the columns of a sheet
Looks = Mapping[str, Callable[[str], object]]

# What is known of each row besides its cells.
_ROW_FACTS = [
    ("metadata_line", pa.int64()),  # first line of the row in the file, counted from 1
    ("problem", pa.string()),  # blank_row, ragged_row or shifted_row, else null; then all below but `raw` is null
    ("raw", pa.string()),  # what is wrong with the row and its cells, shortened
    ("note", pa.string()),  # cells of a good row that could not be read and were left empty
    ("mended", pa.string()),  # cells of a good row that are not read as they stand there, or look damaged
    ("clinical_text", pa.string()),  # cells of a good row that no reader of the form's ``clinical`` could read
]

_AGE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_MONTH = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.?"


# What a cell of any sheet may look like. One text can be several things: `CT` was a view before it was a modality.
COMMON_LOOKS: Looks = {
    "number": re.compile(r"-?\d+(?:\.\d+)?").fullmatch,
    "file": re.compile(r"[^/]+\.(?:jpe?g|png|webp|gif|bmp|tiff?|nii|nii\.gz|dcm)", re.IGNORECASE).fullmatch,
    "url": re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE).fullmatch,
    "doi": re.compile(r"(?:doi:\s*)?10\.\d{4,9}/\S+", re.IGNORECASE).fullmatch,
    "date": re.compile(_MONTH + r"(?: \d{1,2},?)? \d{4}", re.IGNORECASE).fullmatch,
    "answer": re.compile(r"Y|N|Unclear", re.IGNORECASE).fullmatch,
    "sex": words.sex,
    "view": words.view_kind,
    "modality": words.modality,
    "licence": words.licence_kind,
}


def age(text: str) -> float | None:
    """Return a plausible age in years, or ``None``: people also write words and ranges here."""
    if not _AGE.fullmatch(text):
        return None
    years = float(text)
    return years if years <= MAX_AGE else None


@dataclass(frozen=True, eq=False)  # each is its own, so that what is made for it can be remembered
class Form:
    """How the sheets of a collection look.

    Attributes:
        columns: names in the header, in lower case and without spaces and underscores, with ours.
        required: our names of columns that every sheet has.
        needed_with: by our name of a column, another one that every sheet has that has the first.
        looks: what a cell can look like, each with what tells.
        expected: which of these looks the cells of a column can have, for columns that give a shift away.
        age: what a cell of the age says in years; ``None`` where it cannot be read.
        patient: the one spelling of a patient's name; empty where there is none.
        patient_looks_damaged: whether a patient's name looks like what a program made of another one.
        remedy: what a person can do about a sheet that cannot be read.
        clinical: by our name of a column, how its cells are read.
    """

    columns: Mapping[str, str]
    required: tuple[str, ...]
    needed_with: Mapping[str, str]
    looks: Looks
    expected: Mapping[str, set[str]]
    age: Callable[[str], float | None] = age
    patient: Callable[[str], str] = identities.patient
    patient_looks_damaged: Callable[[str], bool] = identities.looks_damaged
    remedy: str = REMEDY
    clinical: Mapping[str, Reader] = field(default_factory=dict)

    @property
    def cells(self) -> list[str]:
        """Our names of the columns, in order."""
        return list(dict.fromkeys(self.columns.values()))

    @property
    def schema(self) -> pa.Schema:
        """The columns of :func:`read_sheet`; ``age`` is in years, ``sex`` is M or F."""
        kinds = {"age": pa.float64()} | {name: reader.kind for name, reader in self.clinical.items()}
        return pa.schema([*_ROW_FACTS, *((name, kinds.get(name, pa.string())) for name in self.cells)])


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


class Sheet(NamedTuple):
    """What was read.

    Attributes:
        rows: columns of the form's ``schema``, a row for each record of the file in its order, irregular ones included.
            Cells are trimmed and are one line of at most ``MAX_CELL`` characters; empty ones are null, and so are
            columns that the file lacks. ``patient_id`` has the spelling of :mod:`cxr_snapshot.sources.identities`.
        columns: our names of the columns that the file has.
    """

    rows: pd.DataFrame
    columns: frozenset[str]


def read_sheet(content: bytes, form: Form, where: str) -> Sheet:
    """Read one sheet; log its irregular rows.

    Args:
        content: the file's bytes.
        form: how it looks.
        where: what to call the file in messages.

    Raises:
        MetadataError: the header lacks a needed column or names one twice, a quote is not closed, there is no row, or
            more than ``MAX_SHEET`` bytes or ``MAX_ROWS`` rows.
    """
    if len(content) > MAX_SHEET:
        raise MetadataError(f"{where} has {len(content):,} bytes; the limit is {MAX_SHEET:,}. {form.remedy}")
    records = _records(decode(content), where, form.remedy)
    if not records:
        raise MetadataError(f"{where} is empty. {form.remedy}")
    _, header = records[0]
    columns = _header(header, form, where)
    named = max(position for position, cell in enumerate(header) if cell.strip()) + 1
    rows = [_row(line, cells, columns, form, (named, len(header))) for line, cells in records[1:]]
    table = conform(pd.DataFrame(_checked(rows, form), columns=form.schema.names), form.schema)
    if table["problem"].notna().all():
        raise MetadataError(f"{where} has a header but no readable row. {form.remedy}")
    for found in irregularities(table).itertuples():
        log.warning("%s, line %d: %s; %s", where, found.line, found.what, found.done)
    if mended := [
        f"line {line}: {what}"
        for line, what in zip(table["metadata_line"], table["mended"], strict=True)
        if pd.notna(what)
    ]:
        log.warning(
            "%s: %d rows hold cells that look damaged, such as %s", where, len(mended), "; ".join(mended[:_EXAMPLES])
        )
    return Sheet(table, frozenset(columns))


def irregularities(table: pd.DataFrame) -> pd.DataFrame:
    """List what the reader met that is not as it should be, blank rows left out.

    Args:
        table: columns of a form's ``schema``.

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


def is_misplaced(form: Form, column: str, text: str) -> bool:
    """Say whether ``text`` looks like something, but like nothing that ``column`` can hold."""
    if words.plain(text) in words.PLACEHOLDERS:
        return False  # may stand in any column
    if any(form.looks[name](text) for name in form.expected[column]):
        return False  # first, because it is so for nearly every cell
    return any(matches(text) for matches in form.looks.values())


def complaints(cells: pd.DataFrame, form: Form) -> list[Complaint]:
    """Check every cell against what its column can hold.

    Args:
        cells: columns named as in ``form.cells``, text or null; the index is the line in the file.
        form: what the columns can hold.

    Returns:
        One for each cell at fault, by line.
    """
    read = {"age": form.age, "sex": words.sex}  # columns that are read as something
    found = []
    for column in cells.columns.intersection([*form.expected, *read]):
        filled = cells[column].dropna()
        for line, cell in zip(filled.index, filled, strict=True):
            if column in read:
                if read[column](cell) is None:
                    found.append(Complaint(line, column, cell, UNREADABLE))
            elif is_misplaced(form, column, cell):
                found.append(Complaint(line, column, cell, MISPLACED))
    return sorted(found)


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


def _records(text: str, where: str, remedy: str) -> list[tuple[int, list[str]]]:
    """Split into ``(first line, cells)``; refuse quoting that would swallow rows."""
    if "\0" in text:
        raise MetadataError(
            f"{where} holds a NUL byte in line {text[: text.index(chr(0))].count(chr(10)) + 1}. {remedy}"
        )
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # one long cell is no reason to read nothing
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return records
        except csv.Error as error:
            raise MetadataError(f"{where}, line {line}: broken quoting ({error}). {remedy}") from error
        if records and (swallowed := _swallowed_row(cells, len(records[0][1]))):
            raise MetadataError(
                f"{where}, line {line}: a quote that is not closed swallows the rows after it ({swallowed!r}). {remedy}"
            )
        records.append((line, cells))
        if len(records) > MAX_ROWS + 1:
            raise MetadataError(f"{where} has more than {MAX_ROWS:,} rows. {remedy}")


def _swallowed_row(cells: list[str], width: int) -> str | None:
    """Return a line inside a cell that looks like a row (commas, a file name), the sign of an unclosed quote."""
    for cell in cells:
        for line in cell.splitlines()[1:]:
            if line.count(",") >= width // 2 and re.search(r"\.(jpe?g|png|gz)\b", line, re.IGNORECASE):
                return line[:80]
    return None


def _header(header: list[str], form: Form, where: str) -> dict[str, int]:
    """Return our column names with their positions."""
    found: dict[str, int] = {}
    for position, cell in enumerate(header):
        name = form.columns.get(re.sub(r"[\s_]+", "", cell).lower())
        if name in found:
            raise MetadataError(f"{where}, line 1: column {cell.strip()!r} appears twice. {form.remedy}")
        if name:
            found[name] = position
    needed = (*form.required, *(other for name, other in form.needed_with.items() if name in found))
    if missing := [name for name in needed if name not in found]:
        present = ", ".join(cell.strip() for cell in header)
        raise MetadataError(f"{where}, line 1: no column {', '.join(missing)}; found {present[:_SHOWN]}. {form.remedy}")
    return found


def _row(line: int, cells: list[str], columns: dict[str, int], form: Form, width: tuple[int, int]) -> Row:
    """Read one record that should have at least as many cells as columns are named, at most as many as the header."""
    fewest, most = width
    trimmed = [" ".join(part.strip() for part in cell.splitlines() if part.strip()) for cell in cells]
    if not any(trimmed):
        return {"metadata_line": line, "problem": "blank_row"}
    # A row may lack the unnamed trailing cells or have more empty ones, nothing else: a cell missing in the middle
    # would shift all that follow it, and no rule can say where.
    if len(trimmed) < fewest or any(trimmed[most:]):
        wanted = f"{fewest} to {most}" if fewest < most else f"{fewest}"
        raw = f"{len(trimmed)} cells instead of {wanted}: {','.join(trimmed)}"
        return {"metadata_line": line, "problem": "ragged_row", "raw": raw[:_SHOWN]}
    row = {name: _cell(trimmed[position]) for name, position in columns.items()}
    cut = [
        f"{name} is cut after {MAX_CELL:,} characters" for name, at in columns.items() if len(trimmed[at]) > MAX_CELL
    ]
    mended = "; ".join([*cut, *_spell_patient(row, form)]) or None
    return row | {"metadata_line": line, "raw": ",".join(trimmed)[:_SHOWN], "mended": mended}


def _cell(text: str) -> str | None:
    return None if text in _MISSING else text[:MAX_CELL]


def _spell_patient(row: Row, form: Form) -> Iterator[str]:
    """Give the row's patient the one spelling that it has; yield what people should know of that."""
    if (stated := row["patient_id"]) is None:
        return
    row["patient_id"] = form.patient(stated) or None
    if form.patient_looks_damaged(stated):
        yield f"patient_id {stated[:_NAMED]!a} looks damaged"
    if row["patient_id"] != stated:
        yield f"patient_id {stated[:_NAMED]!a} is read as {(row['patient_id'] or '')[:_NAMED]!a}"


def _checked(rows: list[Row], form: Form) -> list[Row]:
    """Quarantine rows whose cells contradict their columns, and empty the cells that cannot be read."""
    good = {row["metadata_line"]: row for row in rows if "problem" not in row}
    cells = pd.DataFrame(good.values(), index=list(good), columns=form.cells, dtype=TEXT)
    faults: dict[object, list[Complaint]] = {}
    for complaint in complaints(cells, form):
        faults.setdefault(complaint.line, []).append(complaint)
    return [_without_faults(row, form, faults.get(row["metadata_line"], [])) for row in rows]


def _without_faults(row: Row, form: Form, faults: list[Complaint]) -> Row:
    if "problem" in row:
        return row
    if misplaced := [fault for fault in faults if fault.fault == MISPLACED]:
        signs = ", ".join(f"{fault.column} is {fault.cell!r}" for fault in misplaced)
        raw = f"{signs}: {row['raw']}"
        return {"metadata_line": row["metadata_line"], "problem": "shifted_row", "raw": raw[:_SHOWN]}
    row = row | {"raw": None, "age": form.age(row["age"]) if row.get("age") else None, "sex": words.sex(row.get("sex"))}
    values, text = read_cells(row, form.clinical)
    row |= values | {"clinical_text": text}
    return row | {"note": ", ".join(f"{fault.column} is {fault.cell!r}" for fault in faults) or None}
