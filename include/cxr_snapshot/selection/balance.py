"""Cuts every class to the size of the smallest, at random but reproducibly."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxr_snapshot.selection.rules import with_reasons
from cxr_snapshot.store.withdrawals import WITHDRAWN
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA, conform


def class_counts(ledger: pd.DataFrame) -> dict[str, int]:
    """Count the records that are still in, for every class."""
    counts = ledger.loc[ledger["rule"].isna(), "class"].value_counts()
    return {name: int(counts.get(name, 0)) for name in CLASSES}


def candidate_counts(ledger: pd.DataFrame) -> dict[str, int]:
    """Count the images of each class before balancing, from a ledger after it."""
    return class_counts(ledger.assign(rule=ledger["rule"].mask(ledger["rule"].eq("not_drawn"))))


def withdrawn_counts(ledger: pd.DataFrame) -> dict[str, int]:
    """Count the images of each class that were withdrawn, where there are any."""
    rows = ledger[ledger["rule"].eq(WITHDRAWN) & ledger["in_upstream"].eq(other=True)]
    counts = rows["class"].value_counts()
    return {name: int(counts[name]) for name in CLASSES if name in counts}


def balance(
    ledger: pd.DataFrame,
    salt: str,
    max_per_class: int | None = None,
    *,
    subtypes: str = "any",
    prefer_upstream: bool = False,
) -> pd.DataFrame:
    """Keep in each class the images with the lowest rank, as many as the smallest class has.

    The rank is the SHA-256 of salt and content: as good as random, the same everywhere, and it never changes. Hence the
    draw is stable. If ``a`` images are new in a class, ``s`` of those drawn before are still there, and ``t`` are drawn
    now, then at most ``a - (t - s)`` of the ``s`` have to go, and none where that is negative. So images that upstream
    adds replace at most as many as they are. With balanced subtypes the former holds within each subtype.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, filtered and without duplicates.
        salt: a new one draws a new sample.
        max_per_class: upper limit for every class, or ``None``.
        subtypes: ``any`` to draw without regard to the subtype; ``balanced`` to draw from the subtypes of a class by
            turns, so that they are equally many until one is used up.
        prefer_upstream: draw images of the sources that have COVID images before those of others.

    Returns:
        The ledger with the same rows; those not drawn are excluded as ``not_drawn``.
    """
    counts = class_counts(ledger)
    size = min(counts.values()) if max_per_class is None else min(*counts.values(), max_per_class)
    ledger = ledger.copy()
    kept = ledger["rule"].isna()
    order = ledger.loc[kept, ["source", "class", "subtype"]].iloc[_ranked(ledger.loc[kept, "sha256"], salt)]
    if subtypes == "balanced":
        turns = order.groupby(["class", "subtype"], dropna=False).cumcount()
        order = order.assign(turn=turns).sort_values("turn", kind="stable")
    if prefer_upstream:
        preferred = set(order.loc[order["class"].eq("COVID"), "source"])
        order = order.sort_values("source", key=lambda source: ~source.isin(preferred), kind="stable")
    for name, group in order.groupby("class"):
        left_out = group.index[size:]
        ledger.loc[left_out, "rule"] = "not_drawn"
        ledger.loc[left_out, "evidence"] = f"{size} of {counts[str(name)]} {name} images were drawn"
    return conform(with_reasons(ledger), LEDGER_SCHEMA)


def _ranked(sha256s: pd.Series, salt: str) -> npt.NDArray[np.intp]:
    """Return the places of the blobs in the order of their ranks."""
    ranks = (hashlib.sha256(f"{salt}\0{sha256}".encode()).hexdigest() for sha256 in sha256s)
    return np.fromiter(ranks, dtype="S64", count=len(sha256s)).argsort(kind="stable")
