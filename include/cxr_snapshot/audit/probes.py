"""Shortcut probes: how well a simple classifier names the class without seeing what a physician would look at.

A high score does not say that a lung shows nothing. It says that a model trained on these images can score as well by
other means, and that nobody can tell from its score what it learnt: Maguolo & Nanni 2021,
doi:10.1016/j.inffus.2021.04.008; DeGrave et al. 2021, doi:10.1038/s42256-021-00338-7.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import ThreadpoolController

from cxr_snapshot.audit.looks import SIDE
from cxr_snapshot.audit.words import (
    CLASSES_QUESTION,
    COLLECTION_QUESTION,
    CONTROL_QUESTION,
    LEVELS,
    ORIGINALS,
    PICTURES,
    WITHIN_QUESTION,
    percent,
)
from cxr_snapshot.settings import PICTURE_SIZES

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import Pipeline

Floats = npt.NDArray[np.floating[Any]]
Strings = npt.NDArray[np.str_]
Folds = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]

FOLDS = 5
TREES = 25  # of a forest
FEWEST_GROUPS = 5  # of each class: one for every fold
_RESAMPLES = 1000  # of the groups, for the interval
_MARGIN = 0.05  # by which the interval must lie above guessing before anything is said to be found

# In units of the 32 x 32 points. On 434 films with lungs outlined by people, this rectangle leaves 0.9 % of the lung in
# sight, and more than a tenth of it in 0.5 % of the films; the smaller one of earlier versions, 8.6 % and in 39 %.
_LUNGS = np.s_[2:29, 1:31]
_STRIP, _CORNER = 2, 6  # width of the border strip, side of the corner squares

_SEES = {
    ("file_facts", ORIGINALS): "size, shape, bytes, colour mode and format of the {original} file",
    ("file_facts", PICTURES): "how many bytes the {side} x {side} picture takes",
    ("thumbnail", ORIGINALS): "the {one} shrunk to 8 x 8 points",
    ("thumbnail", PICTURES): "the {side} x {side} picture shrunk to 8 x 8 points",
    ("no_lungs", ORIGINALS): "the {one} at 32 x 32 points, the lungs blacked out",
    ("no_lungs", PICTURES): "the {side} x {side} picture at 32 x 32 points, the lungs blacked out",
    ("border", ORIGINALS): "border strip and corners of the {one}",
    ("border", PICTURES): "border strip and corners of the {side} x {side} picture",
}
_ASKED = {
    CLASSES_QUESTION: "the class",
    CONTROL_QUESTION: "COVID-19 or another finding",
    WITHIN_QUESTION: "the class within one collection",
    COLLECTION_QUESTION: "the collection",
}
_SAID = {False: {"original": "original", "one": "original"}, True: {"original": "uniform", "one": "uniform file"}}


class Score(NamedTuple):
    """Balanced accuracy, the mean over the classes of the fraction named rightly, and its 95 % interval."""

    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Probe:
    """What one probe found.

    Attributes:
        name: ``file_facts``, ``thumbnail``, ``no_lungs`` or ``border``.
        of: ``originals`` for the files as they are published, or ``pictures`` for those of the shards.
        question: ``classes``; ``covid_within_upstream``: COVID-19 or another finding, in the COVID collection alone;
            ``classes_within_collection``: the classes that another collection has alone; or ``collection``: from which.
        sees: what the classifier sees, in words.
        images: how many images took part.
        groups: how many groups of patients took part.
        chance: balanced accuracy of guessing.
        score: ``None`` where it could not be measured.
        certainty: by image, the classifier's probability for the true class.
    """

    name: str
    of: str
    question: str
    sees: str
    images: int
    groups: int
    chance: float
    score: Score | None
    certainty: pd.Series

    @property
    def level(self) -> str:
        """``strong`` (half of the way from guessing to certainty), ``some``, ``none`` or ``unmeasured``."""
        if self.score is None:
            return "unmeasured"
        if self.score.low <= self.chance + _MARGIN:
            return "none"
        return "strong" if self.score.accuracy >= (1 + self.chance) / 2 else "some"

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.score is None:
            return f"Not measured: it takes {FEWEST_GROUPS} patients of each kind."
        accuracy, low, high = (percent(value) for value in self.score)
        return (
            f"Whoever sees only {self.sees} names {_ASKED[self.question]} rightly for {accuracy} ({low} to {high}); "
            f"guessing gives {percent(self.chance)}. {LEVELS[self.level]}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data for ``audit.json``, with ``accuracy``, ``low`` and ``high``."""
        facts = {name: value for name, value in vars(self).items() if name not in ("score", "certainty")}
        measured = self.score._asdict() if self.score else dict.fromkeys(Score._fields)
        return facts | measured | {"level": self.level, "sentence": self.sentence}


