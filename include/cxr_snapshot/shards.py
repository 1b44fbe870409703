"""Writes the Parquet shards: small uniform pictures with label and manifest columns, a set of files for each split."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_snapshot.manifest import Copy
from cxr_snapshot.models import CLASSES, MANIFEST_SCHEMA, to_arrow
from cxr_snapshot.normalising import Pictures
from cxr_snapshot.splitting import TARGET
from cxr_snapshot.storage import Store

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


def write_shards(store: Store, manifest: pd.DataFrame, folder: str, previous: str | None = None) -> tuple[Copy, ...]:
    """Write the shards as objects under the run's folder, named by content; those that are there are not written again.

    The order in a shard is that of the images' SHA-256, so that someone who streams it meets the classes mixed. A split
    without images has no shard.

    Args:
        store: holds the blobs; receives their pictures, where it lacks them, and the shards.
        manifest: columns of ``MANIFEST_SCHEMA``.
        folder: the run's folder.
        previous: version of a snapshot with pictures made in the same way. They are taken out of its shards: to read a
            shard costs little more than to read one picture.

    Returns:
        What to copy into the snapshot.
    """
    present = store.list(f"{folder}/data/")
    pictures = Pictures(store, manifest["sha256"])
    copies = []
    for split in TARGET:
        rows = manifest[manifest["split"].eq(split)].sort_values("sha256")
        starts = range(0, len(rows), SHARD_ROWS)
        earlier, known = _shards_of(store, previous, split), dict[str, bytes]()
        for number, start in enumerate(starts):
            part = rows.iloc[start : start + SHARD_ROWS]
            last = part["sha256"].iloc[-1]
            while max(known, default="") < last and (shard := next(earlier, None)):  # both are in order of SHA-256
                known |= shard
            body = shard_bytes(part, list(pictures.load(part["sha256"], known)))
            known = {sha256: picture for sha256, picture in known.items() if sha256 > last}
            sha256 = hashlib.sha256(body).hexdigest()
            source = f"{folder}/data/{sha256}.parquet"
            if source not in present:
                store.put(source, body, sha256=sha256)
            target = f"data/{split}-{number:05d}-of-{len(starts):05d}.parquet"
            copies.append(Copy(source, target, sha256, len(body)))
    return tuple(copies)


def _shards_of(store: Store, version: str | None, split: str) -> Iterator[dict[str, bytes]]:
    """Yield the pictures of each shard of a split by the SHA-256 of their originals; nothing without a version."""
    for name in sorted(store.list(f"{version}/data/{split}-")) if version else ():
        shard = store.get_table(name)
        yield {sha256: image["bytes"] for sha256, image in zip(shard["sha256"], shard["image"], strict=True)}


def shard_bytes(rows: pd.DataFrame, pictures: Sequence[bytes]) -> bytes:
    """Return one shard with exactly ``SHARD_SCHEMA``; equal arguments give equal bytes.

    Args:
        rows: columns of ``MANIFEST_SCHEMA``.
        pictures: PNG bytes for each row.
    """
    table = to_arrow(rows, MANIFEST_SCHEMA)
    labels = pa.array([CLASSES.index(name) for name in rows["class"]], type=pa.int64())
    images = pa.array(
        [{"bytes": picture, "path": path} for picture, path in zip(pictures, rows["file"], strict=True)], type=_IMAGE
    )
    table = pa.Table.from_arrays([images, labels, *table.columns], schema=SHARD_SCHEMA)
    sink = io.BytesIO()
    # Statistics of the pictures would be whole pictures, and no two are equal: neither they nor a dictionary help.
    names = list(MANIFEST_SCHEMA.names)
    pq.write_table(
        table, sink, row_group_size=_GROUP_ROWS, compression="zstd", use_dictionary=names, write_statistics=names
    )
    return sink.getvalue()
