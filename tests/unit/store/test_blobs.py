"""How much memory work on blobs takes."""

from __future__ import annotations

import hashlib
import sys

import pytest

from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.store.blobs import MAX_BLOB, Fetcher
from cxr_snapshot.store.objects import Store, blob_name


def test_a_blob_counts_as_large_until_it_is_there(store: Store) -> None:
    sha256 = hashlib.sha256(b"a blob").hexdigest()
    store.put(blob_name(sha256), b"a blob")
    blobs = Fetcher(store)
    assert blobs.held(sha256, None) == MAX_BLOB
    assert blobs.get(sha256) == b"a blob"
    assert blobs.held(sha256, None) == len(b"a blob")
    assert blobs.held(sha256, b"what was made of it") == sys.getsizeof(b"what was made of it")


def test_a_blob_that_is_lost_has_no_size(store: Store) -> None:
    blobs = Fetcher(store)
    with pytest.raises(LostBlobError, match="does not exist"):
        blobs.get("0" * 64)
    assert blobs.held("0" * 64, None) == MAX_BLOB
