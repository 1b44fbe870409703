"""Which fingerprints are close, and which rows are connected."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.linking import close_pairs, connected_rows


def fingerprint(rng: np.random.Generator) -> str:
    return rng.bytes(32).hex()


def flip(text: str, bits: Iterable[int]) -> str:
    return f"{int(text, 16) ^ sum(1 << bit for bit in bits):064x}"


def partition(labels) -> set[frozenset[int]]:
    """Return the sets of positions that have equal labels."""
    together: dict[int, set[int]] = {}
    for position, label in enumerate(labels):
        together.setdefault(label, set()).add(position)
    return {frozenset(positions) for positions in together.values()}


def by_hand(count: int, linked) -> set[frozenset[int]]:
    """Return the connected sets of ``count`` positions, joined pair by pair."""
    sets = [{position} for position in range(count)]
    for one, other in linked:
        first, second = (next(each for each in sets if position in each) for position in (one, other))
        if first is not second:
            sets.remove(second)
            first |= second
    return {frozenset(each) for each in sets}


def pairs_of(fingerprints: list[str], max_distance: int, new: list[bool] | None = None) -> list[tuple[int, int]]:
    found = close_pairs(fingerprints, max_distance, [True] * len(fingerprints) if new is None else new)
    return [pair for one, other in found for pair in zip(one.tolist(), other.tolist(), strict=True)]


@pytest.mark.parametrize(("bits", "found"), [(0, [(0, 1)]), (50, [(0, 1)]), (51, []), (256, [])])
def test_limit_of_closeness(bits: int, found: list[tuple[int, int]]) -> None:
    one = fingerprint(np.random.default_rng(0))
    assert pairs_of([one, flip(one, range(bits))], 50) == found


def test_nothing_is_fine() -> None:
    assert pairs_of([], 50) == []
    assert connected_rows(pd.DataFrame({"a": pd.Series([], dtype="string")})).empty


def test_pairs_are_found_wherever_they_lie() -> None:
    """Over 4,096 fingerprints do not fit into one tile; the partners lie on both sides of the borders."""
    rng = np.random.default_rng(2)
    every = [fingerprint(rng) for _ in range(4_200)]
    copies = {0: 4_199, 7: 8, 4_095: 4_096, 1: 4_097, 2_000: 2_001}
    for original, copy in copies.items():
        every[copy] = flip(every[original], range(0, 250, 5))
    assert sorted(pairs_of(every, 50)) == sorted(copies.items())


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120), st.booleans()), max_size=12))
def test_closeness_is_what_comparing_each_pair_gives(shapes: list[tuple[int, int, bool]]) -> None:
    bases = [fingerprint(np.random.default_rng(number)) for number in range(4)]
    every = [flip(bases[base], range(bits)) for base, bits, _ in shapes]
    new = [each for _, _, each in shapes]
    pairs = [
        (one, other)
        for one, other in combinations(range(len(every)), 2)
        if (int(every[one], 16) ^ int(every[other], 16)).bit_count() <= 50 and (new[one] or new[other])
    ]
    assert sorted(pairs_of(every, 50, new)) == pairs


@given(st.lists(st.tuples(*[st.sampled_from([None, "a", "b", "c", "d", "e"])] * 3), max_size=10))
def test_rows_are_connected_by_any_shared_value(rows: list[tuple[str | None, ...]]) -> None:
    keys = pd.DataFrame(rows, columns=["patient", "file", "picture"], dtype="string")
    shared = [
        pair
        for pair in combinations(range(len(rows)), 2)
        if any(one == other and one is not None for one, other in zip(rows[pair[0]], rows[pair[1]], strict=True))
    ]
    assert partition(connected_rows(keys)) == by_hand(len(rows), shared)
