"""Which fingerprints are close, and which rows are connected."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.linking import close_fingerprints, connected_rows, distance


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


def test_distance_counts_differing_bits() -> None:
    assert distance("0" * 64, "f" * 64) == 256
    assert distance("00ff", "0ff0") == 8


@pytest.mark.parametrize(("bits", "together"), [(0, True), (50, True), (51, False), (256, False)])
def test_limit_of_closeness(bits: int, together: bool) -> None:
    one = fingerprint(np.random.default_rng(0))
    labels = close_fingerprints([one, flip(one, range(bits))], 50)
    assert len(set(labels)) == (1 if together else 2)


def test_a_chain_links_its_ends() -> None:
    first = fingerprint(np.random.default_rng(1))
    second = flip(first, range(50))
    third = flip(second, range(100, 150))
    assert distance(first, third) == 100
    assert len(set(close_fingerprints([first, third, second], 50))) == 1


def test_nothing_is_fine() -> None:
    assert len(close_fingerprints([], 50)) == 0
    assert connected_rows(pd.DataFrame({"a": pd.Series([], dtype="string")})).empty


def test_pairs_are_found_wherever_they_lie() -> None:
    """Over 4,096 fingerprints do not fit into one tile; the partners lie on both sides of the borders."""
    rng = np.random.default_rng(2)
    every = [fingerprint(rng) for _ in range(4_200)]
    copies = {0: 4_199, 7: 8, 4_095: 4_096, 4_097: 1, 2_000: 2_001}
    for original, copy in copies.items():
        every[copy] = flip(every[original], range(0, 250, 5))
    labels = close_fingerprints(every, 50)
    assert {frozenset(pair) for pair in copies.items()} == {each for each in partition(labels) if len(each) > 1}


def test_very_many_close_pairs_are_boiled_down_on_the_way() -> None:
    rng = np.random.default_rng(3)
    blank, other = fingerprint(rng), fingerprint(rng)
    alike = [flip(blank, range(number % 20, number % 20 + 25)) for number in range(1_500)]
    labels = close_fingerprints([*alike, other], 50)  # 2.2 million pairs
    assert partition(labels) == {frozenset(range(1_500)), frozenset({1_500})}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120)), max_size=12))
def test_closeness_is_what_comparing_each_pair_gives(shapes: list[tuple[int, int]]) -> None:
    bases = [fingerprint(np.random.default_rng(number)) for number in range(4)]
    every = [flip(bases[base], range(bits)) for base, bits in shapes]
    pairs = [pair for pair in combinations(range(len(every)), 2) if distance(every[pair[0]], every[pair[1]]) <= 50]
    assert partition(close_fingerprints(every, 50)) == by_hand(len(every), pairs)


@given(st.lists(st.tuples(*[st.sampled_from([None, "a", "b", "c", "d", "e"])] * 3), max_size=10))
def test_rows_are_connected_by_any_shared_value(rows: list[tuple[str | None, ...]]) -> None:
    keys = pd.DataFrame(rows, columns=["patient", "file", "picture"], dtype="string")
    shared = [
        pair
        for pair in combinations(range(len(rows)), 2)
        if any(one == other and one is not None for one, other in zip(rows[pair[0]], rows[pair[1]], strict=True))
    ]
    assert partition(connected_rows(keys)) == by_hand(len(rows), shared)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120)), max_size=12, unique=True),
    st.sets(st.integers(0, 11)),
    st.sets(st.integers(0, 11)),
)
def test_what_an_earlier_call_found_changes_nothing(
    shapes: list[tuple[int, int]], before: set[int], gone: set[int]
) -> None:
    """The earlier call had some of the fingerprints; some of these are gone, so that their chains may be broken."""
    bases = [fingerprint(np.random.default_rng(number)) for number in range(4)]
    every = list(dict.fromkeys(flip(bases[base], range(bits)) for base, bits in shapes))
    earlier = [text for place, text in enumerate(every) if place in before]
    known = dict(zip(earlier, map(int, close_fingerprints(earlier, 50)), strict=True))
    now = [text for place, text in enumerate(every) if place not in gone]
    assert partition(close_fingerprints(now, 50, known)) == partition(close_fingerprints(now, 50))


def test_a_chain_whose_middle_is_gone_is_broken() -> None:
    first = fingerprint(np.random.default_rng(1))
    second = flip(first, range(50))
    third = flip(second, range(100, 150))
    known = dict(zip((first, second, third), map(int, close_fingerprints([first, second, third], 50)), strict=True))
    assert len(set(known.values())) == 1
    assert len(set(close_fingerprints([first, third], 50, known))) == 2


def test_fingerprints_whose_folded_forms_are_close_are_compared_whole() -> None:
    """Both halves differ in the same bits, so that these cancel out when one is laid over the other."""
    one = fingerprint(np.random.default_rng(5))
    other = flip(one, [*range(60), *range(128, 188)])
    assert len(set(close_fingerprints([one, other], 50))) == 2
