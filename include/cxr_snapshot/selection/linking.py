"""Finds what belongs together: fingerprints that are close, and rows that share something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

Labels = npt.NDArray[np.int64]

# All pairs are compared, tile by tile. A tile fits into the processor's cache, so that nothing waits for memory.
_TILE_ROWS, _TILE_COLUMNS = 8, 4096
_MAX_PAIRS = 1_000_000  # close pairs that are kept before they are boiled down to clusters; 16 MB


def distance(one: str, other: str) -> int:
    """Return in how many bits two fingerprints differ, both in hex."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def close_fingerprints(
    fingerprints: Sequence[str], max_distance: int, known: Mapping[str, int] | None = None
) -> Labels:
    """Give each fingerprint a number; those linked by a chain of close pairs get the same one.

    Time grows with the square of the count of those that are not known, and with the product of both counts. Memory
    grows linearly, however many are close; see docs/benchmarks/dedup.md.

    Args:
        fingerprints: 64 hex digits each.
        max_distance: largest number of differing bits, of 256, at which two count as close.
        known: numbers that an earlier call with the same distance gave, for all the fingerprints that it had, each
            once. It had them compared with each other, so that only the others are compared with all.

    Returns:
        One number for each fingerprint.
    """
    words = np.frombuffer(bytes.fromhex("".join(fingerprints)), dtype=np.uint64).reshape(-1, 4)
    labels, is_new = _earlier_labels(fingerprints, known or {})
    order = np.argsort(~is_new, kind="stable")  # the new ones first: they are compared among each other and with all
    words, pending = words[order], 0
    pairs: list[tuple[Labels, Labels]] = []
    for one, other in _close_pairs(words, int(is_new.sum()), max_distance):
        pairs.append((order[one], order[other]))
        pending += len(one)
        if pending > _MAX_PAIRS:
            labels, pairs, pending = _merge(labels, pairs), [], 0
    return _merge(labels, pairs)


def _earlier_labels(fingerprints: Sequence[str], known: Mapping[str, int]) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the numbers to start from, and which fingerprints have yet to be compared.

    A cluster that lost a member may have lost what linked the others, so that these are compared anew.
    """
    earlier = pd.Series(fingerprints, dtype=object).map(known)
    sizes = pd.Series(known, dtype=np.int64).value_counts()
    left = earlier[~pd.Series(fingerprints, dtype=object).duplicated()].value_counts()
    whole = earlier.map(left).eq(earlier.map(sizes))
    numbers = earlier.where(whole).astype("Int64").astype("string").fillna(pd.Series(fingerprints, dtype="string"))
    return pd.factorize(numbers)[0].astype(np.int64), ~whole.to_numpy(dtype=bool)


def _close_pairs(words: npt.NDArray[np.uint64], rows: int, max_distance: int) -> Iterator[tuple[Labels, Labels]]:
    """Yield the close pairs of one of the first ``rows`` fingerprints and one behind it.

    One half of the bits is laid over the other by XOR. What is equal stays equal by that, so that two fingerprints
    differ in no fewer bits than their folded forms; only where these are close, all bits are compared.
    """
    folded = (words[:, :2] ^ words[:, 2:]).T.copy()
    shape = (_TILE_ROWS, _TILE_COLUMNS)
    differing, bits, total = np.empty(shape, np.uint64), np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    for top in range(0, rows, _TILE_ROWS):
        high = folded[:, top : min(top + _TILE_ROWS, rows), None]
        found = []
        for left in range(top, len(words), _TILE_COLUMNS):
            wide = folded[:, None, left : left + _TILE_COLUMNS]
            tile = np.s_[: high.shape[1], : wide.shape[2]]
            np.bitwise_xor(high[0], wide[0], out=differing[tile])
            np.bitwise_count(differing[tile], out=total[tile])
            np.bitwise_xor(high[1], wide[1], out=differing[tile])
            np.bitwise_count(differing[tile], out=bits[tile])
            np.add(total[tile], bits[tile], out=total[tile])
            row, column = divmod(np.flatnonzero(total[tile] <= max_distance), wide.shape[2])
            found.append((row + top, column + left))
        one, other = (np.concatenate(places) for places in zip(*found, strict=True))
        close = (
            np.bitwise_count(words.take(one, axis=0) ^ words.take(other, axis=0)).sum(axis=1, dtype=np.uint16)
            <= max_distance
        )
        if close.any():
            yield one[close], other[close]


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
    from scipy.sparse import coo_array  # takes 0.2 s, and most tasks link nothing
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)
