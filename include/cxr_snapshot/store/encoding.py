"""JSON, CSV and Parquet: equal values give equal bytes."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.tables import to_arrow, to_frame

_ROWS = 10_000  # of a table that are turned into another form at a time

_JSON: dict[str, Any] = {"indent": 2, "sort_keys": True, "ensure_ascii": False, "allow_nan": False}


def json_sha256(value: dict[str, Any]) -> str:
    """Return the SHA-256 of ``json_bytes(value)`` in hex, in little memory."""
    digest = hashlib.sha256()
    for piece in _json_pieces(value):
        digest.update(piece)
    return digest.hexdigest()


def json_bytes(value: dict[str, Any]) -> bytes:
    """Return ``value`` as indented JSON with sorted keys and a final newline."""
    return b"".join(_json_pieces(value))


def _json_pieces(value: dict[str, Any]) -> Iterator[bytes]:
    """Yield JSON in pieces of some size; the many small ones that the library makes would take ten times the memory."""
    small = json.JSONEncoder(**_JSON).iterencode(value)
    while piece := "".join(itertools.islice(small, 10_000)):
        yield piece.encode()
    yield b"\n"


def parse_json(body: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in ``body``.

    Raises:
        DamagedObjectError: it is none; the text names ``where``.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise DamagedObjectError(f"{where} is damaged: it is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise DamagedObjectError(f"{where} is damaged: it is no JSON object.")
    return value


def csv_bytes(frame: pd.DataFrame, *, header: bool = True) -> bytes:
    """Return ``frame`` as CSV: UTF-8, commas, line feeds, nothing for missing; without ``header`` the rows alone.

    Cells with a comma, a quote or any break of lines are quoted, in every version of Python.
    """
    rows = _Rows()
    frame.to_csv(rows, index=False, header=header, lineterminator=_Rows.end)
    return rows.body.getvalue()


class _Rows(io.StringIO):
    """Takes CSV row by row, and ends each by a line feed.

    Python up to 3.12 quotes a carriage return only where it ends rows.
    """

    end = "\r\n"

    def __init__(self) -> None:
        super().__init__()
        self.body = io.BytesIO()

    def write(self, row: str) -> int:
        """Take one row, with its end."""
        self.body.write(row.removesuffix(self.end).encode() + b"\n")
        return len(row)


def parquet_bytes(frame: pd.DataFrame, schema: pa.Schema) -> bytes:
    """Return ``frame`` as a Parquet file with exactly ``schema``; equal tables give equal bytes."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, max(len(frame), 1), _ROWS):  # in pieces, so that no second copy of all is made
            writer.write_table(to_arrow(frame.iloc[start : start + _ROWS], schema))
    return sink.getvalue()


def parse_parquet(body: bytes, where: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the Parquet file in ``body`` as a table, or only some of its columns; piece by piece.

    Raises:
        DamagedObjectError: it is none; the text names ``where``.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        pieces = [to_frame(file.read_row_group(number, columns=columns)) for number in range(file.num_row_groups)]
        return pd.concat(pieces, ignore_index=True) if pieces else to_frame(file.read(columns=columns))
    except (pa.ArrowException, OSError, ValueError) as error:  # which of them depends on where the damage is
        raise DamagedObjectError(f"{where} is damaged: it is no Parquet file ({error}).") from error
