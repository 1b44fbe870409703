"""Brings every file of a revision into object storage, once, and writes the revision's inventory."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection
from typing import Any

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.errors import SourceError
from cxr_snapshot.ingestion.mending import fetch_again, missing_blobs
from cxr_snapshot.progress import Progress
from cxr_snapshot.sources.base import Revision, Source, UpstreamFile
from cxr_snapshot.store.blobs import list_blobs
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table
from cxr_snapshot.store.withdrawals import erased_files, load_withdrawals
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform, empty_frame

log = shown.logger(__name__)


def inventory_name(revision: Revision) -> str:
    """Return where the inventory of a revision is kept."""
    return f"_work/sources/{revision.source}/{revision.id}.parquet"


def load_inventory(store: Store, revision: Revision) -> pd.DataFrame | None:
    """Return the inventory of a revision, columns of ``INVENTORY_SCHEMA``; ``None`` if there is no sound one."""
    return find_sealed_table(store, inventory_name(revision))


def new_bytes_remedy(store: Store, revision: Revision) -> str:
    """Return what to do when an upstream has other bytes than those that were ingested."""
    return f"Delete {store.uri(inventory_name(revision))} and run again: then it is taken as it is now."


def ingest(store: Store, source: Source, revision: Revision) -> dict[str, Any]:
    """Fetch what is unknown of a revision, keep each file as a blob named by its SHA-256, and write the inventory.

    Files whose upstream hash was seen in an earlier revision are neither fetched nor stored again, unless the store's
    listing says that it lost them. The inventory is written after the blobs: a killed call leaves blobs, and the next
    one finds them. Where the upstream fails, what came is noted, so that the next call need not fetch it again. Files
    that were erased are in the inventory, and not stored again.

    Returns:
        Small facts for the XCom: ``source``, ``revision``, address of the ``inventory``, number of ``files`` and their
        ``bytes``, how many were ``fetched`` from the upstream and how many were new and ``uploaded``.

    Raises:
        SourceError: the upstream failed.
        StorageError: the store failed.
    """
    erased = erased_files(load_withdrawals(store))
    inventory, fetched, uploaded = load_inventory(store, revision), 0, 0
    if inventory is None:
        known = _load_known(store, source.name)
        inventory, fetched, uploaded = _ingest(store, source, revision, known, erased)
        _save_known(store, source.name, known, inventory)
    # Also where it is there: those who prune see by its age that a run counts on its files. So these are looked for
    # only afterwards.
    put_sealed_table(store, inventory_name(revision), inventory, INVENTORY_SCHEMA)
    lost = missing_blobs(store, inventory) - erased
    fetch_again(store, source, revision, inventory, lost, remedy=new_bytes_remedy(store, revision))
    where = store.uri(inventory_name(revision))
    found = f"{len(inventory):,} files, {fetched:,} of them fetched now, {uploaded:,} of these new"
    log.info("%s: %s; inventory %s", source.name, found, where)
    return {
        "source": source.name,
        "revision": revision.id,
        "inventory": where,
        "files": len(inventory),
        "bytes": int(inventory["bytes"].sum()),
        "fetched": fetched,
        "uploaded": uploaded,
    }


def _ingest(
    store: Store, source: Source, revision: Revision, known: pd.DataFrame, erased: Collection[str]
) -> tuple[pd.DataFrame, int, int]:
    """Return the inventory, how many files were fetched, and how many blobs were new to the store."""
    sha256_of = dict(zip(known["upstream_hash"], known["sha256"], strict=True))
    listing = source.files(revision, sha256_of)
    uploader = _Uploader(store, erased)
    rows: list[dict[str, object]] = []
    fetched = 0
    progress = Progress(f"{source.name}: files ingested", listing.total)
    try:
        for file, sha256 in bounded_map(uploader.upload, listing.files, held=_held):
            fetched += file.body is not None
            rows.append(
                {
                    "path": file.path,
                    "bytes": file.size,
                    "upstream_hash": file.upstream_hash,
                    "sha256": sha256 or (None if file.ignored else sha256_of[file.upstream_hash]),
                    "ignored": file.ignored,
                }
            )
            progress.advance()
    except SourceError:  # so that the next try need not fetch again what came
        _save_known(store, source.name, known, _inventory(rows))
        raise
    return _inventory(rows), fetched, uploader.new


def _inventory(rows: list[dict[str, object]]) -> pd.DataFrame:
    frame = conform(pd.DataFrame(rows, columns=INVENTORY_SCHEMA.names), INVENTORY_SCHEMA)
    return frame.sort_values("path", ignore_index=True)


def _held(file: UpstreamFile, _: object) -> int:
    return len(file.body or b"")


class _Uploader:
    """Stores bodies that the store does not have; asks for a listing only once there is a body to store."""

    def __init__(self, store: Store, erased: Collection[str]) -> None:
        self.store, self.erased = store, erased
        self.present: dict[str, int] | None = None  # sizes by SHA-256
        self.new = 0
        self.lock = threading.Lock()

    def upload(self, file: UpstreamFile) -> str | None:
        """Store the file's body if it is new and was not erased; return its SHA-256, ``None`` for one without body."""
        if file.body is None:
            return None
        sha256 = hashlib.sha256(file.body).hexdigest()
        if sha256 not in self.erased and self._is_new(sha256, file.size):
            self.store.put(blob_name(sha256), file.body, sha256=sha256)
        return sha256

    def _is_new(self, sha256: str, size: int) -> bool:
        with self.lock:  # several threads upload; equal bodies must be stored once
            if self.present is None:
                self.present = {name: item.size for name, item in list_blobs(self.store).items()}
            is_new = self.present.get(sha256) != size
            self.present[sha256] = size
            self.new += is_new
            return is_new


def _known_name(source: str) -> str:
    return f"_work/sources/{source}/known.parquet"


def _load_known(store: Store, source: str) -> pd.DataFrame:
    """Return every file of this source that was ever stored, columns of ``INVENTORY_SCHEMA``, by upstream hash."""
    known = find_sealed_table(store, _known_name(source))
    return empty_frame(INVENTORY_SCHEMA) if known is None else known


def _save_known(store: Store, source: str, known: pd.DataFrame, inventory: pd.DataFrame) -> None:
    stored = pd.concat([known, inventory[inventory["sha256"].notna()]])
    put_sealed_table(store, _known_name(source), stored.drop_duplicates("upstream_hash"), INVENTORY_SCHEMA)
