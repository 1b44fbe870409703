"""How good scores are, with intervals that take patients, not images, for the unit that is drawn.

A figure is ``value``, ``low`` and ``high`` of its 95 % interval, and the ``images`` and ``patients`` that it rests on;
patients that are linked by a picture count as one. ``None`` stands for what could not be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_snapshot.tables import CLASSES

DRAWS = 2000
BINS = 10  # of the calibration, by the probability of the named class

_TAIL = 0.025  # on each side of an interval
_DIGITS = 4

Floats = npt.NDArray[np.float64]
Figure = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """What a model says of images.

    Attributes:
        labels: number of the true class of each.
        scores: probabilities of the classes, a row for each.
        groups: what belongs to one patient.
    """

    labels: npt.NDArray[np.int64]
    scores: Floats
    groups: Sequence[str]

    @property
    def named(self) -> npt.NDArray[np.int64]:
        """The class with the highest probability."""
        best: npt.NDArray[np.int64] = self.scores.argmax(axis=1)
        return best


def measure(judged: Judged, seed: int) -> dict[str, Any]:
    """Return all figures of a split.

    Args:
        judged: at least one image of each class.
        seed: of the draws.
    """
    draws = Draws(judged.labels, judged.groups, seed)
    by_class = {name: _of_class(judged, draws, k) for k, name in enumerate(CLASSES)}
    return {
        "balanced_accuracy": measure_accuracy(judged, seed),
        "chance": round(1 / len(CLASSES), _DIGITS),
        "classes": by_class,
        "confusion": confusion(judged),
        "calibration": calibration(judged),
    }


def measure_accuracy(judged: Judged, seed: int) -> Figure | None:
    """Return the balanced accuracy, the mean of the sensitivities; arguments as of :func:`measure`."""
    return Draws(judged.labels, judged.groups, seed).figure(
        lambda weights: _balanced_accuracy(judged, weights), judged.labels
    )


def confusion(judged: Judged) -> dict[str, dict[str, int]]:
    """Count the images of each true class by the class that the model names."""
    table = np.zeros((len(CLASSES), len(CLASSES)), int)
    np.add.at(table, (judged.labels, judged.named), 1)
    return {name: dict(zip(CLASSES, map(int, table[k]), strict=True)) for k, name in enumerate(CLASSES)}


def calibration(judged: Judged) -> dict[str, Any]:
    """Say how well the probability of the named class fits how often it is right.

    Returns:
        ``error``, the expected calibration error: the mean distance of the two over ``bins``, weighted by their images;
        and the bins that have any: ``from``, ``to``, ``images``, ``mean_probability``, ``right``.
    """
    top, right = judged.scores.max(axis=1), judged.named == judged.labels
    number = np.minimum((top * BINS).astype(int), BINS - 1)
    bins = [
        {
            "from": k / BINS,
            "to": (k + 1) / BINS,
            "images": int((number == k).sum()),
            "mean_probability": _rounded(top[number == k].mean()),
            "right": _rounded(right[number == k].mean()),
        }
        for k in sorted(set(number.tolist()))
    ]
    error = sum(each["images"] * abs(each["mean_probability"] - each["right"]) for each in bins) / len(number)
    return {"error": _rounded(error), "bins": bins}


def auc(positive: npt.NDArray[np.bool_], score: Floats, weights: Floats) -> Floats:
    """Return the area under the ROC curve for each row of weights: how often a positive image has the higher score.

    Args:
        positive: by image.
        score: by image; ties count half.
        weights: a row for each draw, a column for each image.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.nan))  # where another value begins
    with_it = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    without = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = without.cumsum(axis=1) - without
    return _ratio((with_it * (below + without / 2)).sum(axis=1), with_it.sum(axis=1) * without.sum(axis=1))


def share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_], weights: Floats) -> Floats:
    """Return for each row of weights the share of ``part`` in ``whole``."""
    return _ratio(weights @ part, weights @ whole)


class Draws:
    """Draws of patients with replacement, of each class as many as there are.

    Args:
        labels: number of the true class of each image.
        groups: what belongs to one patient; a group of two classes is drawn with the first.
        seed: of the draws.
    """

    def __init__(self, labels: npt.NDArray[np.int64], groups: Sequence[str], seed: int) -> None:
        self._names, first, self._number = np.unique(
            np.array(groups, dtype=str), return_index=True, return_inverse=True
        )
        rng = np.random.default_rng(seed)
        counts = np.zeros((DRAWS, len(self._names)), np.int64)
        for k in sorted(set(labels[first].tolist())):
            of_class = np.flatnonzero(labels[first] == k)
            counts[:, of_class] = rng.multinomial(len(of_class), [1 / len(of_class)] * len(of_class), size=DRAWS)
        self._weights = counts[:, self._number].astype(np.float64)

    def figure(self, measure: Callable[[Floats], Floats], sides: npt.NDArray[np.int64]) -> Figure | None:
        """Return a figure.

        Where all draws agree, as they do when a model is always right or names one class only, they say nothing of how
        sure that is. What is given then is as wide as for a share of 0 or 1 of so many patients, of the side that has
        fewest.

        Args:
            measure: returns the figure for each row of weights of the images.
            sides: for each image a number that says to which side of the comparison it belongs; below 0 to none.
        """
        value = float(measure(np.ones((1, len(sides))))[0])
        if np.isnan(value):
            return None
        patients = [len(set(self._number[sides == side].tolist())) for side in set(sides[sides >= 0].tolist())]
        low, high = np.nanpercentile(measure(self._weights), [100 * _TAIL, 100 * (1 - _TAIL)])
        if low == high:
            doubt = 1 - _TAIL ** (1 / min(patients))
            low, high = max(value - doubt, 0.0), min(value + doubt, 1.0)
        return {
            "value": _rounded(value),
            "low": _rounded(low),
            "high": _rounded(high),
            "images": int((sides >= 0).sum()),
            "patients": len(set(self._number[sides >= 0].tolist())),
        }


def _of_class(judged: Judged, draws: Draws, k: int) -> dict[str, Figure | None]:
    positive, named = judged.labels == k, judged.named == k
    return {
        "sensitivity": draws.figure(
            lambda weights: share(positive & named, positive, weights), np.where(positive, 0, -1)
        ),
        "specificity": draws.figure(
            lambda weights: share(~positive & ~named, ~positive, weights), np.where(positive, -1, 0)
        ),
        "auc": draws.figure(lambda weights: auc(positive, judged.scores[:, k], weights), positive.astype(np.int64)),
    }


def _balanced_accuracy(judged: Judged, weights: Floats) -> Floats:
    right = judged.named == judged.labels
    shares = [share(right & (judged.labels == k), judged.labels == k, weights) for k in range(len(CLASSES))]
    mean: Floats = np.mean(shares, axis=0)
    return mean


def _ratio(part: Floats, whole: Floats) -> Floats:
    found = np.full(len(whole), np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _rounded(value: Any) -> float:
    return round(float(value), _DIGITS)
