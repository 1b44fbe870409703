"""What the sources delivered, read from the store: inventories, records and paths."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.ingestion.ingest import load_inventory, new_bytes_remedy
from cxr_snapshot.ingestion.mending import fetch_again
from cxr_snapshot.sources.base import Revision, Source
from cxr_snapshot.store.blobs import find_lost, get_blob
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.withdrawals import WITHDRAWN


class Delivered:
    """The files of some revisions, which were ingested.

    Args:
        store: holds them.
        sources: by name.
        revisions: pinned id by source.
        erased: SHA-256 of files that were withdrawn with all their bytes. Nobody may ask for these.
    """

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        revisions: Mapping[str, str],
        erased: Collection[str] = frozenset(),
    ) -> None:
        self.store, self.sources, self.revisions, self.erased = store, sources, revisions, erased

    def searched(self) -> tuple[str, ...]:
        """Return the names of the sources in which cropped copies are looked for."""
        return tuple(name for name, source in self.sources.items() if source.search_crops)

    def republished(self) -> dict[str, tuple[str, ...]]:
        """Return, by source, the other sources whose files it has too; none that this run does not use."""
        return {
            name: tuple(origin for origin in source.republishes if origin in self.sources)
            for name, source in self.sources.items()
        }

    def inventory(self, source: str) -> pd.DataFrame:
        """Return the files of one source, columns of ``INVENTORY_SCHEMA``; those that were erased are ``ignored``.

        Raises:
            MissingObjectError: its revision was not ingested, or what was written then is damaged.
        """
        revision = Revision(source, self.revisions[source])
        inventory = load_inventory(self.store, revision)
        if inventory is None:
            raise MissingObjectError(
                f"{source} {revision.id} has no sound inventory. Clear the task ingest and run again."
            )
        erased = inventory["sha256"].isin(list(self.erased))
        return inventory.assign(ignored=inventory["ignored"].mask(erased, WITHDRAWN))

    def images(self) -> pd.DataFrame:
        """Return the files of all sources, no tables of metadata: ``source`` and columns of ``INVENTORY_SCHEMA``.

        Those that were erased have no ``sha256``, since there is no blob.
        """
        tables = []
        for name, source in self.sources.items():
            files = self.inventory(name).assign(source=name)
            files["sha256"] = files["sha256"].mask(files["ignored"].eq(WITHDRAWN).fillna(value=False))
            tables.append(files[files["path"].ne(source.metadata_path or "")])
        return pd.concat(tables, ignore_index=True)

    def records(self) -> pd.DataFrame:
        """Return the records of all sources, as ledger rows to which no rule was applied yet.

        Raises:
            LostBlobError: a table of metadata is missing or damaged.
        """
        tables = []
        for name, source in self.sources.items():
            inventory = self.inventory(name)
            blobs = dict(zip(inventory["path"], inventory["sha256"], strict=True))
            records = source.records(inventory, lambda path, blobs=blobs: get_blob(self.store, blobs[path]))  # type: ignore[misc]
            tables.append(records.assign(revision=self.revisions[name]))
        return pd.concat(tables, ignore_index=True)

    def mend(self) -> None:
        """Read every file in the store, and fetch those again that are missing or damaged.

        Raises:
            SourceError: an upstream failed.
            StorageError: the store failed, or an upstream no longer has these bytes.
        """
        for name, source in self.sources.items():
            revision, inventory = Revision(name, self.revisions[name]), self.inventory(name)
            kept = inventory.loc[inventory["ignored"].isna(), "sha256"]
            lost = find_lost(self.store, kept.dropna().unique())
            remedy = new_bytes_remedy(self.store, revision)
            fetch_again(self.store, source, revision, inventory, lost, remedy=remedy)
