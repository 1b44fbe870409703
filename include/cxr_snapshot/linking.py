"""Finds what belongs together: fingerprints that are close, and rows that share something."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Labels = npt.NDArray[np.int64]

# All pairs are compared, tile by tile. A tile fits into the processor's cache, so that nothing waits for memory.
_TILE_ROWS, _TILE_COLUMNS = 8, 4096
_MAX_PAIRS = 1_000_000  # close pairs that are kept before they are boiled down to clusters; 16 MB


def distance(one: str, other: str) -> int:
    """Return in how many bits two fingerprints differ, both in hex."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def close_fingerprints(fingerprints: Sequence[str], max_distance: int) -> Labels:
    """Give each fingerprint a number; those linked by a chain of close pairs get the same one.

    Time grows with the square of their count and memory linearly, however many are close; see
    docs/benchmarks/dedup.md.

    Args:
        fingerprints: 64 hex digits each.
        max_distance: largest number of differing bits, of 256, at which two count as close.

    Returns:
        One number for each fingerprint.
    """
    words = np.frombuffer(bytes.fromhex("".join(fingerprints)), dtype=np.uint64).reshape(-1, 4).T.copy()
    count = words.shape[1]
    labels, pending = np.arange(count), 0
    pairs: list[tuple[Labels, Labels]] = []
    shape = (_TILE_ROWS, _TILE_COLUMNS)
    differing, bits, total = np.empty(shape, np.uint64), np.empty(shape, np.uint8), np.empty(shape, np.uint16)
    for top in range(0, count, _TILE_ROWS):
        for left in range(top, count, _TILE_COLUMNS):
            rows, columns = words[:, top : top + _TILE_ROWS, None], words[:, None, left : left + _TILE_COLUMNS]
            tile = np.s_[: rows.shape[1], : columns.shape[2]]
            total[tile] = 0
            for row, column in zip(rows, columns, strict=True):
                np.bitwise_xor(row, column, out=differing[tile])
                np.bitwise_count(differing[tile], out=bits[tile])
                np.add(total[tile], bits[tile], out=total[tile])
            one, other = np.nonzero(total[tile] <= max_distance)
            if len(one):
                pairs.append((one + top, other + left))
                pending += len(one)
            if pending > _MAX_PAIRS:
                labels, pairs, pending = _merge(labels, pairs), [], 0
    return _merge(labels, pairs)


def connected_rows(keys: pd.DataFrame) -> pd.Series:
    """Give each row a number; rows that share a value in any column, directly or through others, get the same one.

    Args:
        keys: any columns; a missing value is shared with nobody.

    Returns:
        One number for each row, with the index of ``keys``.
    """
    rows, values, nodes = [], [], len(keys)
    for name in keys:
        codes, distinct = pd.factorize(keys[name])
        present = np.flatnonzero(codes >= 0)
        rows.append(present)
        values.append(codes[present] + nodes)
        nodes += len(distinct)
    labels = _components(np.concatenate(rows), np.concatenate(values), nodes)
    return pd.Series(labels[: len(keys)], index=keys.index)


def _merge(labels: Labels, pairs: list[tuple[Labels, Labels]]) -> Labels:
    """Join the clusters ``labels`` that ``pairs`` link."""
    count = len(labels)
    one, other = zip((np.arange(count), count + labels), *pairs, strict=True)  # each cluster is a node of its own
    return _components(np.concatenate(one), np.concatenate(other), 2 * count)[:count]


def _components(one: Labels, other: Labels, nodes: int) -> Labels:
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)
