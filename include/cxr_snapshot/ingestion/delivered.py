"""What the sources delivered, read from the store: inventories, records and paths."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.ingestion.ingest import load_inventory
from cxr_snapshot.sources.base import Revision, Source
from cxr_snapshot.store.objects import Store, blob_name


class Delivered:
    """The files of some revisions, which were ingested.

    Args:
        store: holds them.
        sources: by name.
        revisions: pinned id by source.
    """

    def __init__(self, store: Store, sources: Mapping[str, Source], revisions: Mapping[str, str]) -> None:
        self.store, self.sources, self.revisions = store, sources, revisions

    def inventory(self, source: str) -> pd.DataFrame:
        """Return the files of one source, columns of ``INVENTORY_SCHEMA``.

        Raises:
            MissingObjectError: its revision was not ingested.
        """
        revision = Revision(source, self.revisions[source])
        inventory = load_inventory(self.store, revision)
        if inventory is None:
            raise MissingObjectError(f"{source} {revision.id} was not ingested. Clear the task ingest and run again.")
        return inventory

    def images(self) -> pd.DataFrame:
        """Return the files of all sources, no tables of metadata: ``source`` and columns of ``INVENTORY_SCHEMA``."""
        tables = []
        for name, source in self.sources.items():
            files = self.inventory(name).assign(source=name)
            tables.append(files[files["path"].ne(source.metadata_path or "")])
        return pd.concat(tables, ignore_index=True)

    def records(self) -> pd.DataFrame:
        """Return the records of all sources, as ledger rows to which no rule was applied yet."""
        tables = []
        for name, source in self.sources.items():
            inventory = self.inventory(name)
            blobs = dict(zip(inventory["path"], inventory["sha256"], strict=True))
            records = source.records(inventory, lambda path, blobs=blobs: self.store.get(blob_name(blobs[path])))  # type: ignore[misc]
            tables.append(records.assign(revision=self.revisions[name]))
        return pd.concat(tables, ignore_index=True)
