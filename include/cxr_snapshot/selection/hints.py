"""What a row without file, and a file without row, may have meant: hints for people, never acted upon."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from pathlib import PurePosixPath

import pandas as pd

NO_HINT = "none"

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
    return _texts({index: by_stem[source, _stem(path)] for index, source, path in names})


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
    found = {}
    without_row = ledger[ledger["in_upstream"] & ledger["metadata_line"].isna()]
    for index, source, path in zip(without_row.index, without_row["source"], without_row["path"], strict=True):
        name = PurePosixPath(path).name
        holds = unread["source"].eq(source) & unread["evidence"].str.contains(name, regex=False)
        lines = [f"line {line} holds the name but cannot be read" for line in unread.loc[holds, "metadata_line"]]
        found[index] = by_stem[source, _stem(name)] + lines
    return _texts(found)


def _texts(found: dict[object, list[str]]) -> pd.Series:
    texts = ["; ".join(names) or NO_HINT for names in found.values()]
    return pd.Series(texts, index=list(found), dtype="string")


def _stem(path: str) -> str:
    """Return the name without folder, extension, case and the ways to write an accent.

    Accents are left as they are in a name that is longer than any file's, since to sort many of them takes time that
    grows with the square of their number.
    """
    stem = PurePosixPath(path).stem
    return (unicodedata.normalize("NFC", stem) if len(stem) <= _LONGEST else stem).casefold().strip()
