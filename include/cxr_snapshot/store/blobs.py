"""Blobs: every upstream file once, named by its SHA-256, and so never taken for another."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from cxr_snapshot.errors import LostBlobError, MissingObjectError
from cxr_snapshot.store.objects import Store, StoredObject, blob_name
from cxr_snapshot.store.parallel import AHEAD, bounded_map

BLOBS = "_work/blobs/sha256/"
MAX_BLOB = 64 * 1024**2  # bytes; sources deliver none that is larger

# Threads that fetch for those that decode: 250 blobs a second from a store that answers after 30 ms, which is more than
# are decoded. 16 needed 30 MB more, as each keeps some of the memory into which it reads.
_FETCHING = 8

Result = TypeVar("Result")


def held(_: object, result: object) -> int:
    """Say for :func:`bounded_map` how much memory work on a blob takes: the most until it is done, then the result."""
    return MAX_BLOB if result is None else sys.getsizeof(result)


class Fetcher:
    """Gets blobs for work in :func:`bounded_map`, and says how much memory that takes.

    It is the most that a blob may have only until the blob is there, so that work goes on side by side although no more
    than two large ones are fetched at once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: dict[str, int] = {}  # bytes by SHA-256

    def get(self, sha256: str) -> bytes:
        """Do what :func:`get_blob` does."""
        body = get_blob(self._store, sha256)
        self._sizes[sha256] = len(body)
        return body

    def held(self, sha256: str, result: object) -> int:
        """Say how much work on a blob takes, or its result."""
        return self._sizes.get(sha256, MAX_BLOB) if result is None else sys.getsizeof(result)


def get_blob(store: Store, sha256: str) -> bytes:
    """Return the bytes of a blob.

    Raises:
        LostBlobError: it is missing or damaged.
        StorageError: the store refused or did not answer.
    """
    try:
        body = store.get(blob_name(sha256))
    except MissingObjectError as error:
        raise LostBlobError(str(error)) from None
    if hashlib.sha256(body).hexdigest() != sha256:
        raise LostBlobError(f"{store.uri(blob_name(sha256))} is damaged: its SHA-256 is another one.")
    return body


def map_blobs(
    work: Callable[[str, bytes], Result], store: Store, sizes: Mapping[str, int], *, threads: int
) -> Iterator[tuple[str, Result]]:
    """Yield blobs by SHA-256, in the order of ``sizes``, each with what is made of it.

    Args:
        work: gets SHA-256 and bytes of a blob.
        store: holds the blobs.
        sizes: their bytes by SHA-256, which say how many can be fetched ahead.
        threads: how many work; more of them fetch.

    Raises:
        LostBlobError: a blob is missing or damaged.
        StorageError: the store refused or did not answer.
    """
    half = AHEAD // 2  # for those that wait to be worked on, and for what is made
    blobs = bounded_map(
        lambda sha256: get_blob(store, sha256),
        sizes,
        threads=_FETCHING,
        held=lambda sha256, _: sizes[sha256],
        ahead=half,
    )
    made = bounded_map(
        lambda blob: work(*blob), blobs, threads=threads, held=lambda blob, _: sizes[blob[0]], ahead=half
    )
    return ((sha256, result) for (sha256, _), result in made)


def list_blobs(store: Store) -> dict[str, StoredObject]:
    """Return what the store's listing says of each blob, by SHA-256."""
    return {name.rsplit("/", 1)[1]: item for name, item in store.scan(BLOBS)}


def find_lost(store: Store, sha256s: Iterable[str]) -> set[str]:
    """Read blobs and return those that are missing or damaged."""
    return {sha256 for sha256, sound in bounded_map(lambda sha256: _is_sound(store, sha256), sha256s) if not sound}


def _is_sound(store: Store, sha256: str) -> bool:
    try:
        return store.sha256(blob_name(sha256)) == sha256
    except MissingObjectError:
        return False
