"""Packs: the pictures that the audit of a run made, in few large objects in the run's folder, for its shards.

Kept one by one they would cost two requests each. Later nights take them out of the shards, so the packs go with the
run's folder. A lost or damaged one costs no more than to make its pictures again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed, put_sealed

PACKS = "/pictures/"  # in the names of all packs

# Smaller packs are read ahead, as the answer takes longer than the bytes. Larger ones are not: other threads keep some
# of the memory into which they read, 130 MB of it with 10,000 images.
_SMALL = 1024**2  # bytes
_THREADS = 4
_SCHEMA = pa.schema([("sha256", pa.string()), ("picture", pa.binary())])  # sha256: of the blob


def pack_name(folder: str, form: Form, sha256: str) -> str:
    """Return the name of the pack in which the picture of a blob is, or would be.

    All blobs with the same first digit share one, with some 350 pictures at most; larger pictures, the same two digits.
    """
    digits = 1 if form.side <= SMALL.side else 2
    return f"{folder}{PACKS}{form.recipe}/{sha256[:digits]}.parquet"


def put_pack(store: Store, name: str, form: Form, pictures: Mapping[str, bytes]) -> None:
    """Write a pack.

    Args:
        store: where to.
        name: from :func:`pack_name`, or another.
        form: of the pictures.
        pictures: by the SHA-256 of their blobs.
    """
    sink = io.BytesIO()
    table = pa.table([list(pictures), list(pictures.values())], schema=_SCHEMA)
    compression = "zstd" if form.uniform else "none"  # most PNG is compressed
    pq.write_table(table, sink, compression=compression, use_dictionary=False, write_statistics=False)
    put_sealed(store, name, sink.getvalue())


def read_pack(store: Store, name: str) -> dict[str, bytes]:
    """Return the pictures of a pack by the SHA-256 of their blobs; of one that is lost or damaged, none."""
    body, _ = find_sealed(store, name)
    if body is None:
        return {}
    table = pq.read_table(pa.BufferReader(body))
    return dict(zip(table["sha256"].to_pylist(), table["picture"].to_pylist(), strict=True))


def take_packed(store: Store, folder: str, form: Form, sha256s: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield blobs with their pictures, ``None`` for those that are in no pack.

    Args:
        store: holds the packs.
        folder: of the run.
        form: of the pictures.
        sha256s: of the blobs; sorted, so that each pack is read once, and no two large ones are held.
    """
    present = store.list(f"{folder}{PACKS}{form.recipe}/") if sha256s else {}
    groups = groupby(sha256s, key=lambda sha256: pack_name(folder, form, sha256))
    packs = [(name, list(wanted)) for name, wanted in groups]
    small = [name for name, _ in packs if name in present and present[name].size < _SMALL]
    ahead = bounded_map(lambda name: read_pack(store, name), small, threads=_THREADS)
    for name, wanted in packs:
        if name in small:
            _, pictures = next(ahead)
        else:
            pictures = read_pack(store, name) if name in present else {}
        for sha256 in wanted:
            yield sha256, pictures.get(sha256)
