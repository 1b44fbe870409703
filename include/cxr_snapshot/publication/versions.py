"""Which snapshots there are: their names, the pointer to the latest one, and the one to compare with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cxr_snapshot import shown
from cxr_snapshot.audit import REPORT
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError, PublishConflictError
from cxr_snapshot.publication.checksums import SUCCESS, read_file, read_sums
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import find_sealed, put_sealed

log = shown.logger(__name__)

LATEST = "latest.json"
SEEN = "_work/seen/"

_ANY_DAY = "9999-12-31"
_MOVES = 20  # tries to move latest.json; each lost one means that somebody else moved it


def is_version(name: str) -> bool:
    """Say whether ``name`` is formed like a version, such as ``2026-11-23`` or ``2026-11-23.1``."""
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.[1-9]\d{0,2})?", name) is not None


def version_key(version: str) -> tuple[str, int]:
    """Return what sorts versions by age: ``2026-11-23`` before ``2026-11-23.1`` before ``2026-11-23.10``."""
    date, _, number = version.partition(".")
    return date, int(number or 0)


def is_complete(store: Store, version: str) -> bool:
    """Say whether a version is a snapshot, and not one that was begun or taken back."""
    return store.exists(f"{version}/{SUCCESS}")


def newest_version(store: Store, date: str) -> str | None:
    """Return the newest complete snapshot up to the day ``date``, ``YYYY-MM-DD``, whatever ``latest.json`` names."""
    names = [name for name in store.folders() if is_version(name) and version_key(name)[0] <= date]
    newest_first = sorted(names, key=version_key, reverse=True)
    return next((name for name in newest_first if is_complete(store, name)), None)


def read_latest(store: Store) -> tuple[dict[str, Any] | None, str | None]:
    """Return the ``snapshot.json`` of the snapshot that ``latest.json`` names, and the pointer's ETag.

    Raises:
        VerificationError: there is no such snapshot, or it is damaged.
    """
    version, etag = read_pointer(store)
    return None if version is None else read_snapshot(store, version), etag


def read_base(store: Store, date: str) -> dict[str, Any] | None:
    """Return the ``snapshot.json`` with which a snapshot of the day ``date`` is to be compared, or ``None``.

    Raises:
        VerificationError: it is missing, or is not what was published.
    """
    version = newest_version(store, date)
    return None if version is None else read_snapshot(store, version)


def read_snapshot(store: Store, version: str) -> dict[str, Any]:
    """Return the ``snapshot.json`` of a complete snapshot; errors as :func:`read_base`."""
    body = read_file(store, version, "snapshot.json", read_sums(store, version))
    return parse_json(body, store.uri(f"{version}/snapshot.json"))


def read_audit(store: Store, version: str) -> dict[str, Any] | None:
    """Return the ``audit.json`` of a complete snapshot, ``None`` where it has none; errors as :func:`read_base`."""
    if REPORT not in (sums := read_sums(store, version)):
        return None
    return parse_json(read_file(store, version, REPORT, sums), store.uri(f"{version}/{REPORT}"))


def read_pointer(store: Store) -> tuple[str | None, str | None]:
    """Return the version that ``latest.json`` names and the file's ETag.

    No version where there is no such file, or where it names none: that is logged, and the next run writes it anew.
    """
    try:
        found = store.fetch(LATEST)
    except MissingObjectError:
        return None, None
    try:
        version = parse_json(found.body, store.uri(LATEST)).get("version")
    except DamagedObjectError:
        version = None
    if isinstance(version, str) and is_version(version):
        return version, found.etag
    log.warning("%s names no version; the next run of the DAG writes it anew", store.uri(LATEST))
    return None, found.etag


def is_behind(store: Store, version: str) -> bool:
    """Say whether ``latest.json`` does not name a snapshot although there is none that is newer."""
    return read_pointer(store)[0] != version and newest_version(store, _ANY_DAY) == version


def move_latest(store: Store, version: str) -> None:
    """Point ``latest.json`` at a snapshot that was verified, unless it names a later one.

    Where it names none that is complete, and a later one than ``version`` is, it is left to that one's own run.

    Raises:
        PublishConflictError: the store refused again and again.
        StorageError: it did not answer.
    """
    snapshot = read_snapshot(store, version)
    body = json_bytes({name: snapshot[name] for name in ("version", "uri", "manifest_sha256")})
    for _ in range(_MOVES):
        latest, etag = read_pointer(store)
        sound = latest is not None and is_complete(store, latest)
        last = latest if sound else newest_version(store, _ANY_DAY)
        if last and (version_key(last) > version_key(version) or (sound and latest == version)):
            log.info("%s stays as it is: %s is complete", LATEST, last)
            return
        if etag and not sound:
            log.warning("%s named %s, which is no complete snapshot; it is mended", LATEST, latest or "nothing")
        try:
            store.put(LATEST, body, only_if_absent=etag is None, only_if_etag=etag)
        except PreconditionFailedError:
            log.info("%s was moved meanwhile, or an answer was lost; looking again", LATEST)
        else:
            return
    raise PublishConflictError(
        f"{version} is published, but {store.uri(LATEST)} could not be moved: the store refused If-Match "
        f"{_MOVES} times. Run the task verify again. If it lasts, the store does not understand its own ETags; set "
        "CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time."
    )


def read_seen(store: Store, version: str) -> dict[str, Any] | None:
    """Return ``revisions`` and ``fingerprint`` that were found to give the same content as a version, if any were."""
    name = _seen_name(version)
    body, _ = find_sealed(store, name)
    return None if body is None else parse_json(body, store.uri(name))


def remember_seen(store: Store, version: str, revisions: Mapping[str, str], fingerprint: str) -> None:
    """Note that these revisions give the same content as a version, so that no later run builds them again."""
    put_sealed(store, _seen_name(version), json_bytes({"revisions": dict(revisions), "fingerprint": fingerprint}))


def _seen_name(version: str) -> str:
    return f"{SEEN}{version}.json"
