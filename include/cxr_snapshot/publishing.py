"""Publishes a snapshot like a commit: all of it or nothing, never changed afterwards.

The order makes it safe. A *claim* under ``_work/claims`` reserves the version's name for exactly one content. Images
are copied and tables written under that name; ``_SUCCESS`` is created last and makes them a snapshot; then
``latest.json`` moves. Each of the three conditional writes has one winner. A publisher that was killed is continued by
the next one with the same content, byte for byte; an abandoned name is never reused for other content.
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

import pandas as pd

from cxr_snapshot.errors import PublishConflictError, StorageError
from cxr_snapshot.manifest import Draft
from cxr_snapshot.storage import (
    PreconditionFailedError,
    Store,
    blob_name,
    bounded_map,
    json_bytes,
    parse_json,
)

log = logging.getLogger(__name__)

CLAIM_LIFETIME = 3600.0  # seconds; the publish task itself is stopped by then
SUMS = "SHA256SUMS"
SUCCESS = "_SUCCESS"


def read_latest(store: Store) -> tuple[dict[str, Any] | None, str | None]:
    """Return the latest snapshot's ``snapshot.json`` and the ETag of ``latest.json``; ``None`` before the first one.

    Raises:
        StorageError: ``latest.json`` names a snapshot that is not there.
    """
    if not store.list("latest.json"):
        return None, None
    body, etag = store.get_with_etag("latest.json")
    version = parse_json(body, store.uri("latest.json"))["version"]
    snapshot = store.get_json(f"{version}/snapshot.json")
    if snapshot is None:
        raise StorageError(
            f"{store.uri('latest.json')} names {version}, but {store.uri(version)}/snapshot.json is missing. Restore "
            "the snapshot, or write the version of a complete one into latest.json."
        )
    return snapshot, etag


def publish(store: Store, draft: Draft, date: str, created: str) -> dict[str, Any]:
    """Publish ``draft`` under the first free name of ``date`` and make it the latest, unless a later one is.

    Args:
        store: where to.
        draft: what.
        date: the day in the version's name, ``YYYY-MM-DD``.
        created: ISO 8601 time that ``snapshot.json`` states.

    Returns:
        The content of ``snapshot.json``.

    Raises:
        PublishConflictError: another publisher is at work, or moved ``latest.json`` meanwhile.
        StorageError: the store refused, did not answer, or has no conditional writes.
    """
    require_conditional_writes(store)
    previous, latest_etag = read_latest(store)
    version, claim = _claim(store, draft, date, created, previous)
    snapshot = draft.facts | {
        "version": version,
        "uri": store.uri(f"{version}/"),
        "created": claim["created"],
        "previous": claim["previous"],
    }
    if not _finished(store, version):
        _copy_images(store, draft.manifest, version)
        tables = draft.tables | {"snapshot.json": json_bytes(snapshot)}
        sums = _sums(draft.manifest, tables)
        for name, body in sorted(tables.items()):
            store.put(f"{version}/{name}", body)
        store.put(f"{version}/{SUMS}", sums)
        _write_once(store, f"{version}/{SUCCESS}", hashlib.sha256(sums).hexdigest().encode() + b"\n")
    _move_latest(store, snapshot, previous, latest_etag)
    return snapshot


def require_conditional_writes(store: Store) -> None:
    """Check that the store refuses a second ``If-None-Match: *`` write; some silently overwrite.

    Raises:
        StorageError: it does not refuse.
    """
    probe = "_work/conditional-write-probe"
    for _ in range(2):
        try:
            store.put(probe, b"A second conditional write of this object must fail.\n", only_if_absent=True)
        except PreconditionFailedError:
            return
    raise StorageError(
        f"the store ignored If-None-Match on {store.uri(probe)}, so two runs could overwrite each other. Use a store "
        "with conditional writes (Amazon S3, Cloudflare R2, Ceph 18 or later, SeaweedFS 4.44 or later)."
    )


def version_key(version: str) -> tuple[str, int]:
    """Return what sorts versions by age: ``2026-11-23`` before ``2026-11-23.1`` before ``2026-11-23.10``."""
    date, _, number = version.partition(".")
    return date, int(number or 0)


def _claim(
    store: Store, draft: Draft, date: str, created: str, previous: dict[str, Any] | None
) -> tuple[str, dict[str, Any]]:
    """Reserve a version's name for this content, or find the one that it already has."""
    for number in range(1000):
        version = f"{date}.{number}" if number else date
        name = f"_work/claims/{version}.json"
        wanted = {"digest": draft.digest, "created": created, "previous": previous["version"] if previous else None}
        try:
            store.put(name, json_bytes(wanted), only_if_absent=True)
        except PreconditionFailedError:
            claim = store.get_json(name) or {}
            if claim.get("digest") == draft.digest:
                log.info("continuing %s, which was begun with the same content", version)
                return version, claim
            age = store.age(name)
            if not _finished(store, version) and age is not None and age < CLAIM_LIFETIME:
                raise PublishConflictError(
                    f"another run is publishing {store.uri(version)}/ since {age:.0f} s. Wait for it; if it is dead, "
                    f"delete {store.uri(name)} and run again."
                ) from None
            continue
        return version, wanted
    raise StorageError(f"{store.uri(date)} already has 1000 versions. Something publishes in a loop; stop it.")


