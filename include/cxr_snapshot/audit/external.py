"""The external check: whether a model that was trained on this snapshot works on patients from elsewhere.

The model is as simple as those of the probes, but it sees the whole picture. A larger one finds more, of the disease
and of the shortcuts; it does not keep to the disease by itself (Zech et al. 2018, doi:10.1371/journal.pmed.1002683).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxr_snapshot.audit.probes import (
    FEWEST_GROUPS,
    Floats,
    Score,
    can_be_judged,
    draw_groups,
    features,
    judge_across,
    one_thread,
    regression,
    score_of,
    split_folds,
)
from cxr_snapshot.audit.words import PICTURES, interval, per_hundred, percent
from cxr_snapshot.selection.patients import ADULT
from cxr_snapshot.tables import CLASSES

_ADULT = (ADULT, 120)  # years
# It fails where an interval lies wholly beyond one of these, and passes where all lie wholly on the good side. No use
# bears that one of five healthy adults is called ill, or that half of the ill are missed; an AUC below 0.7 is poor by
# convention (Hosmer & Lemeshow 2000).
MOST_CALLED, LEAST_FOUND, LEAST_AUC = 0.2, 0.5, 0.7

_ILL, _HEALTHY = "COVID", "NORMAL"

Figure = dict[str, Any]


def who_judges(sample: pd.DataFrame, picked: pd.DataFrame) -> pd.DataFrame:
    """Say which of the images that could judge do so.

    Those from elsewhere are of adults by their stated age, or have COVID-19, at whatever age. Those of the snapshot's
    own collections stand beside them; where none is from elsewhere, there is nothing to compare them with.

    Args:
        sample: the images that a model is trained on, columns of ``MANIFEST_SCHEMA``.
        picked: from :func:`cxr_snapshot.selection.judges.pick_judges`.

    Returns:
        ``picked`` with ``outside``, whether the model knows no image of its collection, and ``judges``.
    """
    outside = ~picked["source"].isin(sample["source"])
    adult = picked["age"].astype(float).between(*_ADULT) | picked["class"].eq(_ILL)
    judges = ~picked["linked"] & (adult | ~outside)
    return picked.assign(outside=outside, judges=judges & bool((judges & outside).any()))


def check_elsewhere(
    sample: pd.DataFrame, picked: pd.DataFrame, revisions: Mapping[str, str], *, synthetic: bool = False
) -> dict[str, Any]:
    """Let a model that is trained on the snapshot name the images of patients whom it has not met.

    Args:
        sample: a row for each image, with ``sha256``, ``source``, ``class``, ``group`` and the columns of
            ``looks.LOOK_SCHEMA``.
        picked: the same of those that could judge, from :func:`who_judges`; looks are needed of those that do.
        revisions: pinned id of each collection that only judges.
        synthetic: whether all this is generated.

    Returns:
        ``external`` of ``audit.json``.
    """
    sample, judges = (each.sort_values("sha256", ignore_index=True) for each in (sample, picked[picked["judges"]]))
    inside, named = _predictions(sample, judges)
    outside = named[~named["source"].isin(sample["source"])]
    found = {
        "called_covid": _share_called(outside[outside["class"].eq(_HEALTHY)]),
        "found_covid": _share_called(outside[outside["class"].eq(_ILL)]),
        "auc_inside": _auc(inside),
        "auc_outside": _auc(outside),
        "accuracy_inside": _accuracy(inside),
        "accuracy_outside": _accuracy(outside),
    }
    level = _level(found)
    return {
        "level": level,
        "sentences": _sentences(level, found) if found["called_covid"] else _unmeasured(synthetic=synthetic),
        **found,
        "judges": _by_collection(picked, named),
        "revisions": dict(revisions),
    }


def figures(external: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what is followed from snapshot to snapshot, by name.

    Args:
        external: from :func:`check_elsewhere`.
    """
    names = ("called_covid", "found_covid", "auc_inside", "auc_outside")
    return {name: external[name]["value"] if external[name] else None for name in names}


