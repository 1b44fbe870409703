"""Finds what belongs together: fingerprints that are close, and rows that share something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Positions = npt.NDArray[np.int64]

# All pairs are compared, tile by tile. A tile fits into the processor's cache, so that nothing waits for memory.
_TILE_ROWS, _TILE_COLUMNS = 8, 4096


def close_pairs(
    fingerprints: Sequence[str], max_distance: int, new: Sequence[bool]
) -> Iterator[tuple[Positions, Positions]]:
    """Yield the pairs of fingerprints that are close, a few at a time.

    Time grows with the square of the count of the new ones, and with the product of both counts. Memory grows
    linearly, however many are close; see docs/benchmarks/dedup.md.

    Args:
        fingerprints: 64 hex digits each.
        max_distance: largest number of differing bits, of 256, at which two count as close.
        new: which of them were never compared with the others; pairs of two that are not new are left out.

    Yields:
        Positions in ``fingerprints``, the lower one of each pair first.
    """
    words = np.frombuffer(bytes.fromhex("".join(fingerprints)), dtype=np.uint64).reshape(-1, 4)
    is_new = np.asarray(new, dtype=bool)
    order = np.argsort(~is_new, kind="stable")  # the new ones first: they are compared among each other and with all
    for one, other in _close_pairs(words[order], int(is_new.sum()), max_distance):
        pairs = np.sort(order[np.stack([one, other])[:, one < other]], axis=0)  # those of one tile are there twice
        yield pairs[0], pairs[1]


def _close_pairs(words: npt.NDArray[np.uint64], rows: int, max_distance: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield the close pairs of one of the first ``rows`` fingerprints and one at or behind it."""
    columns = words.T.copy()
    shape = (_TILE_ROWS, _TILE_COLUMNS)
    differing, bits, total = np.empty(shape, np.uint64), np.empty(shape, np.uint8), np.empty(shape, np.uint16)
    for top in range(0, rows, _TILE_ROWS):
        high = columns[:, top : min(top + _TILE_ROWS, rows), None]
        for left in range(top, len(words), _TILE_COLUMNS):
            wide = columns[:, None, left : left + _TILE_COLUMNS]
            tile = np.s_[: high.shape[1], : wide.shape[2]]
            total[tile] = 0
            for word, other in zip(high, wide, strict=True):
                np.bitwise_xor(word, other, out=differing[tile])
                np.bitwise_count(differing[tile], out=bits[tile])
                np.add(total[tile], bits[tile], out=total[tile])
            row, column = divmod(np.flatnonzero(total[tile] <= max_distance), wide.shape[2])
            if len(row):
                yield row + top, column + left


def connected_rows(keys: pd.DataFrame) -> pd.Series:
    """Give each row a number; rows that share a value in any column, directly or through others, get the same one.

    Args:
        keys: any columns; a missing value is shared with nobody.

    Returns:
        One number for each row, with the index of ``keys``.
    """
    from scipy.sparse import coo_array  # takes 0.2 s, and most tasks link nothing
    from scipy.sparse.csgraph import connected_components

    rows, values, nodes = [], [], len(keys)
    for name in keys:
        codes, distinct = pd.factorize(keys[name])
        present = np.flatnonzero(codes >= 0)
        rows.append(present)
        values.append(codes[present] + nodes)
        nodes += len(distinct)
    one, other = np.concatenate(rows), np.concatenate(values)
    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return pd.Series(labels[: len(keys)].astype(np.int64), index=keys.index)
