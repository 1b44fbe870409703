"""The mark of a snapshot of which something was withdrawn: the one file that may come into a published folder.

``WITHDRAWN.json`` says which images were taken back and why. Where they are erased, it also says what that changes:
the files that are gone, and the new SHA-256 of those that were made anew without them. ``SHA256SUMS`` stays as it was.
While the work goes on, ``before`` holds the SHA-256 that each of these files had, and both states of a file are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from cxr_snapshot.audit.words import counted
from cxr_snapshot.errors import DamagedObjectError, PublishConflictError, VerificationError
from cxr_snapshot.publication.checksums import read_table
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.withdrawals import Withdrawal, erased_files, load_withdrawals, told_of

MARK = "WITHDRAWN.json"
MARKED, ERASING, ERASED = "withdrawn", "erasing", "erased"  # states

_SCHEMA_VERSION = 1
_ABOUT = {
    MARKED: "These images were taken back. Do not use them. No later snapshot has them.",
    ERASING: "These images were taken back, and their bytes are being deleted. If that was broken off, withdraw again.",
    ERASED: "These images were taken back, and the bytes of those marked as erased were deleted. SHA256SUMS is as it "
    "was published: the files under sums have another SHA-256 now, and those under removed are gone.",
}


@dataclass(frozen=True)
class Mark:
    """What ``WITHDRAWN.json`` says.

    Attributes:
        state: ``withdrawn``; or ``erasing`` and then ``erased`` where bytes are deleted too.
        images: by name of the file: ``reason``, and whether it is ``erased``.
        removed: SHA-256, as published, of the files that are gone or about to go, by name.
        sums: new SHA-256 of the files that are made anew, by name.
        before: SHA-256 that the files still to be removed or made anew had before; empty unless ``erasing``.
    """

    state: str = MARKED
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    sums: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What people are told of the snapshot."""
        if not self.images:
            return f"Its audit showed an image that was withdrawn: see {MARK}."
        images = counted(len(self.images), "image")
        were = "was" if len(self.images) == 1 else "were"
        then = {MARKED: "Do not use what it names.", ERASING: "Bytes are being erased.", ERASED: "Bytes were erased."}
        return f"{images} of this snapshot {were} withdrawn: see {MARK}. {then[self.state]}"

    def allowed(self, name: str, published: str) -> set[str]:
        """Return each SHA-256 that a file may have.

        Args:
            name: of the file.
            published: its SHA-256 in ``SHA256SUMS``.
        """
        earlier = {self.before[name]} if name in self.before else set()
        return {self.sums.get(name, published)} | earlier

    def now(self, sums: Mapping[str, str]) -> dict[str, str]:
        """Return the SHA-256 of each file that the snapshot has now; ``sums`` are those of ``SHA256SUMS``."""
        return {name: self.sums.get(name, sha256) for name, sha256 in sums.items() if name not in self.removed}


UNMARKED = Mark()


def read_mark(store: Store, version: str) -> tuple[Mark, str | None]:
    """Return the mark of a snapshot and its ETag; :data:`UNMARKED` and ``None`` where there is none.

    Raises:
        VerificationError: it is damaged.
    """
    name = f"{version}/{MARK}"
    found = store.find(name)
    if found is None:
        return UNMARKED, None
    return parse_mark(found.body, store.uri(name)), found.etag


def parse_mark(body: bytes, where: str) -> Mark:
    """Return the mark in a file, which ``where`` names; errors as :func:`read_mark`."""
    try:
        facts = parse_json(body, where)
        return Mark(**{each: facts[each] for each in asdict(UNMARKED)})
    except (DamagedObjectError, KeyError) as error:
        raise VerificationError(
            f"{where} is damaged: {error}. Put it back from a copy of the bucket, or delete it and withdraw the same "
            "again."
        ) from error


def write_mark(store: Store, version: str, mark: Mark, etag: str | None) -> str:
    """Write the mark over the one with this ETag, and return the new one's.

    Raises:
        PublishConflictError: somebody else wrote it meanwhile.
    """
    name = f"{version}/{MARK}"
    body = json_bytes({"schema_version": _SCHEMA_VERSION, "about": _ABOUT[mark.state], **asdict(mark)})
    try:
        store.put(name, body, only_if_absent=etag is None, only_if_etag=etag)
    except PreconditionFailedError as error:
        if store.get(name) != body:  # else an answer was lost
            raise _beaten(store, name) from error
    found = store.fetch(name)
    if found.body != body:
        raise _beaten(store, name)
    return found.etag


def current_sums(store: Store, version: str, sums: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of each file that a snapshot has now.

    Args:
        store: where it is.
        version: its name.
        sums: as published, from :func:`cxr_snapshot.publication.checksums.read_sums`.
    """
    return read_mark(store, version)[0].now(sums)


def images_of(withdrawals: tuple[Withdrawal, ...], manifest: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what a mark says of the images that were withdrawn, by file.

    Args:
        withdrawals: all there are.
        manifest: of a snapshot, columns of ``MANIFEST_SCHEMA``.
    """
    sha256s, erased = upstream_files(manifest), erased_files(withdrawals)
    told = told_of(withdrawals, manifest, sha256s)
    hit = manifest.assign(told=told, gone=sha256s.isin(erased))[told.notna()]
    rows = hit[["file", "told", "gone"]].itertuples(index=False, name=None)
    return {file: {"reason": reason, "erased": bool(gone)} for file, reason, gone in rows}


def refuse_withdrawn(store: Store, version: str) -> None:
    """Refuse a snapshot that holds what was withdrawn while it was built, and says nothing of it.

    Raises:
        VerificationError: it does.
    """
    withdrawals = load_withdrawals(store)
    if not withdrawals:
        return
    images = images_of(withdrawals, read_table(store, version, "manifest.parquet"))
    if missing := sorted(images.keys() - read_mark(store, version)[0].images.keys()):
        raise VerificationError(
            f"{store.uri(version)} holds {len(missing)} images that were withdrawn meanwhile, such as {missing[0]}. "
            "The next run builds it without them."
        )


def _beaten(store: Store, name: str) -> PublishConflictError:
    return PublishConflictError(f"{store.uri(name)} was written by somebody else. Withdraw again.")
