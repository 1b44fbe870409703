"""Damaged ``metadata.csv`` for the reader, and for what is made of its rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from random import Random

import pandas as pd

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.selection.rules import filter_records
from cxr_snapshot.sources.covid import FORM, METADATA, covid_records, read_metadata
from cxr_snapshot.sources.sheets import REMEDY, irregularities
from cxr_snapshot.tables import INSPECTION_SCHEMA, INVENTORY_SCHEMA, conform
from fuzz import mutations
from upstream_simulator.covid_sample import history

SECONDS = 20.0  # of processor time, the most that some files may take

_CELLS = (
    b"",
    b"?",
    b"PA",
    b"CT",
    b"X-ray",
    b"images",
    b"volumes",
    b"a.jpg",
    b"65",
    b"2020",
    b"todo",
    b"N/A",
    b'"',
    b"\xff",
)
_SIGNS = (
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\r\n",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\x85",
    b"\x92",
    b"'",
    b";",
    b"\t",
)


def _lines(random: Random, body: bytes) -> bytes:
    """Delete, repeat or move a line."""
    lines = body.splitlines(keepends=True)
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.choice((0, 1, 2))):
        lines.insert(random.randint(0, len(lines)), line)
    return b"".join(lines)


def _cell(random: Random, body: bytes) -> bytes:
    """Delete, insert, change or empty a cell, or let two change places."""
    lines = body.split(b"\n")
    number = random.randrange(len(lines))
    cells = lines[number].split(b",")
    place = random.randrange(len(cells))
    match random.randrange(4):
        case 0:
            del cells[place]
        case 1:
            cells.insert(place, random.choice(_CELLS))
        case 2:
            cells[place] = random.choice(_CELLS)
        case _:
            other = random.randrange(len(cells))
            cells[place], cells[other] = cells[other], cells[place]
    lines[number] = b",".join(cells)
    return b"\n".join(lines)


def _sign(random: Random, body: bytes) -> bytes:
    """Insert a sign that means something to a reader of CSV."""
    place = random.randint(0, len(body))
    return body[:place] + random.choice(_SIGNS) + body[place:]


_DAMAGE = (
    *(mutations.cut, mutations.flip, mutations.flip_start, mutations.insert, mutations.delete, mutations.repeat),
    *(_lines, _cell, _cell, _cell, _sign, _sign),
)


def check(randoms: Sequence[Random]) -> list[str]:
    """Read damaged files and make records of all their rows.

    Returns:
        For each file ``refused``, or whether rows were quarantined.

    Raises:
        AssertionError: a row was lost, or an error does not say what to do.
    """
    outcomes, read = [], []
    for random in randoms:
        files, body = random.choice(originals())
        try:
            table = read_metadata(mutations.apply(random, body, _DAMAGE))
        except MetadataError as error:
            assert REMEDY in str(error)
            outcomes.append("refused")
            continue
        outcomes.append(_check_table(table))
        read.append(_apart(files, table, len(read)))
    if read:
        _check_records(*(pd.concat(parts, ignore_index=True) for parts in zip(*read, strict=True)))
    return outcomes


def _check_table(table: pd.DataFrame) -> str:
    assert list(table) == FORM.schema.names
    assert table["metadata_line"].is_monotonic_increasing
    assert table["metadata_line"].is_unique
    irregular = table["problem"].notna()
    assert table.loc[irregular, "patient_id":].isna().all(axis=None)
    assert len(irregularities(table)) >= irregular.sum() - table["problem"].eq("blank_row").sum()
    return "rows quarantined" if irregular.any() else "all rows read"


def _apart(files: pd.DataFrame, table: pd.DataFrame, number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give one state of the collection names and lines of its own, so that many can be joined in one go."""
    names = files["path"].str.replace("/", f"/{number}-", regex=False)
    lines = table["metadata_line"] + number * 10_000
    return files.assign(path=names), table.assign(filename=f"{number}-" + table["filename"], metadata_line=lines)


def _check_records(files: pd.DataFrame, table: pd.DataFrame) -> None:
    records = covid_records(files, table)
    assert sorted(records.loc[records["in_upstream"], "path"]) == sorted(files["path"][files["path"] != METADATA])
    assert sorted(records["metadata_line"].dropna()) == table["metadata_line"].tolist()
    inspections = conform(pd.DataFrame({"sha256": records["sha256"].dropna().unique()}), INSPECTION_SCHEMA)
    ledger = filter_records(
        records, inspections, views="frontal+lateral", licences="known-only", controls="prefer-upstream"
    )
    assert len(ledger) == len(records)
    inside = ledger[ledger["rule"].isna()]
    assert inside["class"].notna().all()
    assert inside["in_upstream"].all()
    assert ledger.loc[ledger["rule"].notna(), "reason"].notna().all()


@functools.cache
def originals() -> list[tuple[pd.DataFrame, bytes]]:
    """Return the inventory and the metadata of each state of the sample."""
    found = []
    for commit in history(seed=0):
        paths = [path for path in commit.files if path == METADATA or path.startswith("images/")]
        rows = [{"path": path, "bytes": len(commit.files[path]), "sha256": f"sha256 of {path}"} for path in paths]
        found.append((conform(pd.DataFrame(rows), INVENTORY_SCHEMA), commit.files[METADATA]))
    return found
