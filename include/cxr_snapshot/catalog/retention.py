"""Deletes what is no longer wanted: old snapshots, and what lies under ``_work`` and serves none that is kept.

First a plan, which only reads and can be shown; then its execution. Both are of one edition. What is kept always: its
snapshot that ``latest.json`` names, every snapshot of other editions, every blob that a kept snapshot or a kept
inventory refers to, the claims (so that the name of a deleted snapshot is never given to other content), and under
``_work`` whatever is younger than ``GRACE``, because a run may be at work on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cxr_snapshot import shown
from cxr_snapshot.errors import PublishConflictError, SettingsError, StorageError
from cxr_snapshot.ingestion.ingest import inventory_name
from cxr_snapshot.inspection.forms import FILE_SIDE, Form
from cxr_snapshot.inspection.uniform import KEPT
from cxr_snapshot.plan import RUNS
from cxr_snapshot.publication.checksums import SUCCESS, read_table
from cxr_snapshot.publication.index import keep_index
from cxr_snapshot.publication.versions import is_version, read_pointer, read_seen, read_snapshot, versions
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.sources.base import Revision
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import get_sealed_table

log = shown.logger(__name__)

GRACE = timedelta(days=7)

_KNOWN = "known.parquet"
_WORK = "_work/"
_SOURCES = "_work/sources/"
_FILES = f"{KEPT}{Form(FILE_SIDE, uniform=True).recipe}/"
_NOTES = ("_work/seen/", "_work/archives/")

_Kept = tuple[Store, str]  # an edition's place, and the name of a snapshot there


@dataclass(frozen=True)
class PrunePlan:
    """What is to be deleted.

    Attributes:
        edition: of which edition.
        kept: versions that stay, oldest first.
        doomed: versions that go.
        objects: size in bytes by name of each object to delete, by what it is: ``snapshots``, ``unfinished`` snapshots,
            ``runs``, ``inventories``, ``blobs``, ``pictures`` made from blobs that go, or
            by earlier releases; ``notes`` about deleted snapshots.
        inventories: names of those that stay.
        now: the time for which the plan was made.
    """

    edition: str
    kept: tuple[str, ...]
    doomed: tuple[str, ...]
    objects: Mapping[str, Mapping[str, int]]
    inventories: frozenset[str]
    now: datetime

    def summary(self) -> dict[str, Any]:
        """Return the plan as plain data: versions, and number and bytes of objects by kind."""
        sizes = {kind: {"objects": len(found), "bytes": sum(found.values())} for kind, found in self.objects.items()}
        return {"edition": self.edition, "kept": list(self.kept), "deleted": list(self.doomed), **sizes}


def plan_prune(store: Store, keep: int, now: datetime) -> PrunePlan:
    """Find what can go when the newest ``keep`` snapshots of an edition stay, and all of the others. Writes nothing.

    Args:
        store: where; as the edition sees it.
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
    old = _old(work, now)
    others = [(place, versions(place)) for place in _other_editions(store)]
    places = [(place, version) for place, names in [(store, kept), *others] for version in names]
    inventories = _kept_inventories(places, work, old)
    blobs = _kept_blobs(store, places, inventories)
    own = {name: item for folder in _NOTES for name, item in store.list(folder).items()}
    objects = {
        "snapshots": _sizes({name: item for version in doomed for name, item in store.list(f"{version}/").items()}),
        "unfinished": _sizes(_unfinished(store, set(complete), now)),
        "runs": _sizes(_old_runs(work, now)),
        "inventories": _sizes({name: old[name] for name in old if _is_inventory(name) and name not in inventories}),
        "blobs": _sizes(_without(old, "_work/blobs/sha256/", blobs)),
        "pictures": _sizes(_without(old, KEPT, blobs) | _unread(old)),
        "notes": _sizes({name: own[name] for name in own if _is_note(name, doomed)}),
    }
    return PrunePlan(store.edition_name, kept, doomed, objects, frozenset(inventories), now)


def prune(store: Store, plan: PrunePlan) -> None:
    """Delete what ``plan`` says, of its edition, but for what a run has begun to count on meanwhile.

    A killed call leaves nothing that looks whole and is not; the next one ends the work. A run may be at work: what it
    counts on is young, because ``ingest`` writes the inventory anew. And a blob that goes in the very moment in which a
    run begins to count on it, that run fetches again.

    Raises:
        PublishConflictError: ``latest.json`` was moved meanwhile to a snapshot that was to go.
        StorageError: the store refused or did not answer.
    """
    store = store.edition(plan.edition)  # the names in the plan are those of this place
    latest, _ = read_pointer(store)
    if latest in plan.doomed:
        raise PublishConflictError(f"latest.json names {latest} now, which was to be deleted. Look at a new plan.")
    store.delete(f"{version}/{SUCCESS}" for version in plan.doomed)  # from here on, readers do not take them for whole
    keep_index(store)
    for kind in ("snapshots", "unfinished", "notes"):
        store.delete(plan.objects[kind])
    store.delete(plan.objects["runs"].keys() & _old_runs(store.list(RUNS), plan.now).keys())
    inventories = {name: item for name, item in store.list(_SOURCES).items() if _is_inventory(name)}
    store.delete(name for name in plan.objects["inventories"] if name in _old(inventories, plan.now))
    # Listed again, now that others rely on them or never will.
    later = {name for name in store.list(_SOURCES) if _is_inventory(name) and name not in plan.inventories}
    wanted = _blobs_of(store, later)
    for kind in ("pictures", "blobs"):
        store.delete(name for name in plan.objects[kind] if _blob_in(name) not in wanted)


