"""Writes the Parquet shards: small uniform pictures with label and manifest columns, a set of files for each split."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from itertools import islice

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_snapshot import shown
from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.progress import Progress
from cxr_snapshot.publication.checksums import SUMS, read_sums
from cxr_snapshot.publication.marks import current_sums
from cxr_snapshot.publication.parts import Copy
from cxr_snapshot.selection.splits import TARGET
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES, MANIFEST_SCHEMA, to_arrow

log = shown.logger(__name__)

SHARD_ROWS = 1000  # with the smallest pictures 35 to 50 MB, so that one shard fits in memory; with larger ones fewer
_CODECS = {"ZSTD": "zstd", "UNCOMPRESSED": "none"}  # what Parquet calls the compressions that are used here
_GROUP_ROWS = 100  # what a reader that streams has to fetch at least

_PICTURES = pa.schema([("sha256", pa.string()), ("picture", pa.binary())])
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


def write_shards(
    store: Store,
    others: Pictures,
    manifest: pd.DataFrame,
    folder: str,
    earlier: str | None = None,
    *,
    shown: Container[str] = (),
) -> tuple[tuple[Copy, ...], dict[str, bytes]]:
    """Write the shards as objects under the run's folder, named by content; those that are there are not written again.

    The order in a shard is that of the SHA-256 of the upstream's files, so that someone who streams it meets the
    classes mixed. A split without images has no shard.

    Args:
        store: holds the earlier snapshot; receives the shards.
        others: gives the pictures that are in no shard of the earlier snapshot.
        manifest: columns of ``MANIFEST_SCHEMA``.
        folder: the run's folder.
        earlier: version of a snapshot with pictures of the same form. They are taken out of its shards of the same
            split.
        shown: SHA-256 of upstream's files whose pictures are wanted for more.

    Returns:
        What to copy into the snapshot; and the pictures of ``shown`` that are in it.
    """
    present = store.list(f"{folder}/data/")
    sums = current_sums(store, earlier, read_sums(store, earlier, "data/")) if earlier else {}
    copies, found = [], dict[str, bytes]()
    progress = Progress("pictures put into shards", len(manifest))
    most = max(SHARD_ROWS * SMALL.side**2 // others.form.side**2, 1)
    for split in TARGET:
        sha256s = manifest.loc[manifest["split"].eq(split), "source_sha256"].sort_values()
        parts = [sha256s.iloc[start : start + most] for start in range(0, len(sha256s), most)]
        shards = _read_shards(store, earlier, {name: sums[name] for name in sums if name.startswith(f"data/{split}-")})
        made = _pictures(parts, shards, others, progress)
        for number, part in enumerate(parts):
            pictures = next(made)
            body = shard_bytes(manifest.loc[part.index], pictures, compressed=not others.form.uniform)
            source, sha256, size = _write_shard(store, body, folder, present)
            copies.append(Copy(source, f"data/{split}-{number:05d}-of-{len(parts):05d}.parquet", sha256, size))
            found |= {each: pictures[place].as_py() for place, each in enumerate(part) if each in shown}
            del pictures, body  # before the next ones are made
    return tuple(copies), found


def _write_shard(store: Store, body: bytes, folder: str, present: Container[str]) -> tuple[str, str, int]:
    """Write one shard unless it is there and sound, and return its name in the store, its SHA-256 and its size."""
    sha256 = hashlib.sha256(body).hexdigest()
    name = f"{folder}/data/{sha256}.parquet"
    if name not in present or store.sha256(name) != sha256:
        store.put(name, body, sha256=sha256)
    return name, sha256, len(body)


def _pictures(
    parts: Sequence[pd.Series], shards: Iterator[pa.Table], others: Pictures, progress: Progress
) -> Iterator[pa.BinaryArray]:
    """Yield the pictures of each part.

    Args:
        parts: SHA-256 of blobs, sorted over all parts.
        shards: columns of ``_PICTURES``, sorted over all of them as well; so that no more are held than those of about
            two parts.
        others: gives those that are in no shard.
        progress: counts the pictures.
    """
    held = _PICTURES.empty_table()
    reached = ""
    for part in parts:
        wanted = pa.array(part, type=pa.string())
        while reached < wanted[-1].as_py() and (shard := next(shards, None)) is not None:
            held = pa.concat_tables([held, shard])
            reached = max(held["sha256"].to_pylist(), default=reached)
        missing = pc.filter(wanted, pc.is_null(pc.index_in(wanted, held["sha256"]))).to_pylist()
        progress.advance(len(wanted) - len(missing))
        made, loading = [], others.load(missing)
        while batch := list(islice(loading, _GROUP_ROWS)):  # in pieces, so that all are there once
            made.append(pa.array(batch, type=pa.binary()))
            progress.advance(len(batch))
        found = pa.table([missing, pa.chunked_array(made, type=pa.binary())], schema=_PICTURES)
        held = pa.concat_tables([held, found])
        del made, found
        pictures = held["picture"].take(pc.index_in(wanted, held["sha256"])).combine_chunks()
        held = held.filter(pc.greater(held["sha256"], wanted[-1]))
        yield pictures
        del pictures


def _read_shards(store: Store, version: str | None, sums: Mapping[str, str]) -> Iterator[pa.Table]:
    """Yield the pictures of each shard, columns of ``_PICTURES``; none of a shard that is not what ``sums`` says.

    A damaged picture must not get into the next snapshot, where it would have a new and fitting checksum.
    """
    for name in sorted(sums):
        yield _read_shard(store, f"{version}/{name}", sums[name])


def _read_shard(store: Store, name: str, sha256: str) -> pa.Table:
    try:
        body = store.get(name)
    except MissingObjectError:
        body = b""
    if hashlib.sha256(body).hexdigest() != sha256:
        log.warning("%s is not what %s says; its pictures are made again", store.uri(name), SUMS)
        return _PICTURES.empty_table()
    return pictures_in(body)


def pictures_in(body: bytes) -> pa.Table:
    """Return the pictures of a shard, columns of ``_PICTURES``: ``sha256`` of the upstream's file and ``picture``."""
    file = pq.ParquetFile(pa.BufferReader(body))
    source = _source_column(file)
    found = file.read(columns=[source, "image.bytes"])
    return pa.table([found[source], pc.struct_field(found["image"], "bytes")], schema=_PICTURES)


