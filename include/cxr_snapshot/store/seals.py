"""Seals: what is kept under ``_work`` is used only if it is what was written.

A seal is the SHA-256 of an object's name and bytes. It is kept as the object's metadata, so that the object stays a
file that any tool reads, a copy of the bucket takes the seals along, and neither costs a request. The name counts, so
that an object which took another one's place is noticed too. What has no seal counts as damaged.

Blobs and shards need none: their names are the hashes of their bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pandas as pd
import pyarrow as pa

from cxr_snapshot import shown
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError, StorageUnavailableError
from cxr_snapshot.store.encoding import parquet_bytes, parse_parquet
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import empty_frame

log = shown.logger(__name__)

SEAL = "cxr-seal"  # name of the metadata
_SAVES = 20  # tries to change an object; each lost one means that another run changed it meanwhile


def put_sealed(
    store: Store, name: str, body: bytes, *, only_if_absent: bool = False, only_if_etag: str | None = None
) -> None:
    """Write an object with its seal; conditions and errors as :meth:`Store.put`."""
    notes = {SEAL: _seal(name, body)}
    store.put(name, body, notes=notes, only_if_absent=only_if_absent, only_if_etag=only_if_etag)


def get_sealed(store: Store, name: str, remedy: str) -> bytes:
    """Return an object's bytes.

    Args:
        store: where it is.
        name: its name.
        remedy: ends the text of an error.

    Raises:
        MissingObjectError: there is no such object.
        DamagedObjectError: its bytes do not fit its seal.
        StorageError: the store refused or did not answer.
    """
    try:
        body, _, sound = _fetch(store, name)
    except MissingObjectError as error:
        raise MissingObjectError(f"{error} {remedy}") from None
    if not sound:
        raise DamagedObjectError(f"{store.uri(name)} is damaged: its bytes are not those that were written. {remedy}")
    return body


def find_sealed(store: Store, name: str) -> tuple[bytes | None, str | None]:
    """Return bytes and ETag of something that can be made again.

    Returns:
        ``None`` twice where there is nothing; no bytes where they do not fit the seal: that is logged and noted in
        ``store.damaged``, and the ETag lets the caller write over it.
    """
    try:
        body, etag, sound = _fetch(store, name)
    except MissingObjectError:
        return None, None
    if sound:
        return body, etag
    log.warning("%s is damaged: its bytes are not those that were written. It is made again", store.uri(name))
    store.damaged.append(name)
    return None, etag


def put_sealed_table(store: Store, name: str, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write ``frame`` as Parquet with exactly ``schema``, with a seal."""
    put_sealed(store, name, parquet_bytes(frame, schema))


def change_sealed(store: Store, name: str, change: Callable[[bytes | None], bytes | None], remedy: str) -> None:
    """Change a sealed object that others may change at the same time, so that each try reads it anew.

    Args:
        store: where it is.
        name: its name.
        change: gets the bytes, ``None`` where none fit their seal; returns those to write, or ``None`` to write none.
        remedy: what to do when all tries were lost.

    Raises:
        StorageUnavailableError: others changed it at each try.
        StorageError: the store refused or did not answer.
    """
    for _ in range(_SAVES):
        body, etag = find_sealed(store, name)
        new = change(body)
        if new is None:
            return
        try:
            put_sealed(store, name, new, only_if_absent=etag is None, only_if_etag=etag)
        except PreconditionFailedError:
            log.info("%s was written by another run meanwhile; it is changed again", name)
        else:
            return
    raise StorageUnavailableError(f"{store.uri(name)} was changed by others {_SAVES} times in a row. {remedy}")


def add_sealed_rows(store: Store, name: str, found: pd.DataFrame, schema: pa.Schema) -> None:
    """Add rows to a sealed table by ``sha256`` that can be made again; those that it has already stay as they are.

    Errors as :func:`change_sealed`.
    """

    def add(body: bytes | None) -> bytes:
        known = empty_frame(schema) if body is None else parse_parquet(body, store.uri(name))
        both = pd.concat([known, found]).drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
        return parquet_bytes(both, schema)

    change_sealed(store, name, add, "Try again later.")


def get_sealed_table(store: Store, name: str, remedy: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return a Parquet object as a table, or only some of its columns; arguments and errors as :func:`get_sealed`."""
    return parse_parquet(get_sealed(store, name, remedy), store.uri(name), columns)


def find_sealed_table(store: Store, name: str) -> pd.DataFrame | None:
    """Return a Parquet object that can be made again as a table; ``None`` as :func:`find_sealed`."""
    body, _ = find_sealed(store, name)
    return None if body is None else parse_parquet(body, store.uri(name))


def _fetch(store: Store, name: str) -> tuple[bytes, str, bool]:
    found = store.fetch(name)
    return found.body, found.etag, found.notes.get(SEAL) == _seal(name, found.body)


def _seal(name: str, body: bytes) -> str:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(body)
    return digest.hexdigest()
