"""Copies the latest snapshot to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.processes import StackError

if TYPE_CHECKING:
    from cxr_snapshot.store.objects import Store


def download(store: Store, snapshots: Path, to: Path | None = None) -> tuple[Path, int]:
    """Copy the latest snapshot and check every file; go on with an earlier call.

    Args:
        store: where the snapshots are, as their edition sees it.
        snapshots: folder that gets ``<its key>``: prefix and edition, as two of them may have versions of one name.
        to: the folder that becomes the snapshot, in place of one under ``snapshots``.

    Returns:
        The folder, and how many files were fetched.

    Raises:
        StackError: there is no snapshot.
        SnapshotError: as :func:`cxr_snapshot.catalog.download.download`.
    """
    from cxr_snapshot.catalog.download import download as fetch
    from cxr_snapshot.publication.versions import LATEST, read_pointer

    version, _ = read_pointer(store)
    if version is None:
        raise StackError(
            f"There is no snapshot yet: {store.uri(LATEST)} does not exist. Run `make run` first. With UPSTREAM=live, "
            "name it for `make download` too."
        )
    target = to or snapshots / store.key(version)
    return target, fetch(store, version, target).fetched
