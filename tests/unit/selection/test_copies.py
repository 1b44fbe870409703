"""Which pictures are copies of one another."""

from __future__ import annotations

import csv
import io
from itertools import combinations

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.cluster.hierarchy import DisjointSet

from cxr_snapshot.inspection.features import describe
from cxr_snapshot.selection import copies
from cxr_snapshot.selection.copies import (
    CERTAIN_BITS,
    MIN_AGREEING,
    MIN_DETAIL,
    MIN_SHARED,
    PROPOSED_BITS,
    Picture,
    confirm,
    decide,
)
from cxr_snapshot.selection.crops import similar_pairs
from support.chests import chest, family, lettered
from support.paths import REAL_DATA

LOOKALIKES = REAL_DATA.parent / "lookalikes"
FAR = ["0" * 64, "f" * 64]  # hashes that propose nothing, so that the pixels alone decide


def verdict(one: np.ndarray, other: np.ndarray) -> copies.Verdict:
    return decide(*(Picture(phash, describe(gray)) for phash, gray in zip(FAR, (one, other), strict=True)))


def proposed(*grays: np.ndarray) -> set[tuple[int, int]]:
    return similar_pairs([describe(gray) for gray in grays], [True] * len(grays))


def saved(gray: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def turned(gray: np.ndarray, degrees: float) -> np.ndarray:
    return cv2.warpAffine(gray, cv2.getRotationMatrix2D((300, 300), degrees, 1), (600, 600))


CHANGES = {
    "nothing": lambda gray: gray,
    "half the size": lambda gray: cv2.resize(gray, (300, 300), interpolation=cv2.INTER_AREA),
    "stretched": lambda gray: cv2.resize(gray, (260, 200), interpolation=cv2.INTER_AREA),
    "JPEG": lambda gray: saved(gray, 30),
    "2 % cropped": lambda gray: gray[12:-12, 12:-12],
    "5 % cropped": lambda gray: gray[30:-30, 30:-30],
    "10 % cropped": lambda gray: gray[60:-60, 60:-60],
    "one side cropped": lambda gray: gray[:, 120:],
    "a line of letters": lambda gray: lettered(gray, lines=1),
    "turned": lambda gray: turned(gray, 2),
    "brighter": lambda gray: np.clip(gray * 1.3 + 20, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("number", range(4))
def test_a_changed_copy_is_proposed_and_found(name, number):
    gray = chest(number)
    changed = CHANGES[name](gray)
    found = verdict(gray, changed)
    assert proposed(gray, changed) == {(0, 1)}
    assert found.copy, found.evidence()
    assert found == verdict(gray, changed)


@pytest.mark.parametrize("name", ["10 % cropped", "turned", "stretched"])
def test_the_verdict_is_the_same_from_both_sides(name):
    grays = (chest(1), CHANGES[name](chest(1)))
    one, other = (Picture(phash, describe(gray)) for phash, gray in zip(FAR, grays, strict=True))
    assert decide(one, other) == decide(other, one)


def test_scale_turn_and_share_are_measured():
    cropped = verdict(chest(1), chest(1)[60:-60, 60:-60])
    assert cropped.scale == pytest.approx(0.8, abs=0.01)
    assert cropped.shared == pytest.approx(0.64, abs=0.04)
    assert cropped.degrees == pytest.approx(0, abs=0.5)
    stretched_and_turned = cv2.resize(turned(chest(1), 3), (600, 450))
    assert verdict(chest(1), stretched_and_turned).degrees == pytest.approx(3, abs=0.3)


def test_other_chests_are_no_copies():
    pictures = [Picture(phash, describe(chest(number))) for number in range(10) for phash in FAR[number % 2 :][:1]]
    verdicts = [decide(*pair) for pair in combinations(pictures, 2)]
    assert not any(each.copy for each in verdicts)
    assert max(each.detail for each in verdicts) < MIN_DETAIL - 0.1


def test_the_same_letters_on_two_chests_make_no_copy_though_their_places_agree():
    found = verdict(lettered(chest(1)), lettered(chest(2)))
    assert found.agreeing >= MIN_AGREEING
    assert found.detail < MIN_DETAIL
    assert not found.copy


def test_two_chests_in_one_figure_are_not_linked_through_it():
    figure = np.hstack([chest(1), chest(2)])
    for number in (1, 2):
        found = verdict(figure, chest(number))
        assert found.agreeing >= MIN_AGREEING
        assert found.detail >= MIN_DETAIL
        assert found.shared <= MIN_SHARED
        assert not found.copy


def test_less_than_half_of_a_picture_is_no_copy():
    assert not verdict(chest(1), chest(1)[100:-100, 100:-100]).copy


@pytest.mark.parametrize("change", [lambda gray: gray[:, ::-1], lambda gray: 255 - gray], ids=["mirrored", "negative"])
def test_mirrored_and_negative_pictures_are_not_recognised(change):
    assert not verdict(chest(1), np.ascontiguousarray(change(chest(1)))).copy


def test_close_hashes_need_pictures_that_correlate():
    one, other = (Picture(FAR[0], describe(np.full((200, 200), level, dtype=np.uint8))) for level in (0, 200))
    assert not decide(one, other).copy
    features = describe(cv2.GaussianBlur(chest(1), (0, 0), 12))._replace(places=b"", descriptors=b"")
    at, beyond = (f"{(1 << bits) - 1:064x}" for bits in (CERTAIN_BITS, CERTAIN_BITS + 1))
    assert decide(Picture(FAR[0], features), Picture(at, features)).copy
    assert not decide(Picture(FAR[0], features), Picture(beyond, features)).copy


def test_evidence_names_both_measures():
    found = verdict(chest(1), chest(1)[60:-60, 60:-60])
    assert found.evidence() == (
        f"256 of 256 bits apart, pictures correlate by {found.correlation:.2f}; {found.agreeing} of {found.matching} "
        f"places agree, detail correlates by {found.detail:.2f} in {found.shared:.0%} of the picture"
    )
    assert verdict(chest(1), np.zeros((200, 200), np.uint8)).evidence() == (
        "256 of 256 bits apart, pictures correlate by 0.00; 0 of 0 places agree, too few to compare detail"
    )


def test_pictures_that_are_linked_already_are_not_compared():
    pictures = {number: Picture(f"{number:064x}", family()[0]) for number in range(30)}
    pairs = set(combinations(range(30), 2))
    assert len(confirm(pictures, pairs, linked := DisjointSet(range(30)))) == 29
    assert linked.n_subsets == 1
    assert confirm({}, pairs, linked) == {}
    linked = DisjointSet(range(30))
    for number in range(1, 29):
        linked.merge(0, number)
    assert len(confirm(pictures, pairs, linked)) == 1


def test_confirmed_pairs_carry_their_verdict_and_the_others_are_dropped():
    pictures = {number: Picture(FAR[number % 2], each) for number, each in enumerate(family())}
    found = confirm(pictures, {(0, 1), (0, 3), (1, 4)}, DisjointSet(range(len(family()))))
    assert found == {(0, 1): decide(pictures[0], pictures[1])}


def real_pairs() -> list[dict[str, str]]:
    path = LOOKALIKES / "pairs.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


@pytest.mark.skipif(not LOOKALIKES.exists(), reason="the real lookalikes are not at hand")
def test_all_real_pairs_that_look_alike_are_judged_rightly():
    names = sorted({row[side] for row in real_pairs() for side in "ab"})
    features = [describe(np.asarray(Image.open(LOOKALIKES / "images" / name).convert("L"))) for name in names]
    proposals = similar_pairs(features, [True] * len(names))
    for row in real_pairs():
        one, other = sorted((names.index(row["a"]), names.index(row["b"])))
        bits = int(row["phash256_bits"])
        pictures = (Picture(FAR[0], features[one]), Picture(f"{(1 << bits) - 1:064x}", features[other]))
        found = decide(*pictures).copy and (bits <= PROPOSED_BITS or (one, other) in proposals)
        assert found == (row["verdict"] == "copy"), row
    assert len(real_pairs()) == 22