def run_probes(
    images: pd.DataFrame, question: str, *, uniform: bool = False, side: int = PICTURE_SIZES[0]
) -> list[Probe]:
    """Run every probe on one question.

    Args:
        images: a row for each image, with ``sha256``, ``label`` (what is to be told), ``group``, ``width``, ``height``,
            ``bytes``, ``format``, ``mode`` and the columns of ``looks.LOOK_SCHEMA``.
        question: as in :class:`Probe`.
        uniform: whether the files are published in the uniform form.
        side: of the pictures in the shards, in pixels.
    """
    images = images.sort_values("sha256", ignore_index=True)
    labels, groups = images["label"].to_numpy(str), images["group"].to_numpy(str)
    chance = round(1 / max(len(set(labels)), 1), 3)
    found = []
    folds = split_folds(labels, groups) if can_be_judged(labels, groups) else []
    draws = Resampling(labels, groups) if folds else None
    for (name, of), seeing in _SEES.items():
        sees = seeing.format(side=side, **_SAID[uniform])
        score, certainty = None, pd.Series(dtype=float)
        if draws:
            seen = features(images, name, of)
            given, hits = cross_validate(seen, labels, folds, trees=name == "file_facts")
            score, certainty = draws.score(hits), pd.Series(given, index=images["sha256"])
        found.append(Probe(name, of, question, sees, len(labels), len(set(groups)), chance, score, certainty))
    return found


def features(images: pd.DataFrame, name: str, of: str) -> Floats:
    """Return what the probe ``name`` sees of each image, or all points: a row for each, numbers in columns."""
    if name == "file_facts":
        return _file_facts(images) if of == ORIGINALS else _log(images["normalised_bytes"])[:, None]
    points = _points(images["raw" if of == ORIGINALS else "normalised"])
    if name == "whole":
        return points.reshape(len(points), -1).astype(np.float32)
    if name == "thumbnail":
        blocks = points.reshape(len(points), 8, SIDE // 8, 8, SIDE // 8, -1)
        means = blocks.mean(axis=2, dtype=np.float32).mean(axis=3)  # over both at once takes three times as long
        return np.asarray(means.reshape(len(points), -1))
    seen = points.reshape(len(points), SIDE * SIDE, -1).take(np.flatnonzero(visible(name)), axis=1)
    return seen.reshape(len(points), -1).astype(np.float32)  # of those that count: saves memory


def visible(name: str) -> npt.NDArray[np.bool_]:
    """Return which of the 32 x 32 points the probe ``no_lungs`` or ``border`` sees."""
    seen = np.zeros((SIDE, SIDE), dtype=bool)
    if name == "no_lungs":
        seen[:] = True
        seen[_LUNGS] = False
        return seen
    seen[:_STRIP] = seen[-_STRIP:] = True
    seen[:, :_STRIP] = seen[:, -_STRIP:] = True
    for rows in (np.s_[:_CORNER], np.s_[-_CORNER:]):
        for columns in (np.s_[:_CORNER], np.s_[-_CORNER:]):
            seen[rows, columns] = True
    return seen


def can_be_judged(labels: Strings, groups: Strings) -> bool:
    """Say whether there are two labels, each with enough groups."""
    by_label = pd.Series(groups).groupby(labels).nunique()
    return len(by_label) >= 2 and by_label.min() >= FEWEST_GROUPS


def split_folds(labels: Strings, groups: Strings) -> Folds:
    """Return the images to train on and those to judge, ``FOLDS`` times; no group is ever on both sides.

    The groups of each label, in random order but the largest first, are dealt out to the folds to and fro, so that each
    fold has groups of each. scikit-learn's ``StratifiedGroupKFold`` takes longer for it than the probes take.

    Args:
        labels: what is to be told of each image; each fold has about as many of each.
        groups: of the images.
    """
    counted = pd.DataFrame({"label": labels, "group": groups}).value_counts().rename("images").reset_index()
    counted = counted.sort_values(["images", "label", "group"], ascending=[False, True, True])
    order = counted.drop_duplicates("group").sample(frac=1, random_state=0)
    order = order.sort_values(["label", "images"], ascending=[True, False], kind="stable")
    place = order.groupby("label").cumcount() % (2 * FOLDS)
    fold_of = dict(zip(order["group"], np.minimum(place, 2 * FOLDS - 1 - place), strict=True))
    folds = np.array([fold_of[group] for group in groups])
    return [(np.flatnonzero(folds != number), np.flatnonzero(folds == number)) for number in range(FOLDS)]


def cross_validate(seen: Floats, labels: Strings, folds: Folds, *, trees: bool) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Let each image be judged by a classifier that was trained on other folds only.

    Args:
        seen: a row for each image.
        labels: what is to be told.
        folds: from :func:`split_folds`.
        trees: judge by a forest (Geurts et al. 2006), for which an exact size can count; else by a logistic regression.

    Returns:
        For each image the probability given to its true label, and whether that label was named.
    """
    places = np.searchsorted(np.unique(labels), labels)
    given = judge_across(seen, labels, folds, trees=trees)
    return given[np.arange(len(labels)), places], given.argmax(axis=1) == places


def judge_across(seen: Floats, labels: Strings, folds: Folds, *, trees: bool) -> Floats:
    """Return the probability of each label, sorted, for each image; arguments as for :func:`cross_validate`."""
    names = np.unique(labels)
    given = np.zeros((len(labels), len(names)))
    for train, test in folds:
        model = forest() if trees else regression()
        with one_thread():
            model.fit(seen[train], labels[train])
            given[np.ix_(test, np.searchsorted(names, model.classes_))] = model.predict_proba(seen[test])
    return given


@contextmanager
def one_thread() -> Iterator[None]:
    """Let libraries do all sums in one thread; in another order they would give other bits."""
    with _libraries().limit(limits=1):
        yield


@cache  # to look for them takes ten milliseconds
def _libraries() -> ThreadpoolController:
    import sklearn.linear_model  # noqa: F401 - brings the last of them

    return ThreadpoolController()


def forest() -> ExtraTreesClassifier:
    """Return the classifier of facts of files."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=0)


def regression() -> Pipeline:
    """Return the classifier of pictures: a logistic regression on standardised points."""
    from sklearn.linear_model import LogisticRegression  # takes a second, and few images do without
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # More exact weights take twice the time, and moved no accuracy by more than 2 points on real images.
    model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=300, tol=1e-2)
    return make_pipeline(StandardScaler(), model)


