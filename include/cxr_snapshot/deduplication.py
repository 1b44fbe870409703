"""Finds pictures that are there more than once."""

from __future__ import annotations

import pandas as pd

from cxr_snapshot.filtering import with_reasons
from cxr_snapshot.models import LEDGER_SCHEMA, conform


def drop_duplicates(ledger: pd.DataFrame) -> pd.DataFrame:
    """Exclude all but one of the images with equal decoded pixels; under two classes, all of them.

    Which one stays is decided by content first, so that it does not depend on names or order: the largest file, then
    the lowest SHA-256, then source and path.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, filtered.

    Returns:
        The ledger with the same rows; evidence names the partners.
    """
    kept = ledger[ledger["rule"].isna()]
    twins = kept[kept.duplicated("pixel_sha256", keep=False)]
    ledger = ledger.copy()
    order = {"bytes": False, "sha256": True, "source": True, "path": True}
    for _, group in twins.sort_values(list(order), ascending=list(order.values())).groupby("pixel_sha256"):
        disputed = group["class"].nunique() > 1
        leaving = group if disputed else group.iloc[1:]
        for index in leaving.index:
            partners = group.drop(index) if disputed else group.head(1)
            ledger.loc[index, "rule"] = "duplicate_across_classes" if disputed else "duplicate_image"
            ledger.loc[index, "evidence"] = "same pixels as " + ", ".join(
                f"{partner['source']}:{partner['path']} ({partner['class']})" for _, partner in partners.iterrows()
            )
    return conform(with_reasons(ledger), LEDGER_SCHEMA)