def _finished(store: Store, version: str) -> bool:
    return bool(store.list(f"{version}/{SUCCESS}"))


def _copy_images(store: Store, manifest: pd.DataFrame, version: str) -> None:
    """Copy the blobs that are not there yet to their names in the snapshot, inside the store."""
    present = store.list(f"{version}/images/")
    wanted = [
        (blob_name(str(sha256)), f"{version}/{file}", int(size))
        for sha256, file, size in zip(manifest["sha256"], manifest["file"], manifest["bytes"], strict=True)
    ]
    missing = [item for item in wanted if item[1] not in present or present[item[1]].size != item[2]]
    logged = time.monotonic()
    copies = bounded_map(lambda item: store.copy(item[0], item[1]), missing)
    for done, _ in enumerate(copies, start=1):
        if time.monotonic() - logged > 5 or done == len(missing):
            logged = time.monotonic()
            log.info("copied %d of %d images into %s", done, len(missing), version)


def _sums(manifest: pd.DataFrame, tables: dict[str, bytes]) -> bytes:
    """Return what ``sha256sum -c`` reads."""
    sums = dict(zip(manifest["file"], manifest["sha256"], strict=True))
    sums |= {name: hashlib.sha256(body).hexdigest() for name, body in tables.items()}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def _write_once(store: Store, name: str, body: bytes) -> None:
    """Create an object; if it is there already with the same bytes, our own lost answer or a twin made it."""
    try:
        store.put(name, body, only_if_absent=True)
    except PreconditionFailedError:
        if store.get(name) != body:
            raise PublishConflictError(f"{store.uri(name)} was written by another run with other content.") from None


def _move_latest(store: Store, snapshot: dict[str, Any], previous: dict[str, Any] | None, etag: str | None) -> None:
    """Point ``latest.json`` at ``snapshot``, unless it points at the same or a later one."""
    if previous and version_key(previous["version"]) >= version_key(snapshot["version"]):
        log.info("latest.json stays at %s, which is not older than %s", previous["version"], snapshot["version"])
        return
    body = json_bytes({name: snapshot[name] for name in ("version", "uri", "manifest_sha256")})
    try:
        store.put("latest.json", body, only_if_absent=etag is None, only_if_etag=etag)
    except PreconditionFailedError:
        if store.get("latest.json") != body:
            raise PublishConflictError(
                f"{store.uri('latest.json')} was moved by another run meanwhile. {snapshot['version']} is published; "
                "a retry decides which of the two is the latest."
            ) from None
