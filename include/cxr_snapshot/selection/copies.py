"""Decides which pictures are copies of one another, by looking at the pixels of each pair that was proposed cheaply.

A pair is *proposed* when the 256-bit perceptual hashes differ in at most 64 bits, or when enough small places of the
two look alike, which survives a crop. What *decides* is a second look: either hashes so close that all such pairs of
real images were copies, or places that lie in the same geometry in both pictures while the fine detail of what they
share agrees nearly everywhere. Each must show more than half of the other, so that two chests in one figure are not
linked through it. Nothing here knows of classes or patients. What was measured: docs/decisions/0007-lookalikes.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cxr_snapshot.inspection.features import DESCRIPTOR_BYTES, SIDE, Features, differing_bits
from cxr_snapshot.selection.crops import Pair

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

Gray = npt.NDArray[np.float64]

RULES = "2"  # a change of what proposes or decides must give a new one

# What proposes, beside what cxr_snapshot.selection.crops does.
PROPOSED_BITS = 64  # of 256, at most

# What decides. The margins stand in docs/decisions/0007-lookalikes.md.
CERTAIN_BITS = 28
CERTAIN_CORRELATION = 0.9  # two blank pictures have equal hashes and correlate by 0
MIN_AGREEING = 15  # places
MIN_DETAIL = 0.85
MIN_SHARED = 0.5
_MATCHING = 48  # bits; what matches wrongly is outvoted by the geometry
_TOLERANCE = 0.006  # of the side
_WINDOW = 7  # pixels of the small picture
_EXCEPT = 15  # percent of the windows, which may hold letters
_FLAT = 2.0  # variance of gray levels; a window with less has no detail to compare


class Picture(NamedTuple):
    """What is known of one picture."""

    phash: str  # 64 hex digits
    features: Features


class Verdict(NamedTuple):
    """Whether two pictures are copies, and what was measured."""

    copy: bool
    bits: int  # of 256 in which the perceptual hashes differ
    correlation: float  # of the small pictures as they are, -1 to 1
    matching: int  # places of the one that look like a place of the other
    agreeing: int  # of them, those that one move, turn and stretch brings onto each other
    # The rest is 0 where fewer than ``MIN_AGREEING`` places agree.
    detail: float  # correlation of fine detail that 85 % of what both show reach, -1 to 1
    shared: float  # share of the one that the other shows too, and the reverse: the smaller of both
    scale: float  # at which the one shows what the other does, relative to width and height; 1 or less
    degrees: float  # by which one is turned

    def evidence(self) -> str:
        """Say in English what was measured."""
        hashes = f"{self.bits} of 256 bits apart, pictures correlate by {self.correlation:.2f}"
        places = f"{self.agreeing} of {self.matching} places agree"
        if not self.scale:
            return f"{hashes}; {places}, too few to compare detail"
        return f"{hashes}; {places}, detail correlates by {self.detail:.2f} in {self.shared:.0%} of the picture"


class _Fit(NamedTuple):
    """How one picture lies in another. Places are shares of width and height."""

    matching: int
    agreeing: int
    matrix: npt.NDArray[np.float64]  # 2 x 3: from the one to the other


def confirm(pictures: Mapping[int, Picture], pairs: Collection[Pair], linked: DisjointSet[int]) -> dict[Pair, Verdict]:
    """Decide on proposed pairs and return those that are copies.

    The closest hashes come first. Two pictures that copies link already are not compared any more: which pictures are
    linked is the same in any order, and a picture that is there a thousand times takes a thousand looks.

    Args:
        pictures: by position, those that the pairs name and that are not linked yet.
        pairs: positions of what is to be compared.
        linked: all positions; what is found to be copies is linked in it.
    """
    copies = {}
    unlinked = [pair for pair in pairs if not linked.connected(*pair)]
    for one, other in sorted(unlinked, key=lambda pair: (_bits(*(pictures[each] for each in pair)), pair)):
        if not linked.connected(one, other) and (verdict := decide(pictures[one], pictures[other])).copy:
            linked.merge(one, other)
            copies[one, other] = verdict
    return copies


def decide(one: Picture, other: Picture) -> Verdict:
    """Look at the pixels of two pictures; which of them comes first makes no difference."""
    first, second = sorted((one, other))
    bits = _bits(first, second)
    gray, other_gray = _small(first), _small(second)
    correlation = _correlation(gray, other_gray)
    fit = _fit(first.features, second.features)
    detail, shared, scale, degrees = 0.0, 0.0, 0.0, 0.0
    if fit.agreeing >= MIN_AGREEING:
        detail, shared = _detail(gray, other_gray, fit.matrix)
        (a, b), (c, d) = fit.matrix[:, :2]
        size = float(abs(a * d - b * c) ** 0.5)
        scale = min(size, 1 / size)
        degrees = float(np.degrees(np.arctan2(max(-b * c, 0) ** 0.5, max(a * d, 0) ** 0.5)))  # whatever the shape
    certain = bits <= CERTAIN_BITS and correlation >= CERTAIN_CORRELATION
    seen = detail >= MIN_DETAIL and shared > MIN_SHARED
    return Verdict(certain or seen, bits, correlation, fit.matching, fit.agreeing, detail, shared, scale, degrees)


def _bits(one: Picture, other: Picture) -> int:
    return (int(one.phash, 16) ^ int(other.phash, 16)).bit_count()


def _small(picture: Picture) -> Gray:
    return np.frombuffer(picture.features.small, dtype=np.uint8).reshape(SIDE, SIDE).astype(np.float64)


def _correlation(one: Gray, other: Gray) -> float:
    """Return how two pictures correlate as they are; 0 where one of them is blank."""
    spread = one.std() * other.std()
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread) if spread else 0.0


def _fit(one: Features, other: Features) -> _Fit:
    """Find the geometry that most of the matching places agree on."""
    nothing = np.zeros((2, 3))
    (places, descriptors), (other_places, other_descriptors) = _decoded(one), _decoded(other)
    if not len(places) or not len(other_places):
        return _Fit(0, 0, nothing)
    bits = differing_bits(descriptors, other_descriptors)
    nearest, back = bits.argmin(axis=1), bits.argmin(axis=0)
    rows = np.arange(len(places))
    matching = rows[(back[nearest] == rows) & (bits[rows, nearest] <= _MATCHING)]
    if len(matching) < MIN_AGREEING:
        return _Fit(len(matching), 0, nothing)
    matrix, agrees = cv2.estimateAffine2D(
        places[matching], other_places[nearest[matching]], ransacReprojThreshold=_TOLERANCE, maxIters=1000
    )
    if matrix is None or abs(np.linalg.det(matrix[:, :2])) < MIN_SHARED / 2:  # no picture is shown that small
        return _Fit(len(matching), 0, nothing)
    return _Fit(len(matching), int(agrees.sum()), np.asarray(matrix))


def _decoded(features: Features) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return the places, 0 to 1 each way, and their descriptions."""
    places = np.asarray(np.frombuffer(features.places, dtype="<u2").reshape(-1, 2) / 65536, dtype=np.float32)
    return places, np.frombuffer(features.descriptors, dtype=np.uint8).reshape(-1, DESCRIPTOR_BYTES)


