"""Compares two published snapshots, whichever they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxr_snapshot.catalog.reading import diff, resolve
from cxr_snapshot.publication.versions import version_key, versions
from cxr_snapshot.store.objects import Store
from snapshot_pages_app.reading import load_facts


@dataclass(frozen=True)
class Comparison:
    """What differs from one snapshot to a later one.

    Attributes:
        choices: versions to choose from, the newest first.
        old: ``snapshot.json`` of the older one; ``None`` while there are no two snapshots to compare.
        new: that of the later one; ``None`` likewise.
        found: result of ``catalog.diff``: lists of changed images by kind.
        revisions: of each source that either has: in the old one, in the new one.
        rules: records left out by each rule: in the old one, in the new one.
        settings: settings that differ: in the old one, in the new one.
    """

    choices: list[str]
    old: dict[str, Any] | None = None
    new: dict[str, Any] | None = None
    found: dict[str, Any] | None = None
    revisions: dict[str, tuple[str | None, str | None]] | None = None
    rules: dict[str, tuple[int, int]] | None = None
    settings: dict[str, tuple[Any, Any]] | None = None


def compare_snapshots(store: Store, one: str, other: str) -> Comparison:
    """Compare two snapshots, the older with the later, in whatever order they are named.

    Args:
        store: where they are.
        one: a version; empty for one of the newest two.
        other: a version; empty likewise.

    Raises:
        MissingObjectError: there is no such snapshot, or it is not complete.
    """
    choices = versions(store)[::-1]
    wanted = [resolve(store, version) for version in (one, other) if version]
    wanted += [version for version in choices if version not in wanted][: 2 - len(wanted)]
    if len(set(wanted)) < 2:
        return Comparison(choices)
    earlier, later = sorted(wanted, key=version_key)
    old, new = load_facts(store, earlier), load_facts(store, later)
    return Comparison(
        choices,
        old,
        new,
        diff(store, earlier, later),
        _pairs(old["revisions"], new["revisions"]),
        _pairs(old["excluded"], new["excluded"], missing=0),
        {name: pair for name, pair in _pairs(old["settings"], new["settings"]).items() if pair[0] != pair[1]},
    )


def _pairs(old: dict[str, Any], new: dict[str, Any], missing: Any = None) -> dict[str, tuple[Any, Any]]:
    """Return the values of both for every name that either has."""
    return {name: (old.get(name, missing), new.get(name, missing)) for name in {**old, **new}}
