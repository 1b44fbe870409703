"""What describes pictures, kept in the store for those that are compared again and again.

Descriptions are kept by file, not by picture, since ``inspect`` knows files; equal pixels have equal descriptions. All
editions share them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.features import DESCRIPTOR_BYTES, PLACE_BYTES, RECIPE, SIDE, Features, describe
from cxr_snapshot.inspection.pixels import to_gray
from cxr_snapshot.progress import Progress
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.spill import Spill
from cxr_snapshot.store.blobs import map_blobs
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import add_sealed_rows, find_sealed_table

_FOLDER = f"_work/descriptions/{RECIPE}/"
_FULL = 1024**2  # bytes; what is added to a larger table begins another, so that little is written anew
_THREADS = 2  # each keeps some of the memory in which it has decoded
_SCHEMA = pa.schema([("sha256", pa.string()), *((name, pa.binary()) for name in Features._fields)])


class Descriptions:
    """Returns descriptions of pictures, and makes those that ``inspect`` did not make.

    These are of collections that are not searched for crops, of what an older version inspected, and what was lost.

    Args:
        store: holds the files, and the descriptions that were kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _kept(self) -> _Kept:
        kept = _Kept()
        names = sorted(self._store.list(_FOLDER))
        for name, table in bounded_map(lambda name: find_sealed_table(self._store, name), names, threads=2):
            if table is None:
                self._store.delete([name])  # else it is found damaged again; who needs what it held describes it anew
                continue
            for sha256, found in _features(table):
                kept.add(sha256, found)
        return kept

    def of(self, pictures: pd.DataFrame, *, keep: bool) -> dict[str, Features]:
        """Return descriptions of pictures by ``pixel_sha256``.

        Args:
            pictures: ``sha256`` and ``bytes`` of a file of each picture, by ``pixel_sha256``.
            keep: what is described now is remembered, here and for other tasks, nights and editions.

        Raises:
            LostBlobError: a file is missing or damaged.
            SpillError: the disk has no room.
            StorageError: the store refused or did not answer.
        """
        files = pictures[["sha256", "bytes"]].itertuples(index=False)
        new = dict(self._describe({sha256: size for sha256, size in files if sha256 not in self._kept}))
        if keep and new:
            for sha256, found in new.items():
                self._kept.add(sha256, found)
            keep_descriptions(self._store, [{"sha256": each, **found._asdict()} for each, found in new.items()])
        names = zip(pictures.index, pictures["sha256"], strict=True)
        return {picture: new.get(sha256) or self._kept.get(sha256) for picture, sha256 in names}

    def _describe(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, Features]]:
        progress = Progress("pictures described", len(sizes))
        for each in map_blobs(_described, self._store, sizes, threads=_THREADS):
            yield each
            progress.advance()


class _Kept:
    """What the store keeps, on disk, since that of many pictures fits into no memory; by SHA-256 of the file."""

    def __init__(self) -> None:
        self._file = Spill()
        self._begins: dict[str, tuple[int, int]] = {}  # and the number of places

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._begins

    def add(self, sha256: str, found: Features) -> None:
        self._begins[sha256] = self._file.append(b"".join(found)), len(found.descriptors) // DESCRIPTOR_BYTES

    def get(self, sha256: str) -> Features:
        begin, places = self._begins[sha256]
        ends = [SIDE * SIDE, SIDE * SIDE + PLACE_BYTES * places]
        body = self._file.read(begin, ends[1] + DESCRIPTOR_BYTES * places)
        return Features(body[: ends[0]], body[ends[0] : ends[1]], body[ends[1] :])


def _described(_: str, body: bytes) -> Features:
    with decoded(body) as image:
        return description_of(image)


def description_of(image: Image.Image) -> Features:
    """Describe the pixels of a file, as :func:`cxr_snapshot.inspection.decoding.decoded` yields them."""
    return describe(np.asarray(to_gray(image)))


def keep_descriptions(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the descriptions of some files.

    Args:
        store: where.
        rows: ``sha256`` and the fields of ``Features``; those without a description are left out.

    Raises:
        StorageError: the store refused or did not answer.
    """
    table = pd.DataFrame(rows, columns=_SCHEMA.names).dropna()
    for shard, found in table.groupby(table["sha256"].map(_shard)):
        add_sealed_rows(store, _open_table(store, f"{_FOLDER}{shard}-"), found, _SCHEMA)


def _shard(sha256: str) -> int:
    """Say which task of ``inspect`` has a file, so that each writes to tables of its own."""
    return int(sha256[0], 16) % INSPECT_SHARDS


def _open_table(store: Store, shard: str) -> str:
    """Return the last of the tables whose names begin so; where it is full, the next one."""
    tables = store.list(shard)
    last = max(tables, default=f"{shard}0000.parquet")
    if last in tables and tables[last].size >= _FULL:
        return f"{shard}{int(last.removeprefix(shard).removesuffix('.parquet')) + 1:04}.parquet"
    return last


def _features(table: pd.DataFrame) -> Iterator[tuple[str, Features]]:
    columns = (table[name].map(bytes) for name in Features._fields)
    return zip(table["sha256"], map(Features, *columns), strict=True)