def shard_without(body: bytes, sha256s: Collection[str]) -> bytes | None:
    """Return a shard without the images of some upstreams' files, ``None`` where it holds none of them.

    Args:
        body: the shard.
        sha256s: of the upstreams' files.
    """
    file = pq.ParquetFile(pa.BufferReader(body))
    source, gone = _source_column(file), pa.array(sorted(sha256s), type=pa.string())
    if not pc.any(pc.is_in(file.read(columns=[source])[source], value_set=gone)).as_py():
        return None
    parts = [file.metadata.row_group(0).column(number) for number in range(file.metadata.num_columns)]
    names = [part.path_in_schema for part in parts]
    table = file.read()
    kept = table.filter(pc.invert(pc.is_in(table[source], value_set=gone)))
    sink = io.BytesIO()
    plain = [name for name in names if not name.startswith("image.") and name != "label"]
    compression = {part.path_in_schema: _CODECS[part.compression] for part in parts}
    options = {"compression": compression, "use_dictionary": plain, "write_statistics": plain}
    pq.write_table(kept, sink, row_group_size=_GROUP_ROWS, **options)
    return sink.getvalue()


def _source_column(file: pq.ParquetFile) -> str:
    """Return the column with the SHA-256 of the upstream's file."""
    return "source_sha256" if "source_sha256" in file.schema_arrow.names else "sha256"  # of an earlier release


def shard_bytes(rows: pd.DataFrame, pictures: pa.BinaryArray, *, compressed: bool = True) -> bytes:
    """Return one shard with exactly ``SHARD_SCHEMA``; equal arguments give equal bytes.

    Args:
        rows: columns of ``MANIFEST_SCHEMA``.
        pictures: PNG bytes for each row.
        compressed: whether these are; if not, the shard compresses them.
    """
    facts = to_arrow(rows, MANIFEST_SCHEMA)
    labels = pa.array([CLASSES.index(name) for name in rows["class"]], type=pa.int64())
    sink = io.BytesIO()
    # Statistics of the pictures would be whole pictures, no two are equal, and most PNG is compressed: no use there.
    names = list(MANIFEST_SCHEMA.names)
    compression = dict.fromkeys([*names, "label", "image.path"], "zstd")
    compression["image.bytes"] = "none" if compressed else "zstd"
    options = {"compression": compression, "use_dictionary": names, "write_statistics": names}
    with pq.ParquetWriter(sink, SHARD_SCHEMA, **options) as writer:
        for start in range(0, len(rows), _GROUP_ROWS):  # group by group, so that no second copy of all is made
            group = slice(start, start + _GROUP_ROWS)
            columns = [column.combine_chunks() for column in facts[group].columns]
            images = pa.StructArray.from_arrays(
                [pictures[group], columns[facts.column_names.index("file")]],
                fields=list(_IMAGE),
            )
            writer.write_table(pa.Table.from_arrays([images, labels[group], *columns], schema=SHARD_SCHEMA))
    return sink.getvalue()
