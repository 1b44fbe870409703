"""Which images may judge a model that was trained on a snapshot: none whose patient or picture it may have met."""

from __future__ import annotations

import pandas as pd

from cxr_snapshot.tables import LEDGER_SCHEMA, conform

MOST_JUDGES = 300  # images of each class of a collection, those with the lowest SHA-256: keeps time bounded

_COPIES = ("duplicate_image", "near_duplicate_image", "duplicate_across_classes")


def pick_judges(ledger: pd.DataFrame, judged: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the images that judge, and those that would if they were not linked to a published one.

    There are two kinds: sound images of the collections that only judge, and images of the snapshot's own collections
    that were not drawn, where no image of their group is published.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        judged: the ledger that has the collections that only judge too, not balanced; ``None`` where there are none.

    Returns:
        Columns of ``LEDGER_SCHEMA``, and ``linked``: whether the same patient or picture, directly or through others,
        is published, so that it does not judge. At most ``MOST_JUDGES`` of each class of a collection are not linked.
        Sorted by SHA-256.
    """
    published = ledger[ledger["rule"].isna()]
    own = ledger[ledger["rule"].eq("not_drawn")]
    found = [own.assign(linked=own["group"].isin(published["group"]))]
    if judged is not None:
        places = pd.MultiIndex.from_frame(published[["source", "path"]])
        groups = judged.loc[pd.MultiIndex.from_frame(judged[["source", "path"]]).isin(places), "group"]
        others = judged[~judged["source"].isin(ledger["source"]) & judged["class"].notna()]
        others = others.assign(linked=others["group"].isin(groups))
        # A copy of a published picture left as such; it is counted too.
        found.append(others[others["rule"].isna() | (others["linked"] & others["rule"].isin(_COPIES))])
    both = pd.concat(found, ignore_index=True).sort_values("sha256", ignore_index=True)
    places_of = both.groupby(["source", "class", "linked"]).cumcount()
    kept = both[both["linked"] | (places_of < MOST_JUDGES)].reset_index(drop=True)
    return conform(kept, LEDGER_SCHEMA).assign(linked=kept["linked"].astype(bool))
