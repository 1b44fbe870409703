"""Describes a picture so that its copies can be found: also those that were cropped, lettered or saved again.

A description is made from an image's upright gray pixels and holds two things: the picture in 64 x 64
pixels, and up to ``KEYPOINTS`` small places in it that another copy shows too (ORB: corners of bones, vessels, tubes
and letters, each with 256 comparisons of the pixels around it). ``cxr_snapshot.selection.copies`` compares them.

On one machine and with one version of OpenCV the same pixels give the same bytes. Other processors round a few sums
differently, which moved single places or bits, and no verdict that was tried: see docs/decisions/0007-lookalikes.md.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

RECIPE = "orb.1"  # a change of what is described, or how, must give a new one
SIDE = 64  # pixels of the small picture
KEYPOINTS = 256  # places at most
PLACE_BYTES = 4  # where each place is
DESCRIPTOR_BYTES = 32  # how it looks

_WORKING_SIDE = 320  # pixels: places are looked for in a picture with the area of such a square
_CELLS = 8  # each way: places are taken from all cells in turn, so that letters do not use them up
_PLAIN = 48  # bits: a place this close to a straight edge looks like thousands of others

cv2.setNumThreads(1)  # the work on one picture is too little to share


class Features(NamedTuple):
    """What is kept of one picture; at most 13,312 bytes."""

    small: bytes  # SIDE x SIDE gray pixels, row by row, whatever the picture's shape
    places: bytes  # x and y of each place as two little-endian uint16, in 1/65536 of width and height
    descriptors: bytes  # DESCRIPTOR_BYTES of each place


def describe(pixels: npt.NDArray[np.uint8]) -> Features:
    """Describe one picture.

    Args:
        pixels: rows of 8-bit gray pixels, upright; of any size.
    """
    height, width = pixels.shape
    scale = _WORKING_SIDE / (height * width) ** 0.5
    size = (max(round(width * scale), SIDE // 2), max(round(height * scale), SIDE // 2))
    # Pillow computes in whole numbers, the same everywhere. OpenCV takes five times as long for a large picture.
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    described, places = _places(np.asarray(image))
    telling = np.flatnonzero(differing_bits(described, _plain()).min(axis=1) > _PLAIN)[:KEYPOINTS]
    return Features(small.tobytes(), places[telling].tobytes(), described[telling].tobytes())


def _places(picture: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Return twice as many places as are kept, with their descriptions: the best first, from all over the picture."""
    orb = _orb()
    found = orb.detect(picture)
    if not found:
        return np.empty((0, DESCRIPTOR_BYTES), dtype=np.uint8), np.empty((0, 2), dtype=np.uint16)
    points = np.asarray(cv2.KeyPoint.convert(found))
    places = (points / picture.shape[::-1] * 65536).astype("<u2")
    chosen = _spread(places, np.array([keypoint.response for keypoint in found]))[: 2 * KEYPOINTS]
    picked = [found[position] for position in chosen]
    for rank, keypoint in enumerate(picked):
        keypoint.angle, keypoint.class_id = 0.0, rank
    kept, described = orb.compute(picture, picked)  # orders them anew
    ranks = np.array([keypoint.class_id for keypoint in kept])
    order = np.argsort(ranks)
    return np.asarray(described, dtype=np.uint8)[order], places[chosen[ranks[order]]]


def _orb() -> cv2.ORB:
    """Return one for the thread that asks, since OpenCV does not say that several may use the same; it takes 1 µs."""
    # Copies are looked for upright, so that a place's own direction says nothing; five levels reach a scale of 1 : 2.
    return cv2.ORB.create(nfeatures=3000, fastThreshold=5, nlevels=5, scaleFactor=1.2, edgeThreshold=16)


def _spread(places: npt.NDArray[np.uint16], strengths: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Order places so that the strongest of every cell come first, then the second of every cell, and so on."""
    column, row = (places // (65536 // _CELLS)).T
    order = np.lexsort((-strengths, row, column))
    cells = (column.astype(np.intp) * _CELLS + row)[order]
    rank = np.arange(len(cells)) - np.searchsorted(cells, cells)
    return order[np.lexsort((-strengths[order], rank))]


def differing_bits(descriptors: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """Return in how many bits each of ``descriptors`` (rows) differs from each of ``others`` (columns)."""
    words, other_words = (np.ascontiguousarray(each).view(np.uint64).T for each in (descriptors, others))
    bits = np.zeros((len(descriptors), len(others)), dtype=np.uint16)
    for word, other_word in zip(words, other_words, strict=True):
        bits += np.bitwise_count(word[:, None] ^ other_word)
    return bits


@cache
def _plain() -> npt.NDArray[np.uint8]:
    """Return how straight edges of 32 directions are described."""
    y, x = np.mgrid[-SIDE:SIDE, -SIDE:SIDE]
    centre = cv2.KeyPoint(SIDE, SIDE, 31, 0)
    edges = [np.clip(128 + 2 * (x * np.cos(a) + y * np.sin(a)), 0, 255) for a in np.linspace(0, 2 * np.pi, 33)[:-1]]
    return np.concatenate([_orb().compute(edge.astype(np.uint8), [centre])[1] for edge in edges])
