"""Which pictures may be crops of one another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cxr_snapshot.inspection.features import Features
from cxr_snapshot.selection import crops
from cxr_snapshot.selection.crops import similar_pairs
from support.chests import family


def every_pair() -> set[tuple[int, int]]:
    return similar_pairs(family(), [True] * len(family()))


def test_a_chest_its_crop_and_one_with_letters_are_proposed():
    copies = {pair for number in range(0, 12, 3) for pair in combinations(range(number, number + 3), 2)}
    assert copies <= every_pair()


@pytest.mark.parametrize("new", [{0}, {4, 8}, set(range(6)), set()], ids=str)
def test_only_pairs_with_a_new_picture_are_proposed(new):
    some = similar_pairs(family(), [position in new for position in range(len(family()))])
    assert some == {pair for pair in every_pair() if new.intersection(pair)}


def test_a_pair_is_proposed_whatever_the_other_pictures_are():
    every = every_pair()
    for pair in combinations(range(len(family())), 2):
        assert (similar_pairs([family()[each] for each in pair], [True, True]) == {(0, 1)}) == (pair in every)


@pytest.mark.parametrize("limits", [{"_AT_ONCE": 7}, {"_COMPARED": 5}, {"_COUNTERS": 1}, {"_COUNTERS": 5}], ids=str)
def test_places_may_be_taken_in_any_portions_and_pairs_may_share_a_counter(limits, monkeypatch):
    every = every_pair()
    for name, limit in limits.items():
        monkeypatch.setattr(crops, name, limit)
    assert every_pair() == every
    assert len(every) >= 12


def test_pictures_without_places_are_proposed_to_nobody():
    blank = Features(bytes(4096), b"", b"")
    assert similar_pairs([blank, blank], [True, True]) == set()
    assert similar_pairs([blank, *family()[:2], blank], [True] * 4) == {(1, 2)}
    assert similar_pairs([], []) == set()


def test_a_picture_that_is_there_many_times_is_proposed_to_its_neighbours(monkeypatch):
    monkeypatch.setattr(crops, "_NEIGHBOURS", 2)
    pairs = similar_pairs([family()[0]] * 12, [True] * 12)
    assert {(number, number + 1) for number in range(11)} <= pairs
    assert len(pairs) < 40


def drawn(rng: np.random.Generator) -> Features:
    """Return a picture with few places, whose words and places are few, so that pictures share some by chance."""
    count = int(rng.integers(0, 40))
    descriptors = rng.choice(
        np.array([0, 1, 3, 0xFFFF, 2**32 - 1], dtype="<u4"), (count, 8), p=[0.6, 0.2, 0.1, 0.05, 0.05]
    )
    places = rng.integers(0, 65_536, (count, 2)).astype("<u2")
    return Features(b"", places.tobytes(), descriptors.tobytes())


def by_the_rule(one: Features, other: Features) -> bool:
    """Say what docs/decisions/0007-lookalikes.md does, place by place."""

    def places(picture: Features) -> list[tuple[list[int], int, tuple[int, int]]]:
        words = np.frombuffer(picture.descriptors, "<u4").reshape(-1, 8).tolist()
        bits = [int.from_bytes(picture.descriptors[32 * row : 32 * row + 32], "little") for row in range(len(words))]
        return list(zip(words, bits, np.frombuffer(picture.places, "<u2").reshape(-1, 2).tolist(), strict=True))

    alike = {
        (row, column)
        for row, (words, bits, (x, y)) in enumerate(places(one))
        for column, (other_words, other_bits, (other_x, other_y)) in enumerate(places(other))
        if any(word == other_word for word, other_word in zip(words, other_words, strict=True))
        and (bits ^ other_bits).bit_count() <= 40
        and max(abs(x - other_x), abs(y - other_y)) * 4 <= 65_536
    }
    return min(len({row for row, _ in alike}), len({column for _, column in alike})) >= 12


@pytest.mark.parametrize("seed", range(10))
def test_what_is_proposed_is_what_the_rule_says(seed, monkeypatch):
    monkeypatch.setattr(crops, "_NEIGHBOURS", 10_000)  # here nearly all places share a word
    rng = np.random.default_rng(seed)
    pictures = [drawn(rng) for _ in range(12)]
    new = rng.random(12) < 0.5
    pairs = [pair for pair in combinations(range(12), 2) if new[list(pair)].any()]
    expected = {(one, other) for one, other in pairs if by_the_rule(pictures[one], pictures[other])}
    assert similar_pairs(pictures, new.tolist()) == expected
    assert 0 < len(expected) < len(pairs)


@pytest.mark.parametrize("limits", [{}, {"_COUNTERS": 1}, {"_COMPARED": 5}, {"_AT_ONCE": 5}], ids=str)
@pytest.mark.parametrize("count", [11, 12])
def test_twelve_places_that_share_one_word_each_are_enough(count, limits, monkeypatch):
    for name, limit in limits.items():
        monkeypatch.setattr(crops, name, limit)
    words = np.random.default_rng(0).integers(0, 2**32, (count, 8), dtype=np.uint32)
    others = words ^ np.array([0, 1, 1, 1, 1, 1, 1, 1], dtype=np.uint32)
    pictures = [Features(b"", bytes(4 * count), each.tobytes()) for each in (words, others)]
    assert similar_pairs(pictures, [True, True]) == ({(0, 1)} if count == 12 else set())
