"""Which snapshots there are: their names, the pointer to the latest one, and the one to compare with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cxr_snapshot.errors import MissingObjectError, StorageError
from cxr_snapshot.publication.checksums import SUCCESS
from cxr_snapshot.store.encoding import parse_json
from cxr_snapshot.store.objects import Store

LATEST = "latest.json"
SEEN = "_work/seen/"


def is_version(name: str) -> bool:
    """Say whether ``name`` is formed like a version, such as ``2026-11-23`` or ``2026-11-23.1``."""
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.[1-9]\d{0,2})?", name) is not None


def version_key(version: str) -> tuple[str, int]:
    """Return what sorts versions by age: ``2026-11-23`` before ``2026-11-23.1`` before ``2026-11-23.10``."""
    date, _, number = version.partition(".")
    return date, int(number or 0)


def read_latest(store: Store) -> tuple[dict[str, Any] | None, str | None]:
    """Return the latest snapshot's ``snapshot.json`` and the ETag of ``latest.json``; ``None`` before the first one.

    Raises:
        StorageError: ``latest.json`` names a snapshot that is not there.
    """
    version, etag = read_pointer(store)
    return _read_snapshot(store, version), etag


def read_base(store: Store, date: str) -> dict[str, Any] | None:
    """Return the ``snapshot.json`` with which a snapshot of the day ``date`` is to be compared; errors as above.

    That is the latest one; for a day before it, the newest one up to that day. ``None`` where there is none.
    """
    return _read_snapshot(store, base_version(store, date))


def base_version(store: Store, date: str) -> str | None:
    """Return the version with which a snapshot of the day ``date`` is to be compared; see :func:`read_base`."""
    latest, _ = read_pointer(store)
    if latest is None or version_key(latest)[0] <= date:
        return latest
    earlier = [name for name in store.folders() if is_version(name) and version_key(name)[0] <= date]
    newest_first = sorted(earlier, key=version_key, reverse=True)
    return next((name for name in newest_first if store.exists(f"{name}/{SUCCESS}")), None)


def _read_snapshot(store: Store, version: str | None) -> dict[str, Any] | None:
    if version is None:
        return None
    snapshot = store.get_json(f"{version}/snapshot.json")
    if snapshot is None:
        raise StorageError(
            f"{store.uri(version)}/snapshot.json is missing, although {LATEST} or {SUCCESS} says that this is a "
            f"snapshot. Restore it; or write the version of a complete one into {store.uri(LATEST)}."
        )
    return snapshot


def read_pointer(store: Store) -> tuple[str | None, str | None]:
    """Return the version that ``latest.json`` names and the file's ETag; ``None`` before the first snapshot.

    Raises:
        StorageError: ``latest.json`` names no version.
    """
    try:
        body, etag = store.get_with_etag(LATEST)
    except MissingObjectError:
        return None, None
    version = parse_json(body, store.uri(LATEST)).get("version")
    if not isinstance(version, str) or not is_version(version):
        raise StorageError(f"{store.uri(LATEST)} names no version. Write the version of a complete snapshot into it.")
    return version, etag


def read_seen(store: Store, version: str) -> dict[str, Any] | None:
    """Return ``revisions`` and ``fingerprint`` that were found to give the same content as a version, if any were."""
    return store.get_json(_seen_name(version))


def remember_seen(store: Store, version: str, revisions: Mapping[str, str], fingerprint: str) -> None:
    """Note that these revisions give the same content as a version, so that no later run builds them again."""
    store.put_json(_seen_name(version), {"revisions": dict(revisions), "fingerprint": fingerprint})


def _seen_name(version: str) -> str:
    return f"{SEEN}{version}.json"
