"""What a row without file, and a file without row, may have meant: hints for people, never acted upon."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.sources.identities import visible

NO_HINT = "none"
MAX_NAMED = 10  # candidates that a hint lists

_LONGEST = 255  # characters in a file's name


def similar_files(ledger: pd.DataFrame) -> pd.Series:
    """Name the files that differ from a lost row's file in extension, case or folder only.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, of sources that have a table.

    Returns:
        A text for every row that names a file but has none, by the ledger's index.
    """
    by_stem = defaultdict[tuple[str, str], list[str]](list)
    there = ledger[ledger["in_upstream"]]
    for source, path in zip(there["source"], there["path"], strict=True):
        by_stem[source, _stem(path)].append(path)
    lost = ledger[~ledger["in_upstream"] & ledger["path"].notna()]
    names = zip(lost.index, lost["source"], lost["path"], strict=True)
    return _texts({index: _first(by_stem, source, _stem(path)) for index, source, path in names})


def similar_rows(ledger: pd.DataFrame) -> pd.Series:
    """Name the rows that may belong to a file without row: the name is similar, or a row that cannot be read holds it.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, of sources that have a table.

    Returns:
        A text for every file without row, by the ledger's index.
    """
    lost = ledger[~ledger["in_upstream"]]
    named, unread = lost[lost["path"].notna()], lost[lost["path"].isna() & lost["evidence"].notna()]
    by_stem = defaultdict[tuple[str, str], list[str]](list)
    for source, line, path in zip(named["source"], named["metadata_line"], named["path"], strict=True):
        by_stem[source, _stem(path)].append(f"line {line} names {path}")
    by_cell = defaultdict[tuple[str, str], list[str]](list)
    for source, line, cells in zip(unread["source"], unread["metadata_line"], unread["evidence"], strict=True):
        for cell in {PurePosixPath(cell).name.strip() for cell in re.split(r",|: ", cells)}:
            by_cell[source, cell].append(f"line {line} holds the name but cannot be read")
    without_row = ledger[ledger["in_upstream"] & ledger["metadata_line"].isna()]
    names = zip(without_row.index, without_row["source"], without_row["path"], strict=True)
    return _texts(
        {
            index: [*_first(by_stem, source, _stem(path)), *_first(by_cell, source, PurePosixPath(path).name)]
            for index, source, path in names
        }
    )


def _texts(found: dict[object, list[str]]) -> pd.Series:
    texts = ["; ".join(names) or NO_HINT for names in found.values()]
    return pd.Series(texts, index=list(found), dtype="string")


def _first(known: Mapping[tuple[str, str], list[str]], source: str, name: str) -> list[str]:
    """Return the first of what is known under a name, and how many more there are: a text for each stays short."""
    names = known.get((source, name), [])
    return names[:MAX_NAMED] + ([f"{len(names) - MAX_NAMED} more"] if len(names) > MAX_NAMED else [])


def _stem(path: str) -> str:
    """Return the name without folder, extension, case and the ways to write an accent.

    Accents are left as they are in a name that is longer than any file's, since to sort many of them takes time that
    grows with the square of their number.
    """
    stem = PurePosixPath(path).stem
    return (visible(stem) if len(stem) <= _LONGEST else stem).casefold().strip()
