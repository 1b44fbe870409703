"""Remembers which fingerprints are close, so that a night compares its new ones with all, and not all with all."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa

from cxr_snapshot.selection.duplicates import MAX_DISTANCE
from cxr_snapshot.selection.linking import close_fingerprints
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table

# The distance is part of the name: numbers that were given for another one say nothing.
_NAME = f"_work/lookalikes/{MAX_DISTANCE}.parquet"
_SCHEMA = pa.schema([("phash", pa.string()), ("number", pa.int64())])


def find_lookalikes(store: Store, fingerprints: Iterable[str]) -> dict[str, int]:
    """Return a number for each fingerprint; those that a chain of close ones links get the same.

    What was found is kept in the store. If two runs do so at once, the last one's table stays; each is right for the
    fingerprints that are in it.
    """
    every = sorted(set(fingerprints))
    known = _load(store)
    labels = [int(label) for label in close_fingerprints(every, MAX_DISTANCE, known)]
    found = dict(zip(every, labels, strict=True))
    if found.keys() != known.keys():
        put_sealed_table(store, _NAME, pd.DataFrame({"phash": every, "number": labels}), _SCHEMA)
    return found


def _load(store: Store) -> dict[str, int]:
    table = find_sealed_table(store, _NAME)
    if table is None:
        return {}
    return dict(zip(table["phash"], table["number"].astype(int), strict=True))
