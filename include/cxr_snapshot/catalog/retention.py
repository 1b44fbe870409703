"""Deletes what is no longer wanted: old snapshots, and what lies under ``_work`` and serves none that is kept.

First a plan, which only reads and can be shown; then its execution. What is kept always: the snapshot that
``latest.json`` names, every blob that a kept snapshot or a kept inventory refers to, the claims (so that the name of a
deleted snapshot is never given to other content), and under ``_work`` whatever is younger than ``GRACE``, because a run
may be at work on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cxr_snapshot.catalog.reading import versions
from cxr_snapshot.errors import PublishConflictError, SettingsError
from cxr_snapshot.ingestion.ingest import inventory_name
from cxr_snapshot.publication.checksums import SUCCESS
from cxr_snapshot.publication.versions import is_version, read_pointer
from cxr_snapshot.sources.base import Revision
from cxr_snapshot.store.encoding import parquet_bytes, parse_json
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.tables import INVENTORY_SCHEMA

GRACE = timedelta(days=7)

_KNOWN = "known.parquet"
_WORK = "_work/"


@dataclass(frozen=True)
class PrunePlan:
    """What is to be deleted.

    Attributes:
        kept: versions that stay, oldest first.
        doomed: versions that go.
        objects: size in bytes by name of each object to delete, by what it is: ``snapshots``, ``unfinished`` snapshots,
            ``runs``, ``inventories``, ``blobs``, ``pictures`` made from blobs, ``notes`` about deleted snapshots.
    """

    kept: tuple[str, ...]
    doomed: tuple[str, ...]
    objects: Mapping[str, Mapping[str, int]]

    def summary(self) -> dict[str, Any]:
        """Return the plan as plain data: versions, and number and bytes of objects by kind."""
        sizes = {kind: {"objects": len(found), "bytes": sum(found.values())} for kind, found in self.objects.items()}
        return {"kept": list(self.kept), "deleted": list(self.doomed), **sizes}


def plan_prune(store: Store, keep: int, now: datetime) -> PrunePlan:
    """Find what can go when the newest ``keep`` snapshots stay. Writes nothing.

    Args:
        store: where.
        keep: number of snapshots, at least 1.
        now: the time, with time zone.

    Raises:
        SettingsError: ``keep`` is below 1.
    """
    if keep < 1:
        raise SettingsError(f"cannot keep {keep} snapshots; keep at least 1")
    complete = versions(store)
    latest, _ = read_pointer(store)
    kept = tuple(name for name in complete if name in complete[-keep:] or name == latest)
    doomed = tuple(name for name in complete if name not in kept)
    work = store.list(_WORK)
    old = {name: item for name, item in work.items() if now - item.modified > GRACE}
    inventories = _kept_inventories(store, kept, work, old)
    blobs = _kept_blobs(store, kept, inventories)
    objects = {
        "snapshots": _sizes({name: item for version in doomed for name, item in store.list(f"{version}/").items()}),
        "unfinished": _sizes(_unfinished(store, set(complete), now)),
        "runs": _sizes(_old_runs(work, now)),
        "inventories": _sizes({name: old[name] for name in old if _is_inventory(name) and name not in inventories}),
        "blobs": _sizes(_without(old, "_work/blobs/sha256/", blobs)),
        "pictures": _sizes(_without(old, "_work/normalised/", blobs)),
        "notes": _sizes({name: work[name] for name in work if _is_note(name, doomed)}),
    }
    return PrunePlan(kept, doomed, objects)


def prune(store: Store, plan: PrunePlan) -> None:
    """Delete what ``plan`` says. A killed call leaves nothing that looks whole and is not; the next one ends the work.

    Raises:
        PublishConflictError: ``latest.json`` was moved meanwhile to a snapshot that was to go.
        StorageError: the store refused or did not answer.
    """
    latest, _ = read_pointer(store)
    if latest in plan.doomed:
        raise PublishConflictError(f"latest.json names {latest} now, which was to be deleted. Look at a new plan.")
    store.delete(f"{version}/{SUCCESS}" for version in plan.doomed)  # from here on, readers do not take them for whole
    for kind in ("snapshots", "unfinished", "notes", "runs", "inventories"):
        store.delete(plan.objects[kind])
    # Sources must forget a blob before it goes, so that they fetch it again when it comes back.
    _forget(store, {name.rsplit("/", 1)[1] for name in plan.objects["blobs"]})
    for kind in ("pictures", "blobs"):
        store.delete(plan.objects[kind])


def _kept_inventories(
    store: Store, kept: tuple[str, ...], work: Mapping[str, StoredObject], old: Mapping[str, StoredObject]
) -> set[str]:
    """Return the inventories that stay: those of kept snapshots, the newest of each source, and young ones."""
    names = [name for name in work if _is_inventory(name)]
    newest = {name.rsplit("/", 1)[0]: name for name in sorted(names, key=lambda name: work[name].modified)}
    facts = [parse_json(store.get(f"{name}/snapshot.json"), store.uri(name)) for name in kept]
    seen = [store.get_json(f"_work/seen/{name}.json") or {"revisions": {}} for name in kept]
    used = {
        inventory_name(Revision(source, revision))
        for item in [*facts, *seen]
        for source, revision in item["revisions"].items()
    }
    return {name for name in names if name in used or name in newest.values() or name not in old}


def _kept_blobs(store: Store, kept: tuple[str, ...], inventories: set[str]) -> set[str]:
    """Return the SHA-256 of every blob that a kept snapshot or inventory refers to."""
    tables = [f"{version}/manifest.parquet" for version in kept] + sorted(inventories)
    return {
        sha256 for _, table in bounded_map(store.get_table, tables, threads=4) for sha256 in table["sha256"].dropna()
    }


def _unfinished(store: Store, complete: set[str], now: datetime) -> dict[str, StoredObject]:
    """Return the objects of snapshots that were begun and never ended."""
    found: dict[str, StoredObject] = {}
    for version in store.folders():
        if is_version(version) and version not in complete:
            objects = store.list(f"{version}/")
            if all(now - item.modified > GRACE for item in objects.values()):
                found |= objects
    return found


def _old_runs(work: Mapping[str, StoredObject], now: datetime) -> dict[str, StoredObject]:
    """Return the objects of runs in whose folder nothing was written lately."""
    runs: dict[str, dict[str, StoredObject]] = {}
    for name, item in work.items():
        if name.startswith("_work/runs/"):
            runs.setdefault(name.split("/")[2], {})[name] = item
    return {
        name: item
        for objects in runs.values()
        if all(now - item.modified > GRACE for item in objects.values())
        for name, item in objects.items()
    }


def _is_inventory(name: str) -> bool:
    return name.startswith("_work/sources/") and not name.endswith(f"/{_KNOWN}")


def _is_note(name: str, doomed: tuple[str, ...]) -> bool:
    return name.startswith(("_work/seen/", "_work/archives/")) and name.split("/")[2].removesuffix(".json") in doomed


def _without(objects: Mapping[str, StoredObject], folder: str, blobs: set[str]) -> dict[str, StoredObject]:
    """Return the objects in ``folder`` that are named by a blob other than ``blobs``."""
    found = {name: item for name, item in objects.items() if name.startswith(folder)}
    return {name: item for name, item in found.items() if name.rsplit("/", 1)[1].split(".")[0] not in blobs}


def _sizes(objects: Mapping[str, StoredObject]) -> dict[str, int]:
    return {name: item.size for name, item in objects.items()}


def _forget(store: Store, blobs: set[str]) -> None:
    for name in store.list("_work/sources/"):
        if name.endswith(f"/{_KNOWN}"):
            known, etag = store.get_table_with_etag(name)
            left = known[~known["sha256"].isin(blobs)]
            if len(left) < len(known):
                store.put(name, parquet_bytes(left, INVENTORY_SCHEMA), only_if_etag=etag)
