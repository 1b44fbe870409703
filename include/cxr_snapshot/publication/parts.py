"""What a snapshot is made of, before it has a name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cxr_snapshot.errors import DamagedObjectError, LostBlobError, MissingObjectError, StorageError
from cxr_snapshot.store.encoding import json_sha256
from cxr_snapshot.store.objects import Store, blob_name


@dataclass(frozen=True, slots=True)
class Copy:
    """An object that is copied into the snapshot inside the store.

    Attributes:
        source: its name in the store, under ``_work``.
        target: its name within the snapshot.
        sha256: of its bytes, in hex.
        size: bytes.
    """

    source: str
    target: str
    sha256: str
    size: int


def read_copy(store: Store, copy: Copy) -> bytes:
    """Return the bytes of a copy's source.

    Raises:
        LostBlobError, DamagedObjectError: they are not what is to be copied.
    """
    try:
        body = store.get(copy.source)
    except MissingObjectError as error:
        raise unusable(store, copy) from error
    if hashlib.sha256(body).hexdigest() != copy.sha256:
        raise unusable(store, copy)
    return body


def unusable(store: Store, copy: Copy) -> StorageError:
    """Return the error that the source of a copy is missing or damaged. If it is a blob, it can be mended."""
    problem = f"{store.uri(copy.source)} is missing or damaged."
    if copy.source == blob_name(copy.sha256):
        return LostBlobError(problem)
    return DamagedObjectError(f"{problem} Clear the task publish and run again; it is made anew.")


@dataclass(frozen=True)
class Draft:
    """What is about to be published, before it has a name. Made by :func:`cxr_snapshot.drafting.build_draft`.

    Attributes:
        manifest: columns of ``MANIFEST_SCHEMA``, sorted by file.
        copies: the snapshot's large files.
        tables: its small files by name, without those that :func:`cxr_snapshot.drafting.finish` adds.
        facts: what ``snapshot.json`` says beside version, address, time and predecessor.
        changes: ``CHANGES.md`` without its title.
        preview: pictures of each class for the contact sheet.
        archive: whether the snapshot also holds itself as one zip.
    """

    manifest: pd.DataFrame
    copies: tuple[Copy, ...]
    tables: dict[str, bytes]
    facts: dict[str, Any]
    changes: str
    preview: dict[str, list[bytes]]
    archive: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 over everything in the draft; two publishers with equal digests write equal bytes."""
        sums = {copy.target: copy.sha256 for copy in self.copies}
        sums |= {name: hashlib.sha256(body).hexdigest() for name, body in self.tables.items()}
        sums |= {
            f"preview of {name}": hashlib.sha256(b"".join(bodies)).hexdigest() for name, bodies in self.preview.items()
        }
        return json_sha256({"files": sums, "facts": self.facts, "archive": self.archive})
