"""Publishes a snapshot like a commit: all of it or nothing, never changed afterwards.

The order makes it safe. A *claim* under ``_work/claims`` reserves the version's name for exactly one content. Large
files are copied and small ones written under that name; ``_SUCCESS`` is created last and makes them a snapshot; then
``latest.json`` moves. Each of the three conditional writes has one winner. A publisher that was killed is continued by
the next one with the same content, byte for byte; an abandoned name is never reused for other content.

A conditional write that lost is read back: where the bytes are ours, an earlier try succeeded and its answer was lost.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cxr_snapshot.errors import PublishConflictError, StorageError
from cxr_snapshot.progress import Progress
from cxr_snapshot.publication.archive import archive_name, write_archive
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.draft import finish
from cxr_snapshot.publication.parts import Copy, Draft
from cxr_snapshot.publication.versions import LATEST, base_version, read_pointer, version_key
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.parallel import bounded_map

log = logging.getLogger(__name__)

CLAIM_LIFETIME = 3600.0  # seconds; the publish task itself is stopped by then
CLAIMS = "_work/claims/"

_PROBE = "_work/conditional-write-probe"
_MOVES = 20  # tries to move latest.json; each lost one means that somebody else moved it


def publish(store: Store, draft: Draft, date: str, created: str, previous: str | None) -> dict[str, Any]:
    """Publish ``draft`` under the first free name of ``date`` and make it the latest, unless a later one is.

    Args:
        store: where to.
        draft: what.
        date: the day in the version's name, ``YYYY-MM-DD``.
        created: ISO 8601 time that ``snapshot.json`` states.
        previous: version with which the draft was compared; see :func:`read_base`.

    Returns:
        The content of ``snapshot.json``.

    Raises:
        PublishConflictError: another publisher is at work, or published meanwhile.
        StorageError: the store refused, did not answer, or has no conditional writes.
    """
    require_conditional_writes(store)
    version, created = _claim(store, draft, date, created, previous)
    files = draft.tables | finish(draft, version, created, store.uri(f"{version}/"), previous)
    files[SUMS] = _sums(draft.copies, files)
    present = store.list(f"{version}/")
    if f"{version}/{SUCCESS}" not in present:
        _copy_all(store, version, draft.copies, present)
        if draft.archive:
            sha256 = write_archive(store, version, draft.copies, files, created=created, present=present)
            files[SUMS] += f"{sha256}  {archive_name(version)}\n".encode()
        _write_all(store, version, files, present)
        _write_once(store, f"{version}/{SUCCESS}", hashlib.sha256(files[SUMS]).hexdigest().encode() + b"\n")
    snapshot = parse_json(files["snapshot.json"], store.uri(f"{version}/snapshot.json"))
    _move_latest(store, snapshot)
    return snapshot


def require_conditional_writes(store: Store) -> None:
    """Check that the store refuses ``If-None-Match`` and ``If-Match`` where they do not hold; some silently overwrite.

    Raises:
        StorageError: it does not refuse.
    """
    if not store.conditional_writes:
        log.warning(
            "CXR_CONDITIONAL_WRITES is unavailable, so the store cannot keep two publishers apart: if two runs publish "
            "at once, one may overwrite files of the other, and latest.json may move backwards. Let only one run work."
        )
        return
    text = b"Conditional writes of this object must fail.\n"
    ignored = "If-None-Match"
    for _ in range(2):
        try:
            store.put(_PROBE, text, only_if_absent=True)
        except PreconditionFailedError:
            ignored = "If-Match"
            break
    if ignored == "If-Match":
        try:
            store.put(_PROBE, text, only_if_etag=f'"{"0" * 32}"')
        except PreconditionFailedError:
            return
    raise StorageError(
        f"the store ignored {ignored} on {store.uri(_PROBE)}, so two runs could overwrite each other. Use a store "
        "with conditional writes (Amazon S3, Cloudflare R2, Ceph 18 or later, SeaweedFS 4.44 or later), or set "
        "CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time."
    )


def _claim(store: Store, draft: Draft, date: str, created: str, previous: str | None) -> tuple[str, str]:
    """Reserve a version's name for this content, or find the one that it already has.

    Returns:
        The version, and the time of creation that its ``snapshot.json`` states.
    """
    base = base_version(store, date)
    wanted = {"digest": draft.digest, "created": created, "previous": previous}
    for number in range(1000):
        version = f"{date}.{number}" if number else date
        name = f"{CLAIMS}{version}.json"
        claim = store.get_json(name)
        if claim is None:
            if base != previous:
                raise PublishConflictError(
                    f"{base} was published since this run compared its content with {previous or 'nothing'}. Run the "
                    "task publish again, so that it compares with that one."
                )
            try:
                store.put(name, json_bytes(wanted), only_if_absent=True)
            except PreconditionFailedError:
                claim = store.get_json(name) or {}
            else:
                return version, created
        if (claim.get("digest"), claim.get("previous")) == (draft.digest, previous):
            log.info("continuing %s, which was begun with the same content", version)
            return version, str(claim["created"])
        age = store.age(name)
        if age is not None and age < CLAIM_LIFETIME and not store.exists(f"{version}/{SUCCESS}"):
            raise PublishConflictError(
                f"another run is publishing other content as {store.uri(version)}/ since {age:.0f} s. Run the task "
                f"publish again later; a dead run loses the name {CLAIM_LIFETIME:.0f} s after it took it."
            )
    raise StorageError(f"{store.uri(date)} already has 1000 versions. Something publishes in a loop; stop it.")


def _copy_all(store: Store, version: str, copies: Sequence[Copy], present: Mapping[str, StoredObject]) -> None:
    """Copy the large files that are not there yet to their names in the snapshot, inside the store."""
    finished = _finished_copies(store, version, copies, present)
    missing = [copy for copy in copies if copy.target not in finished]
    progress = Progress(f"{version}: files copied", len(missing))
    for _ in bounded_map(lambda copy: store.copy(copy.source, f"{version}/{copy.target}"), missing):
        progress.advance()


def _finished_copies(
    store: Store, version: str, copies: Sequence[Copy], present: Mapping[str, StoredObject]
) -> set[str]:
    """Return the targets that an earlier try has copied: those with size and ETag of their source."""
    begun = [copy for copy in copies if f"{version}/{copy.target}" in present]
    folders = {"/".join(copy.source.split("/")[:3]) + "/" for copy in begun}
    sources = {name: item for folder in sorted(folders) for name, item in store.list(folder).items()}
    finished = set()
    for copy in begun:
        source, target = sources.get(copy.source), present[f"{version}/{copy.target}"]
        if source and (source.size, source.etag) == (target.size, target.etag):
            finished.add(copy.target)
    return finished


def _write_all(store: Store, version: str, files: Mapping[str, bytes], present: Mapping[str, StoredObject]) -> None:
    """Write the small files that are not there yet. The ETag of an object in one part is its MD5."""
    for name, body in files.items():
        found = present.get(f"{version}/{name}")
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if found is None or (found.size, found.etag) != (len(body), etag):
            store.put(f"{version}/{name}", body)


def _sums(copies: Sequence[Copy], files: Mapping[str, bytes]) -> bytes:
    sums = {copy.target: copy.sha256 for copy in copies}
    sums |= {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    return sums_bytes(sums)


def _write_once(store: Store, name: str, body: bytes) -> None:
    """Create an object; if it is there already with the same bytes, our own lost answer or a twin made it."""
    try:
        store.put(name, body, only_if_absent=True)
    except PreconditionFailedError:
        if store.get(name) != body:
            raise PublishConflictError(f"{store.uri(name)} was written by another run with other content.") from None


def _move_latest(store: Store, snapshot: Mapping[str, Any]) -> None:
    """Point ``latest.json`` at ``snapshot``, unless it points at the same or a later one."""
    body = json_bytes({name: snapshot[name] for name in ("version", "uri", "manifest_sha256")})
    for _ in range(_MOVES):
        latest, etag = read_pointer(store)
        if latest and version_key(latest) >= version_key(snapshot["version"]):
            log.info("%s names %s", LATEST, latest)
            return
        try:
            store.put(LATEST, body, only_if_absent=etag is None, only_if_etag=etag)
        except PreconditionFailedError:
            log.info("%s was moved meanwhile, or an answer was lost; looking again", LATEST)
        else:
            return
    raise PublishConflictError(
        f"{snapshot['version']} is published, but {store.uri(LATEST)} could not be moved: the store refused If-Match "
        f"{_MOVES} times. Run the task publish again. If it lasts, the store does not understand its own ETags; set "
        "CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time."
    )
