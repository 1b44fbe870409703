"""The judges: images of other collections, of patients whom the model's snapshot does not have.

A model that learnt where an image is from, and not the disease, calls normal adults COVID as soon as they are from
somewhere else than its own normal images.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_predictor.metrics import Draws, Figure, Floats, Judged, auc, confusion, share
from cxr_predictor.snapshots import Snapshot
from cxr_snapshot.selection.patients import ADULT
from cxr_snapshot.tables import CLASSES

_COVID, _NORMAL = CLASSES.index("COVID"), CLASSES.index("NORMAL")
_KNOWN_BY = ("upstream_sha256", "pixel_sha256", "patient_id")


def choose_judges(candidates: Snapshot, known: pd.DataFrame) -> Snapshot:
    """Return those images of another snapshot that are from elsewhere.

    Args:
        candidates: the other snapshot.
        known: rows of the model's own, of all splits. What is of a collection, a patient or a picture that is there,
            or belongs to a group of which any image is, is left out.
    """
    rows = candidates.rows
    met = rows["source"].isin(known["source"])
    for column in _KNOWN_BY:  # a collection may hold images of another one
        met |= rows[column].isin(known[column].dropna())
    return candidates.part(~rows["group"].isin(rows.loc[met, "group"]))


def measure_outside(rows: pd.DataFrame, scores: Floats, seed: int) -> dict[str, Any]:
    """Return what the judges say.

    Returns:
        ``images`` by class and source; ``normal_adults_called_covid``, a figure; ``covid_or_normal_auc``, a figure: how
        well the probability of COVID tells images of COVID from those of normal adults; ``confusion`` of all. A figure
        is ``None`` where the judges lack the images for it.
    """
    labels = rows["label"].to_numpy()
    judged = Judged(labels, scores, list(rows["group"]))
    normal_adult = rows["class"].eq("NORMAL").to_numpy() & rows["age"].ge(ADULT).fillna(False).to_numpy(dtype=bool)
    both = normal_adult | (labels == _COVID)
    counts = Counter(zip(rows["class"], rows["source"], strict=True))
    return {
        "images": [
            {"class": name, "source": source, "images": count} for (name, source), count in sorted(counts.items())
        ],
        "normal_adults_called_covid": _share_called_covid(_only(judged, normal_adult), seed),
        "covid_or_normal_auc": _auc(_only(judged, both), seed),
        "confusion": confusion(judged),
    }


def _share_called_covid(judged: Judged, seed: int) -> Figure | None:
    if not len(judged.labels):
        return None
    called, everyone = judged.named == _COVID, np.ones(len(judged.labels), bool)
    draws = Draws(judged.labels, judged.groups, seed)
    return draws.figure(lambda weights: share(called, everyone, weights), np.zeros(len(called), np.int64))


def _auc(judged: Judged, seed: int) -> Figure | None:
    if set(judged.labels.tolist()) != {_COVID, _NORMAL}:
        return None
    positive = judged.labels == _COVID
    draws = Draws(judged.labels, judged.groups, seed)
    return draws.figure(lambda weights: auc(positive, judged.scores[:, _COVID], weights), positive.astype(np.int64))


def _only(judged: Judged, mask: npt.NDArray[np.bool_]) -> Judged:
    groups = [group for group, kept in zip(judged.groups, mask, strict=True) if kept]
    return Judged(judged.labels[mask], judged.scores[mask], groups)
