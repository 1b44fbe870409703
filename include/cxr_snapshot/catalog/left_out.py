"""What a snapshot leaves out, a page at a time: ``excluded.csv`` is read in pieces, and never held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.selection.duplicates import partners_in
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import EXCLUDED_COLUMNS

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_PIECE = 1 << 18  # bytes of the file that are looked at together
_TEXTS = csv.ConvertOptions(column_types=dict.fromkeys(EXCLUDED_COLUMNS, pa.string()), strings_can_be_null=False)


@dataclass(frozen=True)
class LeftOut:
    """A page of what was left out.

    Attributes:
        rows: those of the page; columns of ``EXCLUDED_COLUMNS``, all as text.
        total: how many fit.
        rules: how many rows each rule has, of all rows; sorted by rule.
        sources: the same by source.
    """

    rows: tuple[dict[str, str], ...]
    total: int
    rules: dict[str, int]
    sources: dict[str, int]


def read_left_out(
    store: Store, version: str, *, rule: str = "", source: str = "", path: str = "", first: int = 0, most: int = 50
) -> LeftOut:
    """Return the records that a snapshot leaves out, those of one page, and how many there are.

    Args:
        store: where it is.
        version: a complete snapshot.
        rule: that of those that are wanted; empty for any.
        source: likewise.
        path: what is in the path, or in the evidence; empty for any.
        first: how many that fit are passed over.
        most: how many are returned.

    Raises:
        DamagedObjectError: ``excluded.csv`` is no such table.
        MissingObjectError, StorageError: as :meth:`Store.get`.
    """
    name = f"{version}/excluded.csv"

    def take(body: StreamingBody) -> LeftOut:
        rows: list[dict[str, str]] = []
        total, rules, sources = 0, Counter[str](), Counter[str]()
        for piece in _pieces(body):
            for column, counter in (("rule", rules), ("source", sources)):
                counter.update(
                    {str(each["values"]): each["counts"] for each in pc.value_counts(piece[column]).to_pylist()}
                )
            fitting = piece.filter(_fits(piece, rule, source, path))
            start = max(first - total, 0)
            rows += fitting.slice(start, max(most - len(rows), 0)).to_pylist() if start < len(fitting) else []
            total += len(fitting)
        return LeftOut(tuple(rows), total, dict(sorted(rules.items())), dict(sorted(sources.items())))

    try:
        return store.read(name, take)
    except (pa.ArrowException, KeyError) as error:
        raise DamagedObjectError(f"{store.uri(name)} is damaged: it is no such table ({error}).") from error


def copies_of(store: Store, version: str, source: str, path: str, most: int) -> list[dict[str, str]]:
    """Return records that were left out because they show the film of an image, by what their evidence says.

    Args:
        store: where it is.
        version: a complete snapshot.
        source: the image's.
        path: the image's.
        most: how many are returned at most.
    """
    named = read_left_out(store, version, path=f" {source}:{path} (", most=most).rows
    return [row for row in named if (source, path) in partners_in(row["evidence"])]


def _pieces(body: StreamingBody) -> Iterator[pa.RecordBatch]:
    reading = csv.ReadOptions(use_threads=False, block_size=_PIECE)
    parsing = csv.ParseOptions(newlines_in_values=True)
    with csv.open_csv(pa.PythonFile(body, mode="r"), reading, parsing, _TEXTS) as reader:
        yield from reader


def _fits(piece: pa.RecordBatch, rule: str, source: str, path: str) -> pa.BooleanArray:
    fits = pa.array([True] * len(piece))
    for column, wanted in (("rule", rule), ("source", source)):
        if wanted:
            fits = pc.and_(fits, pc.equal(piece[column], wanted))
    if path:
        named = [pc.match_substring(piece[column], path) for column in ("path", "evidence")]
        fits = pc.and_(fits, pc.or_(*named))
    return fits
