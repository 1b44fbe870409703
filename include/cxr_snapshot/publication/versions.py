"""Which snapshots there are: their names, the pointer to the latest one, and the one to compare with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cxr_snapshot import shown
from cxr_snapshot.audit import REPORT
from cxr_snapshot.errors import (
    DamagedObjectError,
    MissingObjectError,
    PublishConflictError,
    SettingsError,
    VerificationError,
)
from cxr_snapshot.publication.checksums import SUCCESS, read_file, read_sums
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
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


def versions(store: Store) -> list[str]:
    """Return the names of all complete snapshots, oldest first."""
    names = sorted((name for name in store.folders() if is_version(name)), key=version_key)
    return [name for name, complete in bounded_map(lambda name: is_complete(store, name), names) if complete]


def newest_version(store: Store, date: str) -> str | None:
    """Return the newest complete snapshot up to the day ``date``, ``YYYY-MM-DD``, whatever ``latest.json`` names."""
    names = [name for name in store.folders() if is_version(name) and version_key(name)[0] <= date]
    newest_first = sorted(names, key=version_key, reverse=True)
    return next((name for name in newest_first if is_complete(store, name)), None)


def is_older(store: Store, date: str) -> bool:
    """Say whether a snapshot of the day ``date`` would not be the newest one."""
    newest = newest_version(store, _ANY_DAY)
    return newest is not None and version_key(newest)[0] > date


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


def find_equal(store: Store, digest: str) -> str | None:
    """Return the newest complete snapshot, of whatever day, with this content digest; ``None`` where there is none.

    One that is damaged counts as other content: it is nothing that could be used in place of a new one.
    """
    found = bounded_map(lambda version: _has_digest(store, version, digest), versions(store)[::-1])
    return next((version for version, equal in found if equal), None)


def refuse_mixture(store: Store, base: Mapping[str, Any] | None, *, synthetic: bool) -> None:
    """Refuse to publish generated data beside real data, or the other way round.

    Args:
        store: where to.
        base: ``snapshot.json`` of the snapshot to compare with; where there is none, the newest of any day is asked,
            and then those of other editions.
        synthetic: whether the data of this run is generated.

    Raises:
        SettingsError: what is published there is of the other kind.
    """
    editions = (store.edition_name, *store.editions()) if base is None else ()
    newest = (read_base(store.edition(name), _ANY_DAY) for name in editions)
    known = base or next(filter(None, newest), None)
    if known is None or known.get("synthetic", False) == synthetic:
        return
    theirs, ours = ("real", "generated") if synthetic else ("generated", "real")
    root = store.edition(DEFAULT_EDITION).uri("")
    example = known["uri"].removeprefix(root).rstrip("/")
    raise SettingsError(
        f"{root} holds snapshots of {theirs} data, such as {example}, and the upstreams of this run "
        f"give {ours} data. Set CXR_PREFIX to another prefix, such as {'-'.join(filter(None, [store.prefix, ours]))}, "
        "for Airflow's web server too."
    )


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


def _has_digest(store: Store, version: str, digest: str) -> bool:
    try:
        facts = store.get_json(f"{version}/snapshot.json")  # its sums, which are large, are read where it says yes
        return (
            facts is not None and facts["content_digest"] == digest == read_snapshot(store, version)["content_digest"]
        )
    except (DamagedObjectError, VerificationError, KeyError) as error:
        log.warning("%s is not compared with what is to be published: %s", version, error)
        return False


def _seen_name(version: str) -> str:
    return f"{SEEN}{version}.json"
