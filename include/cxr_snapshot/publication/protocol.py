"""Publishes a snapshot like a commit: all of it or nothing, and no publisher changes it afterwards.

The order makes it safe. A *claim* under ``_work/claims`` reserves the version's name for exactly one content. Large
files are copied and small ones written under that name; all that is new and a part of the rest is read back and
compared with its hash; ``_SUCCESS`` is created last and makes them a snapshot. ``latest.json`` moves when the stage
``verify`` has read it as a consumer would. Each of the three conditional writes has one winner. A publisher that was
killed is continued by the next one with the same content, byte for byte; an abandoned name is never reused for other
content.

A conditional write that lost is read back: where the bytes are ours, an earlier try succeeded and its answer was lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cxr_snapshot import shown
from cxr_snapshot.errors import MissingObjectError, PublishConflictError, StorageError, VerificationError
from cxr_snapshot.progress import Progress
from cxr_snapshot.publication.archive import archive_name, write_archive
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.draft import finish
from cxr_snapshot.publication.parts import Copy, Draft, unusable
from cxr_snapshot.publication.versions import is_complete, newest_version
from cxr_snapshot.store.conditional import require_conditional_writes
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed, put_sealed

log = shown.logger(__name__)

CLAIM_LIFETIME = 3600.0  # seconds; the publish task itself is stopped by then
CLAIMS = "_work/claims/"


def publish(
    store: Store, draft: Draft, date: str, created: str, previous: str | None, *, trusted: Collection[str] = ()
) -> dict[str, Any]:
    """Publish ``draft`` under the first free name of ``date``.

    Args:
        store: where to.
        draft: what.
        date: the day in the version's name, ``YYYY-MM-DD``.
        created: ISO 8601 time that ``snapshot.json`` states.
        previous: version with which the draft was compared; see :func:`read_base`.
        trusted: SHA-256 of images that need not be read back this time; all are where an earlier try is continued.

    Returns:
        The content of ``snapshot.json``.

    Raises:
        LostBlobError: a blob is missing or damaged. Once it is mended, the same call goes on.
        PublishConflictError: another publisher is at work, or published meanwhile.
        VerificationError: what was written is not what can be read, also after it was written again.
        StorageError: the store refused, did not answer, or has no conditional writes.
    """
    require_conditional_writes(store)
    version, begun = _claim(store, draft, date, created, previous)
    written = begun or created
    files = draft.tables | finish(draft, version, written, store.uri(f"{version}/"), previous)
    files[SUMS] = _sums(draft.copies, files)
    present = store.list(f"{version}/")
    if f"{version}/{SUCCESS}" not in present:
        _copy_all(store, version, draft.copies, present)
        archive = {}
        if draft.archive:
            sha256 = write_archive(store, version, draft.copies, files, created=written, present=present)
            archive[archive_name(version)] = sha256
            files[SUMS] += f"{sha256}  {archive_name(version)}\n".encode()
        _write_all(store, version, files, present)
        _refuse_strangers(store, version, draft, files.keys() | archive.keys())
        _read_back(store, version, draft, files, archive=archive, trusted=() if begun else trusted)
        _write_once(store, f"{version}/{SUCCESS}", hashlib.sha256(files[SUMS]).hexdigest().encode() + b"\n")
    return parse_json(files["snapshot.json"], store.uri(f"{version}/snapshot.json"))


def _claim(store: Store, draft: Draft, date: str, created: str, previous: str | None) -> tuple[str, str | None]:
    """Reserve a version's name for this content, or find the one that it already has.

    Returns:
        The version; and, where it was reserved before, the time of creation that its ``snapshot.json`` states.
    """
    wanted = {"digest": draft.digest, "created": created, "previous": previous}
    for number in range(1000):
        version = f"{date}.{number}" if number else date
        name = f"{CLAIMS}{version}.json"
        is_empty = next(store.scan(f"{version}/"), None) is None
        claim = _read_claim(store, name)  # after the look into the folder: a claim comes before its objects
        if claim is None and not is_empty:
            log.warning("%s holds objects, but nobody reserved this name; it is left alone", store.uri(f"{version}/"))
            continue
        if claim is None:
            base = newest_version(store, date)
            if base != previous:
                raise PublishConflictError(
                    f"{base} was published since this run compared its content with {previous or 'nothing'}. Run the "
                    "task publish again, so that it compares with that one."
                )
            try:
                put_sealed(store, name, json_bytes(wanted), only_if_absent=True)
            except PreconditionFailedError:
                claim = _read_claim(store, name) or {}
            else:
                return version, None
        if (claim.get("digest"), claim.get("previous")) == (draft.digest, previous):
            log.info("continuing %s, which was begun with the same content", version)
            return version, str(claim["created"])
        age = store.age(name)
        if age is not None and age < CLAIM_LIFETIME and not is_complete(store, version):
            raise PublishConflictError(
                f"another run is publishing other content as {store.uri(version)}/ since {age:.0f} s. Run the task "
                f"publish again later; a dead run loses the name {CLAIM_LIFETIME:.0f} s after it took it."
            )
    raise StorageError(f"{store.uri(date)} already has 1000 versions. Something publishes in a loop; stop it.")


def _read_claim(store: Store, name: str) -> dict[str, Any] | None:
    """Return a claim; nothing is in one that is damaged, so that it counts as that of other content."""
    body, etag = find_sealed(store, name)
    if body is None:
        return None if etag is None else {}
    return parse_json(body, store.uri(name))


def _copy_all(store: Store, version: str, copies: Sequence[Copy], present: Mapping[str, StoredObject]) -> None:
    """Copy the large files that are not there yet to their names in the snapshot, inside the store."""
    finished = _finished_copies(store, version, copies, present)
    missing = [copy for copy in copies if copy.target not in finished]
    progress = Progress(f"{version}: files copied", len(missing))
    for _ in bounded_map(lambda copy: _copy(store, version, copy), missing):
        progress.advance()


def _copy(store: Store, version: str, copy: Copy) -> None:
    try:
        store.copy(copy.source, f"{version}/{copy.target}")
    except MissingObjectError as error:
        raise unusable(store, copy) from error


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

    def write(name: str) -> None:
        body, found = files[name], present.get(f"{version}/{name}")
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        if found is None or (found.size, found.etag) != (len(body), etag):
            store.put(f"{version}/{name}", body)

    for _ in bounded_map(write, files):
        pass


def _refuse_strangers(store: Store, version: str, draft: Draft, others: Collection[str]) -> None:
    """Refuse to make a snapshot of a folder that holds what belongs to none."""
    # SUCCESS is there where a twin with the same content was faster.
    ours = {f"{version}/{name}" for name in (SUCCESS, *others, *(copy.target for copy in draft.copies))}
    if strangers := sorted(name for name, _ in store.scan(f"{version}/") if name not in ours):
        raise VerificationError(
            f"{len(strangers)} objects of {store.uri(version)}/ belong to no snapshot, such as {strangers[0]}. Nothing "
            "was published. Delete them, then clear the task publish."
        )


def _read_back(
    store: Store,
    version: str,
    draft: Draft,
    files: Mapping[str, bytes],
    *,
    archive: Mapping[str, str],
    trusted: Collection[str],
) -> None:
    """Read what was copied and written; do again what is not right.

    Args:
        store: where it is.
        version: the snapshot's name.
        draft: says what was copied.
        files: what was written, by name.
        archive: SHA-256 of the archive by name; it cannot be written again here.
        trusted: SHA-256 of copies that are not read.
    """
    copies = {copy.target: copy for copy in draft.copies if copy.sha256 not in trusted}
    wanted = {name: copy.sha256 for name, copy in copies.items()} | dict(archive)
    wanted |= {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
    wrong = _differing(store, version, wanted)
    for name in wrong:
        log.warning("%s is not what was to be written; it is written again", store.uri(f"{version}/{name}"))
        if name in files:
            store.put(f"{version}/{name}", files[name])
        elif name in copies and store.sha256(copies[name].source) == wanted[name]:
            _copy(store, version, copies[name])
        elif name in copies:
            raise unusable(store, copies[name])
    if still := _differing(store, version, {name: wanted[name] for name in wrong}):
        raise VerificationError(
            f"{len(still)} objects of {store.uri(version)}/ are not what was written, such as {still[0]}. Nothing was "
            "published. Clear the task publish; if it lasts, check the store."
        )
    log.info("%s: read %d objects back before they count", version, len(wanted))


def _differing(store: Store, version: str, wanted: Mapping[str, str]) -> list[str]:
    """Return the names of those objects in a snapshot whose SHA-256 is not the one in ``wanted``."""
    found = bounded_map(lambda name: store.sha256(f"{version}/{name}"), sorted(wanted))
    return [name for name, sha256 in found if sha256 != wanted[name]]


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