def score_of(labels: Strings, groups: Strings, hits: npt.NDArray[np.bool_]) -> Score:
    """Return the balanced accuracy of one classifier and its 95 % interval; see :class:`Resampling`."""
    return Resampling(labels, groups).score(hits)


class Resampling:
    """Groups of patients that are drawn again and again with replacement, for the intervals of balanced accuracies.

    Groups and not images are drawn, since images of one patient are no independent witnesses.

    Args:
        labels: what is to be told of each image.
        groups: of the images.
    """

    def __init__(self, labels: Strings, groups: Strings) -> None:
        names, places = np.unique(labels, return_inverse=True)
        among, of_image = np.unique(groups, return_inverse=True)
        self._shape = (len(among), len(names))
        self._cells = of_image * len(names) + places  # of each image: its group and its label
        self._every = self._count(np.ones(len(labels), dtype=bool))
        self._drawn = self._draw(self._every)

    def score(self, hits: npt.NDArray[np.bool_]) -> Score:
        """Return the balanced accuracy of a classifier that named these images rightly."""
        right = self._count(hits)
        with np.errstate(invalid="ignore"):  # a draw may miss a label
            drawn = np.nanmean(self._draw(right).astype(float) / self._drawn, axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        accuracy = (right.sum(0, dtype=float) / self._every.sum(0)).mean()
        return Score(*(round(float(value), 3) for value in (accuracy, low, high)))

    def _count(self, which: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Count such images by group and label."""
        counts = np.bincount(self._cells[which], minlength=self._shape[0] * self._shape[1])
        return counts.reshape(self._shape).astype(np.float32)

    def _draw(self, counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the counts by label in each of the draws."""
        with one_thread():
            return draw_groups(len(counts)) @ counts


def draw_groups(count: int) -> npt.NDArray[np.float32]:
    """Return how often each of ``count`` groups is drawn in each of the draws with replacement."""
    return _drawn(count).astype(np.float32)


@lru_cache(maxsize=4)  # all probes of one question ask for the same, and two questions may
def _drawn(count: int) -> npt.NDArray[np.uint8]:
    draws = np.random.default_rng(0)
    rows = (np.bincount(draws.integers(count, size=count), minlength=count) for _ in range(_RESAMPLES))
    return np.stack([row.astype(np.uint8) for row in rows])


def _file_facts(images: pd.DataFrame) -> Floats:
    width, height, size = (images[name].astype(float) for name in ("width", "height", "bytes"))
    numbers = [_log(width), _log(height), _log(width / height), _log(size), _log(size / (width * height))]
    kinds = pd.get_dummies(images[["format", "mode"]].astype(str), dtype=np.float64).to_numpy()
    return np.column_stack([*numbers, kinds])


def _log(numbers: pd.Series) -> Floats:
    return np.asarray(np.log(numbers.to_numpy(np.float64)))


def _points(pictures: pd.Series) -> npt.NDArray[np.uint8]:
    """Return images x SIDE x SIDE x channels."""
    return np.frombuffer(b"".join(pictures), dtype=np.uint8).reshape(len(pictures), SIDE, SIDE, -1)