def clear_old_runs(store: Store, own: str) -> None:
    """Delete the tables of runs in whose folder nothing was written for ``GRACE``, so that they do not pile up.

    Args:
        store: where they are.
        own: folder of the run that asks, in which something was just written: by that the store's own clock is read.
    """
    runs = store.list(RUNS)
    now = max(item.modified for name, item in runs.items() if name.startswith(f"{own}/"))
    old = _old_runs(runs, now)
    if not old:
        return
    try:
        store.delete(old)
    except StorageError as error:  # they are in nobody's way; the next run tries again
        log.warning("The tables of old runs stay: %s", error)
        return
    log.info("Deleted %d objects of runs that ended more than %d days ago", len(old), GRACE.days)


def _other_editions(store: Store) -> list[Store]:
    """Return the store as each of the other editions sees it."""
    return [store.edition(name) for name in store.editions() if name != store.edition_name]


def _kept_inventories(
    kept: Collection[_Kept], work: Mapping[str, StoredObject], old: Mapping[str, StoredObject]
) -> set[str]:
    """Return the inventories that stay: those of kept snapshots, the newest of each source, and young ones."""
    names = [name for name in work if _is_inventory(name)]
    newest = {name.rsplit("/", 1)[0]: name for name in sorted(names, key=lambda name: work[name].modified)}
    facts = [read_snapshot(place, version) for place, version in kept]
    seen = [read_seen(place, version) or {"revisions": {}} for place, version in kept]
    used = {
        inventory_name(Revision(source, revision))
        for item in [*facts, *seen]
        for source, revision in item["revisions"].items()
    }
    return {name for name in names if name in used or name in newest.values() or name not in old}


def _kept_blobs(store: Store, kept: Collection[_Kept], inventories: set[str]) -> set[str]:
    """Return the SHA-256 of every blob that a kept snapshot or inventory refers to."""
    tables = bounded_map(lambda each: read_table(*each, "manifest.parquet"), kept, threads=4)
    return _blobs_of(store, inventories).union(*(set(upstream_files(table).dropna()) for _, table in tables))


def _blobs_of(store: Store, inventories: Collection[str]) -> set[str]:
    """Return the SHA-256 of every blob that an inventory refers to.

    Raises:
        DamagedObjectError: an inventory is not what was written.
    """
    remedy = "Nothing was deleted for it. Delete it; a run that needs it makes it again. Then prune again."
    tables = bounded_map(lambda name: get_sealed_table(store, name, remedy, ["sha256"]), inventories, threads=4)
    return {sha256 for _, table in tables for sha256 in table["sha256"].dropna()}


def _old(objects: Mapping[str, StoredObject], now: datetime) -> dict[str, StoredObject]:
    return {name: item for name, item in objects.items() if now - item.modified > GRACE}


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
        if name.startswith(RUNS):
            runs.setdefault(name.split("/")[2], {})[name] = item
    return {
        name: item
        for objects in runs.values()
        if all(now - item.modified > GRACE for item in objects.values())
        for name, item in objects.items()
    }


def _is_inventory(name: str) -> bool:
    return name.startswith(_SOURCES) and not name.endswith(f"/{_KNOWN}")


def _is_note(name: str, doomed: tuple[str, ...]) -> bool:
    return name.startswith(_NOTES) and name.split("/")[2].removesuffix(".json") in doomed


def _without(objects: Mapping[str, StoredObject], folder: str, blobs: set[str]) -> dict[str, StoredObject]:
    """Return the objects in ``folder`` that are named by a blob other than ``blobs``."""
    found = {name: item for name, item in objects.items() if name.startswith(folder)}
    return {name: item for name, item in found.items() if _blob_in(name) not in blobs}


def _unread(objects: Mapping[str, StoredObject]) -> dict[str, StoredObject]:
    """Return what nobody reads any more: pictures that earlier releases kept one by one."""
    return {name: item for name, item in objects.items() if name.startswith(KEPT) and not name.startswith(_FILES)}


def _blob_in(name: str) -> str:
    """Return the SHA-256 in the name of a blob or a picture."""
    return name.rsplit("/", 1)[1].split(".", 1)[0]


def _sizes(objects: Mapping[str, StoredObject]) -> dict[str, int]:
    return {name: item.size for name, item in objects.items()}
