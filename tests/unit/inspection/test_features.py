"""What is kept of a picture so that its copies can be found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.inspection.features import DESCRIPTOR_BYTES, KEYPOINTS, SIDE, describe, differing_bits
from upstream_simulator.phantom import draw


def chest(number: int = 1) -> np.ndarray:
    return draw("normal", np.random.default_rng(number))


def places_of(gray: np.ndarray) -> np.ndarray:
    """Return x and y, 0 to 1."""
    return np.frombuffer(describe(gray).places, dtype="<u2").reshape(-1, 2) / 65536


def test_a_chest_has_all_places_and_its_description_a_fixed_size():
    features = describe(chest())
    assert len(features.small) == SIDE * SIDE
    assert len(features.places) == 4 * KEYPOINTS
    assert len(features.descriptors) == DESCRIPTOR_BYTES * KEYPOINTS


def test_the_same_pixels_give_the_same_bytes_however_they_lie_in_memory():
    gray = chest()
    assert describe(gray) == describe(gray.copy()) == describe(np.asfortranarray(gray)) == describe(gray[::-1][::-1])


def test_the_small_picture_is_the_whole_picture():
    gray = chest()
    small = np.frombuffer(describe(gray).small, dtype=np.uint8).reshape(SIDE, SIDE)
    expected = np.asarray(Image.fromarray(gray).resize((SIDE, SIDE), Image.Resampling.BOX))
    assert np.abs(small.astype(int) - expected).max() < 20
    assert np.corrcoef(small.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_place_is_found_where_it_is():
    gray = np.full((400, 800), 40, dtype=np.uint8)
    cv2.putText(gray, "R", (600, 100), cv2.FONT_HERSHEY_SIMPLEX, 2, 200, 5)
    x, y = places_of(gray).T
    assert len(x) > 0
    assert x.min() > 590 / 800
    assert x.max() < 660 / 800
    assert y.min() > 40 / 400
    assert y.max() < 115 / 400


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_picture_has_no_places(level):
    features = describe(np.full((300, 200), level, dtype=np.uint8))
    assert features.small == bytes([level]) * SIDE * SIDE
    assert features.places == features.descriptors == b""


def test_a_straight_edge_is_no_place():
    y, x = np.mgrid[:320, :320]
    across = x + 0.4 * y - 200
    shade = np.clip(128 + 3 * across, 40, 220) + np.random.default_rng(0).normal(0, 3, across.shape)
    places = places_of(shade.astype(np.uint8)) * 320
    assert len(places) > 100  # what the noise makes beside it
    assert np.abs(places[:, 0] + 0.4 * places[:, 1] - 200).min() > 20


def test_letters_do_not_use_up_the_places():
    gray = cv2.resize(chest(), (800, 800))
    for row in range(3):
        cv2.putText(gray, "PORTABLE AP SUPINE 12:45", (20, 40 + 40 * row), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 3)
    places = places_of(gray)
    assert len(places) == KEYPOINTS
    assert np.mean(places[:, 1] > 0.2) > 0.5


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (64, 5000), (5000, 64), (3000, 2500)])
def test_any_size_is_described(shape):
    gray = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    features = describe(gray)
    assert len(features.small) == SIDE * SIDE
    assert len(features.descriptors) == DESCRIPTOR_BYTES * len(features.places) // 4 <= DESCRIPTOR_BYTES * KEYPOINTS


def test_differing_bits_are_counted_for_each_pair():
    rng = np.random.default_rng(0)
    some, others = (rng.integers(0, 256, (count, DESCRIPTOR_BYTES), dtype=np.uint8) for count in (3, 5))
    expected = [[sum(map(int.bit_count, (one ^ other).tolist())) for other in others] for one in some]
    assert differing_bits(some, others).tolist() == expected
    assert differing_bits(some[:0], others).shape == (0, 5)
