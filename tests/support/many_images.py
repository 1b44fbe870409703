"""A snapshot with as many images as wanted, as far as the pages read it; nothing is decoded to make it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa

from cxr_snapshot.publication.checksums import SUCCESS
from cxr_snapshot.publication.shards import SHARD_ROWS, shard_bytes
from cxr_snapshot.store.encoding import csv_bytes, parquet_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES, EXCLUDED_COLUMNS, MANIFEST_SCHEMA, conform

SPLITS = ("train", "train", "train", "train", "train", "train", "train", "train", "validation", "test")
VIEWS = ("PA", "AP", "AP Supine", None)
RARE = "AP Erect"  # the view of one image in a thousand


def small_picture(sha256: str) -> bytes:
    """Return bytes in place of a picture; each image has others."""
    return sha256.encode() * 4


def many_rows(count: int) -> pd.DataFrame:
    """Return a manifest of ``count`` images, sorted by file."""
    numbers = np.arange(count)
    sha256s = [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]
    kinds = [CLASSES[number % 3] for number in numbers]
    sources = ["covid" if kind == "COVID" else "pneumonia" for kind in kinds]
    files = [f"images/{k}/{s}-{h[:16]}.jpg" for k, s, h in zip(kinds, sources, sha256s, strict=True)]
    rows = pd.DataFrame(
        {
            "file": files,
            "class": kinds,
            "source": sources,
            "revision": "1" * 40,
            "path": [f"images/{number:06}.jpg" for number in numbers],
            "patient_id": [f"{source}:{number // 6}" for source, number in zip(sources, numbers, strict=True)],
            "finding": kinds,
            "view": [RARE if number % 1000 == 999 else VIEWS[number % 4] for number in numbers],
            "sha256": sha256s,
            "source_sha256": sha256s,
            "bytes": 1000,
            "format": "JPEG",
            "mode": "L",
            "width": 1000,
            "height": 900,
            "pixel_sha256": [hashlib.sha256(text.encode()).hexdigest() for text in sha256s],
            "phash": [hashlib.sha256(text[::-1].encode()).hexdigest() for text in sha256s],
            "group": [hashlib.sha256(f"{number % 3} {number // 6}".encode()).hexdigest() for number in numbers],
            "split": [SPLITS[number // 6 % 10] for number in numbers],
        }
    )
    return conform(rows.sort_values("file", ignore_index=True), MANIFEST_SCHEMA)


def put_many(
    store: Store, version: str, count: int, left_out: int, picture: Callable[[str], bytes] = small_picture
) -> pd.DataFrame:
    """Write what the pages read of a snapshot, but for the files of the images; return its manifest.

    Args:
        store: where to.
        version: its name.
        count: of images.
        left_out: records of ``excluded.csv``.
        picture: returns the bytes that stand for the picture of an image, from the SHA-256 of the upstream's file.
    """
    rows = many_rows(count)
    for split in sorted(set(SPLITS)):
        part = rows[rows["split"].eq(split)].sort_values("source_sha256")
        starts = range(0, len(part), SHARD_ROWS)
        for number, start in enumerate(starts):
            inside = part.iloc[start : start + SHARD_ROWS]
            pictures = pa.array([picture(sha256) for sha256 in inside["source_sha256"]], pa.binary())
            name = f"{version}/data/{split}-{number:05d}-of-{len(starts):05d}.parquet"
            store.put(name, shard_bytes(inside, pictures))
    store.put(f"{version}/manifest.parquet", parquet_bytes(rows, MANIFEST_SCHEMA))
    store.put(f"{version}/excluded.csv", csv_bytes(_left_out(left_out)))
    store.put_json(f"{version}/snapshot.json", {"version": version})
    store.put(f"{version}/{SUCCESS}", b"")
    return rows


def _left_out(count: int) -> pd.DataFrame:
    """Return records that were left out; one in ten is a copy of an image."""
    numbers = range(count)
    copy = "copy of covid:images/{:06}.jpg (COVID): 3 of 256 bits apart, pictures correlate by 0.99"
    rows = {
        "source": "pneumonia",
        "path": [f"chest_xray/train/NORMAL/IM-{number:06}.jpeg" for number in numbers],
        "class": "NORMAL",
        "rule": ["near_duplicate_image" if number % 10 == 0 else "not_drawn" for number in numbers],
        "reason": "Sound, but not drawn when the classes were cut to equal size.",
        "evidence": [copy.format(number * 3) if number % 10 == 0 else "100 of 200 were drawn" for number in numbers],
        "finding": "NORMAL",
        "sha256": [hashlib.sha256(f"out {number}".encode()).hexdigest() for number in numbers],
        "revision": "2",
    }
    return pd.DataFrame({name: rows.get(name) for name in EXCLUDED_COLUMNS})
