"""Fetches upstream files again that the store lost."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.errors import StorageError
from cxr_snapshot.sources.base import Revision, Source
from cxr_snapshot.store.blobs import list_blobs
from cxr_snapshot.store.objects import Store, blob_name

log = shown.logger(__name__)


def missing_blobs(store: Store, inventory: pd.DataFrame) -> set[str]:
    """Return the SHA-256 of the files of an inventory that, by the store's listing, are not there or have another size.

    Args:
        store: holds the blobs.
        inventory: columns of ``INVENTORY_SCHEMA``.
    """
    sizes = {sha256: item.size for sha256, item in list_blobs(store).items()}
    kept = inventory[inventory["sha256"].notna()]
    return {sha256 for sha256, size in zip(kept["sha256"], kept["bytes"], strict=True) if sizes.get(sha256) != size}


def fetch_again(
    store: Store, source: Source, revision: Revision, inventory: pd.DataFrame, lost: Collection[str], *, remedy: str
) -> None:
    """Fetch files of a revision again and write their blobs anew.

    Args:
        store: lost them.
        source: has them.
        revision: of the source.
        inventory: the revision's files, columns of ``INVENTORY_SCHEMA``.
        lost: SHA-256 of those to fetch; those of other sources are left alone.
        remedy: ends the text of the error that the source has other bytes now.

    Raises:
        SourceError: the upstream failed.
        StorageError: the store failed, or the source no longer has these bytes.
    """
    rows = inventory[inventory["sha256"].isin(list(lost))]
    if rows.empty:
        return
    left = set(rows["sha256"])
    log.warning(
        "%s: %d stored files are missing or damaged, such as %s; fetching them again",
        revision.source,
        len(left),
        rows["path"].iloc[0],
    )
    store.damaged += [blob_name(sha256) for sha256 in sorted(left)]
    known = set(inventory["upstream_hash"]) - set(rows["upstream_hash"])
    for file in source.files(revision, known).files:
        if file.body is None:
            continue
        sha256 = hashlib.sha256(file.body).hexdigest()
        if sha256 in left:
            store.put(blob_name(sha256), file.body, sha256=sha256)
            left.discard(sha256)
    if left:
        path = rows.loc[rows["sha256"].isin(list(left)), "path"].iloc[0]
        raise StorageError(
            f"{len(left)} stored files of {revision.source} {revision.id} are lost, such as {path}, and the upstream "
            f"has other bytes under their names now. {remedy}"
        )
