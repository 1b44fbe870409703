"""What describes pictures, kept in the store for those that are compared again and again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.features import RECIPE, Features, describe
from cxr_snapshot.inspection.pixels import to_gray
from cxr_snapshot.progress import Progress
from cxr_snapshot.store.blobs import get_blob, held
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table

_NAME = f"_work/lookalikes/{RECIPE}/descriptions.parquet"
_SCHEMA = pa.schema([("pixel_sha256", pa.string()), *((name, pa.binary()) for name in Features._fields)])


class Descriptions:
    """Describes pictures on demand, each once as long as it is wanted.

    Args:
        store: holds the files, and the descriptions that were kept.
        blobs: SHA-256 of a file of each picture, by ``pixel_sha256``.
    """

    def __init__(self, store: Store, blobs: Mapping[str, str]) -> None:
        self._store, self._blobs = store, blobs
        self._changed = False

    @cached_property
    def _kept(self) -> dict[str, Features]:
        table = find_sealed_table(self._store, _NAME)
        return {} if table is None else _features(table)

    def of(self, pictures: Collection[str], *, keep: bool) -> dict[str, Features]:
        """Return descriptions of pictures by ``pixel_sha256``.

        Args:
            pictures: their ``pixel_sha256``.
            keep: what is described now is remembered, and written by :meth:`save`.

        Raises:
            LostBlobError: a file is missing or damaged.
            StorageError: the store refused or did not answer.
        """
        missing = [each for each in pictures if each not in self._kept]
        new = dict(self._describe(missing))
        if keep and new:
            self._kept.update(new)
            self._changed = True
        return {each: new.get(each) or self._kept[each] for each in pictures}

    def save(self, wanted: Collection[str]) -> None:
        """Keep the descriptions of some pictures for other tasks and nights, if there are new ones.

        If two runs do so at once, the last one's table stays; the other's is made again when it is needed.
        """
        if self._changed:
            rows = [(each, *features) for each, features in sorted(self._kept.items()) if each in wanted]
            put_sealed_table(self._store, _NAME, pd.DataFrame(rows, columns=_SCHEMA.names), _SCHEMA)
            self._changed = False

    def _describe(self, pictures: Collection[str]) -> Iterator[tuple[str, Features]]:
        """Decode here, in this thread, while others fetch ahead."""
        progress = Progress("pictures described", len(pictures))
        for each, body in bounded_map(self._fetch, pictures, threads=4, held=held):
            with decoded(body) as image:
                yield each, describe(np.asarray(to_gray(image)))
            progress.advance()

    def _fetch(self, picture: str) -> bytes:
        return get_blob(self._store, self._blobs[picture])


def _features(table: pd.DataFrame) -> dict[str, Features]:
    columns = (table[name].map(bytes) for name in Features._fields)
    return dict(zip(table["pixel_sha256"], map(Features, *columns), strict=True))
