"""A snapshot of a few invented patients, large enough to train on, and read like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxr_snapshot.publication.draft import build_draft
from cxr_snapshot.publication.protocol import publish
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.tables import CLASSES
from support.ledgers import FACTS, REPORT, ledger, parted, picture, row

ENOUGH = {"train": 6, "validation": 2, "test": 2}  # patients of each class


def publish_patients(
    store: Store,
    version: str = "2026-11-22",
    patients: Mapping[str, int] = ENOUGH,
    first: int = 0,
    **others: Any,
) -> pd.DataFrame:
    """Publish a snapshot with one image of each patient, and return its manifest.

    Args:
        store: receives it.
        version: its name.
        patients: how many of each class each split has.
        first: number of the first patient; the same number is the same patient with the same image.
        others: columns of all rows.
    """
    rows = []
    for split, count in patients.items():
        for kind in CLASSES * count:
            body = picture(first + len(rows), size=(130, 110))
            store.put(blob_name(hashlib.sha256(body).hexdigest()), body)
            rows.append(row(first + len(rows), kind, body, split=split, **others))
    draft = build_draft(
        store, *parted(ledger(*rows)), FACTS, previous=None, folder=f"_work/runs/{version}", report=REPORT
    )
    publish(store, draft, version, f"{version}T03:00:00+00:00", None)
    return draft.manifest
