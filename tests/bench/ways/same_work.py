"""Make what a snapshot holds by the barest code, in two processes, from nothing each time.

    same_work.py ARCHIVE_URL KAGGLE_URL S3_URL BUCKET PREFIX

It downloads, unpacks and filters as the notebook does, decodes and hashes each image, leaves out copies, draws equally
many of each class, and uploads ``images/``, ``data.parquet`` with pictures of 224 pixels, ``manifest.csv`` and
``duplicates.csv``.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import imagehash
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from files import choose, fetch_covid, fetch_pneumonia
from PIL import Image, ImageOps

SIDE = 224  # pixels of a picture
NEAR = 28  # of 256 bits, in which the hashes of copies differ at most: as many as the pipeline takes for certain
THREADS = 16


def describe(label: str, path: Path) -> dict[str, Any]:
    """Return what the manifest says of an image, and its ``picture``; only its ``path`` if it cannot be decoded."""
    body = path.read_bytes()
    try:
        with Image.open(io.BytesIO(body)) as image:
            gray = ImageOps.exif_transpose(image).convert("L")
    except OSError:
        return {"path": path}
    sha256 = hashlib.sha256(body).hexdigest()
    facts = {
        "path": path,
        "file": f"images/{label}/{sha256[:16]}.{image.format.lower()}",
        "class": label,
        "sha256": sha256,
        "bytes": len(body),
        "format": image.format,
        "mode": image.mode,
        "width": image.width,
        "height": image.height,
        "pixel_sha256": hashlib.sha256(f"{gray.size}".encode() + gray.tobytes()).hexdigest(),
        "phash": str(imagehash.phash(gray, hash_size=16)),
    }
    gray.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    png = io.BytesIO()
    ImageOps.pad(gray, (SIDE, SIDE)).save(png, "PNG")
    return facts | {"picture": png.getvalue()}


def find_duplicates(images: pd.DataFrame) -> pd.DataFrame:
    """Compare all pairs; return ``place`` of each image that is a copy of an earlier one, and that of the first such.

    ``bits`` is how many of 256 differ in the hashes, ``exact`` whether the pixels are equal.
    """
    hashes = np.array([np.frombuffer(bytes.fromhex(phash), dtype=np.uint64) for phash in images["phash"]])
    pixels = images["pixel_sha256"].to_numpy()
    found = []
    for place in range(1, len(images)):
        bits = np.bitwise_count(hashes[:place] ^ hashes[place]).sum(axis=1)
        if (near := np.flatnonzero(bits <= NEAR)).size:
            found.append((place, near[0], bits[near[0]], pixels[near[0]] == pixels[place]))
    return pd.DataFrame(found, columns=["place", "copy_of", "bits", "exact"])


def draw(images: pd.DataFrame) -> pd.DataFrame:
    """Return equally many images of each class, sorted by file."""
    size = images["class"].value_counts().min()
    return images.groupby("class").sample(size, random_state=0).sort_values("file")


def to_parquet(images: pd.DataFrame) -> bytes:
    """Return pictures, labels as numbers, and the manifest's columns."""
    pictures = [
        {"bytes": picture, "path": file} for picture, file in zip(images["picture"], images["file"], strict=True)
    ]
    table = pa.Table.from_pandas(images.drop(columns="picture"), preserve_index=False)
    table = table.append_column("label", pa.array(images["class"].astype("category").cat.codes))
    sink = io.BytesIO()
    pq.write_table(table.append_column("image", pa.array(pictures)), sink, row_group_size=100)
    return sink.getvalue()


def main(archive_url: str, kaggle_url: str, s3_url: str, bucket: str, prefix: str) -> None:
    """Do all of it."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("fork").Pool(2) as pool:
        work = Path(folder)
        covid = pool.apply_async(fetch_covid, [archive_url, work])
        pneumonia = pool.apply_async(fetch_pneumonia, [kaggle_url, work])
        files = choose(covid.get(), pneumonia.get())
        listed = [(label, path) for label, paths in files.items() for path in paths]
        images = pd.DataFrame(pool.starmap(describe, listed, chunksize=8)).dropna(ignore_index=True)
        duplicates = find_duplicates(images)
        chosen = draw(images.drop(index=duplicates["place"]))

        config = Config(max_pool_connections=THREADS, request_checksum_calculation="when_required")
        client = boto3.client("s3", endpoint_url=s3_url, config=config)

        def put(name: str, body: bytes) -> None:
            client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda file, path: put(file, path.read_bytes()), chosen["file"], chosen["path"]))
        names = images["path"].map(lambda path: str(path.relative_to(work)))
        duplicates = duplicates.assign(**{name: duplicates[name].map(names) for name in ("place", "copy_of")})
        chosen = chosen.assign(path=names)
        put("data.parquet", to_parquet(chosen))
        put("duplicates.csv", duplicates.rename(columns={"place": "path"}).to_csv(index=False).encode())
        put("manifest.csv", chosen.drop(columns="picture").to_csv(index=False).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
