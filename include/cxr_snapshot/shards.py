"""Writes the Parquet shards: small uniform pictures with label and manifest columns, a set of files for each split."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_snapshot.checksums import read_sums
from cxr_snapshot.manifest import Copy
from cxr_snapshot.models import CLASSES, MANIFEST_SCHEMA, to_arrow
from cxr_snapshot.normalising import load_normalised
from cxr_snapshot.splitting import TARGET
from cxr_snapshot.storage import Store

log = logging.getLogger(__name__)

SHARD_ROWS = 1000  # about 35 MB, so that one shard fits in memory
_GROUP_ROWS = 100  # what a reader that streams has to fetch at least

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _hugging_face_features() -> dict[str, dict[str, object]]:
    """Say what the columns are, in the words of Hugging Face ``datasets``, so that it shows images and class names."""
    features: dict[str, dict[str, object]] = {
        "image": {"_type": "Image"},
        "label": {"names": list(CLASSES), "_type": "ClassLabel"},
    }
    kinds = {pa.string(): "string", pa.int64(): "int64", pa.float64(): "float64"}
    return features | {field.name: {"dtype": kinds[field.type], "_type": "Value"} for field in MANIFEST_SCHEMA}


SHARD_SCHEMA = pa.schema(
    [("image", _IMAGE), ("label", pa.int64()), *MANIFEST_SCHEMA],
    metadata={"huggingface": json.dumps({"info": {"features": _hugging_face_features()}})},
)


def write_shards(store: Store, manifest: pd.DataFrame, folder: str, earlier: str | None = None) -> tuple[Copy, ...]:
    """Write the shards as objects under the run's folder, named by content; those that are there are not written again.

    The order in a shard is that of the images' SHA-256, so that someone who streams it meets the classes mixed. A split
    without images has no shard.

    Args:
        store: holds the normalised pictures; receives the shards.
        manifest: columns of ``MANIFEST_SCHEMA``.
        folder: the run's folder.
        earlier: version of a snapshot with pictures of the same recipe. They are taken out of its shards, which are few
            and large; the others are fetched one by one.

    Returns:
        What to copy into the snapshot.
    """
    present = store.list(f"{folder}/data/")
    sums = read_sums(store, earlier) if earlier else {}
    copies = []
    for split in TARGET:
        rows = manifest[manifest["split"].eq(split)].sort_values("sha256")
        parts = [rows.iloc[start : start + SHARD_ROWS] for start in range(0, len(rows), SHARD_ROWS)]
        shards = {name: sha256 for name, sha256 in sums.items() if name.startswith(f"data/{split}-")}
        pictures = _pictures(store, [list(part["sha256"]) for part in parts], _read_shards(store, earlier, shards))
        for number, part in enumerate(parts):
            body = shard_bytes(part, next(pictures))
            sha256 = hashlib.sha256(body).hexdigest()
            source = f"{folder}/data/{sha256}.parquet"
            if source not in present:
                store.put(source, body, sha256=sha256)
            target = f"data/{split}-{number:05d}-of-{len(parts):05d}.parquet"
            copies.append(Copy(source, target, sha256, len(body)))
    return tuple(copies)


def _pictures(
    store: Store, parts: Sequence[Sequence[str]], shards: Iterator[dict[str, bytes]]
) -> Iterator[list[bytes]]:
    """Yield the pictures of each part.

    Args:
        store: holds those that are in no shard.
        parts: SHA-256 of blobs, sorted over all parts.
        shards: pictures by SHA-256, sorted as well; so that no more are held than those of about one part.
    """
    held: dict[str, bytes] = {}
    reached = ""
    for sha256s in parts:
        while reached < sha256s[-1] and (shard := next(shards, None)):
            held |= shard
            reached = max(shard)
        missing = [sha256 for sha256 in sha256s if sha256 not in held]
        held |= zip(missing, load_normalised(store, missing), strict=True)
        yield [held[sha256] for sha256 in sha256s]
        held = {sha256: picture for sha256, picture in held.items() if sha256 > sha256s[-1]}


def _read_shards(store: Store, version: str | None, sums: Mapping[str, str]) -> Iterator[dict[str, bytes]]:
    """Yield the pictures of shards by the SHA-256 of their blobs; shards that are not what ``sums`` says are left out.

    A damaged picture must not get into the next snapshot, under a new and fitting checksum.
    """
    for name in sorted(sums):
        body = store.get(f"{version}/{name}")
        if hashlib.sha256(body).hexdigest() != sums[name]:
            log.warning("%s is not what SHA256SUMS says; its pictures are fetched one by one", f"{version}/{name}")
            continue
        table = pq.read_table(pa.BufferReader(body), columns=["image", "sha256"])
        pictures = pc.struct_field(table["image"], "bytes")
        yield dict(zip(table["sha256"].to_pylist(), pictures.to_pylist(), strict=True))


def shard_bytes(rows: pd.DataFrame, pictures: Sequence[bytes]) -> bytes:
    """Return one shard with exactly ``SHARD_SCHEMA``; equal arguments give equal bytes.

    Args:
        rows: columns of ``MANIFEST_SCHEMA``.
        pictures: PNG bytes for each row.
    """
    table = to_arrow(rows, MANIFEST_SCHEMA)
    labels = pa.array([CLASSES.index(name) for name in rows["class"]], type=pa.int64())
    images = pa.StructArray.from_arrays(
        [pa.array(pictures, pa.binary()), table["file"].combine_chunks()], fields=list(_IMAGE)
    )
    table = pa.Table.from_arrays([images, labels, *table.columns], schema=SHARD_SCHEMA)
    sink = io.BytesIO()
    # Statistics of the pictures would be whole pictures, and no two are equal: neither they nor a dictionary help.
    names = list(MANIFEST_SCHEMA.names)
    pq.write_table(
        table, sink, row_group_size=_GROUP_ROWS, compression="zstd", use_dictionary=names, write_statistics=names
    )
    return sink.getvalue()