def failure(external: Mapping[str, Any]) -> str:
    """Return the headline of a check that failed, with the figure that shows it."""
    if external["called_covid"]["low"] > MOST_CALLED:
        called = per_hundred(external["called_covid"]["value"])
        return f"A model trained on this fails elsewhere: of 100 healthy adults, it calls {called} COVID."
    if external["found_covid"]["high"] < LEAST_FOUND:
        found = per_hundred(external["found_covid"]["value"])
        return f"A model trained on this fails elsewhere: of 100 patients with COVID-19, it finds {found}."
    auc = external["auc_outside"]["value"]
    return f"A model trained on this fails elsewhere: it tells COVID from NORMAL with an AUC of {auc:.2f}."


def _predictions(sample: pd.DataFrame, judges: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what a model calls the images of the sample, trained on others of it, and those that judge.

    Both are empty where there are too few patients to train on, or nobody judges.
    """
    labels, groups = sample["class"].to_numpy(str), sample["group"].to_numpy(str)
    if judges.empty or set(labels) != set(CLASSES) or not can_be_judged(labels, groups):
        nobody = _named(sample.iloc[:0], np.empty((0, len(CLASSES))))
        return nobody, nobody
    seen = features(sample, "whole", PICTURES)
    across = judge_across(seen, labels, split_folds(labels, groups), trees=False)
    with one_thread():
        given = regression().fit(seen, labels).predict_proba(features(judges, "whole", PICTURES))
    return _named(sample, across), _named(judges, given)


def _named(images: pd.DataFrame, given: Floats) -> pd.DataFrame:
    """Return how a model named each image, and how much sooner it would say COVID than NORMAL.

    Args:
        images: a row for each.
        given: the probability of each class, in the order of ``CLASSES``.
    """
    logs = np.log(np.maximum(given, np.finfo(np.float64).tiny))
    odds = logs[:, CLASSES.index(_ILL)] - logs[:, CLASSES.index(_HEALTHY)]
    called = np.array(CLASSES)[given.argmax(axis=1)]
    return images[["source", "class", "group", "sha256"]].assign(called=called, odds=odds)


def _share_called(images: pd.DataFrame) -> Figure | None:
    """Return which share of the images of one class is called COVID."""
    if images["group"].nunique() < FEWEST_GROUPS:
        return None
    called = images["called"].eq(_ILL).to_numpy()
    score = score_of(images["class"].to_numpy(str), images["group"].to_numpy(str), called)
    # Where all agree, so do all draws; then the bound is exact, for so many patients (Clopper & Pearson 1934).
    widest = round(0.025 ** (1 / images["group"].nunique()), 3)
    bounds = {0.0: Score(0.0, 0.0, round(1 - widest, 3)), 1.0: Score(1.0, widest, 1.0)}
    return _figure(bounds.get(score.accuracy, score), images)


def _auc(named: pd.DataFrame) -> Figure | None:
    """Return the area under the ROC curve of COVID against NORMAL; intervals as those of the probes."""
    both = named[named["class"].isin([_ILL, _HEALTHY])]
    ill, labels = both["class"].eq(_ILL).to_numpy(), both["class"].to_numpy(str)
    codes, groups = pd.factorize(both["group"])
    if not can_be_judged(labels, both["group"].to_numpy(str)):
        return None
    high, low = (both["odds"].to_numpy()[rows] for rows in (ill, ~ill))
    above = ((high[:, None] > low) + 0.5 * (high[:, None] == low)).astype(np.float32)
    draws = draw_groups(len(groups))
    ills, healthies = draws[:, codes[ill]], draws[:, codes[~ill]]
    with one_thread(), np.errstate(invalid="ignore"):  # a draw may miss a class
        drawn = ((ills @ above) * healthies).sum(axis=1) / (ills.sum(axis=1) * healthies.sum(axis=1))
    bounds = np.nanquantile(drawn, [0.025, 0.975])
    return _figure(Score(*(round(float(value), 3) for value in (above.mean(dtype=np.float64), *bounds))), both)


def _accuracy(named: pd.DataFrame) -> Figure | None:
    """Return the balanced accuracy over the classes of which there are patients enough."""
    patients = named.groupby("class")["group"].nunique()
    classes = sorted(patients.index[patients >= FEWEST_GROUPS])
    judged = named[named["class"].isin(classes)]
    if len(classes) < 2:
        return None
    hits = judged["called"].eq(judged["class"]).to_numpy()
    score = score_of(judged["class"].to_numpy(str), judged["group"].to_numpy(str), hits)
    return _figure(score, judged) | {"classes": classes}


def _figure(score: Score, images: pd.DataFrame) -> Figure:
    counts = {"images": len(images), "patients": int(images["group"].nunique())}
    return {"value": score.accuracy, "low": score.low, "high": score.high} | counts


def _level(found: Mapping[str, Figure | None]) -> str:
    """Return ``fails``, ``passes``, ``unclear`` or ``unmeasured``. To pass takes all three figures, to fail one."""
    called, ill, auc = found["called_covid"], found["found_covid"], found["auc_outside"]
    if called is None:
        return "unmeasured"
    if called["low"] > MOST_CALLED:
        return "fails"
    if ill is None or auc is None:
        return "unclear"
    if ill["high"] < LEAST_FOUND or auc["high"] < LEAST_AUC:
        return "fails"
    good = called["high"] <= MOST_CALLED and ill["low"] >= LEAST_FOUND and auc["low"] >= LEAST_AUC
    return "passes" if good else "unclear"


def _sentences(level: str, found: Mapping[str, Any]) -> list[str]:
    called, ill, inside, outside = (
        found[name] for name in ("called_covid", "found_covid", "auc_inside", "auc_outside")
    )
    sentences = [f"Of 100 healthy adults, a model trained on this calls {_of_hundred(called, 'adults')}."]
    own = f"COVID is told from NORMAL with an AUC of {interval(inside)} on other patients of the same collections"
    if ill and outside:
        sentences.append(f"Of 100 patients with COVID-19, it calls {_of_hundred(ill, 'patients')}.")
        sentences.append(f"{own}, and of {interval(outside)} on those from elsewhere; guessing gives 0.5.")
    else:
        sentences.append(f"{own}; elsewhere, it takes {FEWEST_GROUPS} patients with COVID-19 to measure that.")
    if (here := found["accuracy_inside"]) and (there := found["accuracy_outside"]):
        sentences.append(
            f"Of the three classes it names {percent(here['value'])} rightly there, and elsewhere "
            f"{percent(there['value'])} ({percent(there['low'])} to {percent(there['high'])}; judged by "
            f"{', '.join(there['classes'])})."
        )
    return [*sentences, *(["That is too little to say whether it works elsewhere."] if level == "unclear" else [])]


def _of_hundred(share: Figure, who: str) -> str:
    return (
        f"{per_hundred(share['value'])} COVID (95 % interval: {per_hundred(share['low'])} to "
        f"{per_hundred(share['high'])}; {share['images']:,} images of {share['patients']:,} {who} from elsewhere)"
    )


def _unmeasured(*, synthetic: bool) -> list[str]:
    """Say that nothing was measured, what it takes, and which setting brings it; to a sample, none does."""
    brings = "The setting judges (CXR_JUDGES) names collections that bring them."
    return [
        "Whether a model trained on this works elsewhere was not measured.",
        f"It takes {FEWEST_GROUPS} patients of each class here, and {FEWEST_GROUPS} healthy adults from a collection "
        "of which nothing is in the snapshot.",
        *([] if synthetic else [brings]),
    ]


def _by_collection(picked: pd.DataFrame, named: pd.DataFrame) -> list[dict[str, Any]]:
    """Count, by collection and class, who judges, who is linked to a published image, and what they were called."""
    rows = []
    for source, name in sorted(set(zip(picked["source"], picked["class"], strict=True))):
        images = picked[picked["source"].eq(source) & picked["class"].eq(name)]
        judging = named[named["source"].eq(source) & named["class"].eq(name)]
        linked = int(images["linked"].sum())
        if len(judging) or (linked and images["outside"].any()):
            called = judging["called"].value_counts()
            rows.append(
                {
                    "collection": source,
                    "class": name,
                    "trained_on": not images["outside"].any(),
                    "images": len(judging),
                    "patients": int(judging["group"].nunique()),
                    "linked": linked,
                    "called": {each: int(called.get(each, 0)) for each in CLASSES},
                }
            )
    return rows