def _detail(one: Gray, other: Gray, matrix: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return how fine detail correlates in what both pictures show, and how much of them that is."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    laid, inside = _laid(other, matrix)
    laid_back, inside_back = _laid(one, back)
    shared = float(min(inside.mean(), inside_back.mean()))
    if inside.mean() <= inside_back.mean():  # the one with more around has the coarser pixels: detail that both hold
        return _nearly_everywhere(one, laid, inside), shared
    return _nearly_everywhere(other, laid_back, inside_back), shared


def _laid(picture: Gray, matrix: npt.NDArray[np.float64]) -> tuple[Gray, npt.NDArray[np.bool_]]:
    """Return ``picture`` as it lies in the frame that ``matrix`` starts from, and where in that frame it is."""
    middle = np.array([0.5, 0.5]) / SIDE  # the place of a pixel is its middle
    pixels = np.column_stack([matrix[:, :2], (matrix[:, :2] @ middle + matrix[:, 2]) * SIDE - 0.5])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(picture, pixels, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid), np.asarray(cv2.warpAffine(np.ones_like(picture), pixels, (SIDE, SIDE), flags=how)) > 0.5


def _nearly_everywhere(one: Gray, other: Gray, inside: npt.NDArray[np.bool_]) -> float:
    """Return the correlation that nearly all small windows reach; 0 where there is nothing to compare."""

    def mean(values: Gray) -> Gray:
        return np.asarray(cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_CONSTANT))

    variance, other_variance = (mean(each**2) - mean(each) ** 2 for each in (one, other))
    full = mean(inside.astype(np.float64)) > 0.999  # a window over the edge is not
    full &= (variance > _FLAT) & (other_variance > _FLAT)
    if not full.any():
        return 0.0
    products = mean(one * other) - mean(one) * mean(other)
    return float(np.percentile(products[full] / np.sqrt(variance[full] * other_variance[full]), _EXCEPT))
