"""The ways that the benchmark ``compare`` puts beside the pipeline."""

from __future__ import annotations

import hashlib
import io
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import imagehash
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from bench import compare
from cxr_snapshot.tables import CLASSES
from support.bench import Spent, Upstream
from support.stores import new_store, read_csv
from upstream_simulator.server import UpstreamSimulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from cxr_snapshot.store.objects import Store

STEP, DAY = "step-5", "2026-11-23"
NEAR = 28  # bits of 256


def test_the_pipeline_is_a_multiple_of_each_other_way() -> None:
    ways = {"pipeline": 30.0, "same-work": 20.0, "notebook": 10.0, "img2dataset": 15.0, "img2dataset and upload": 60.0}
    spent = {f"{way}, first": Spent(wall, 1) for way, wall in ways.items()}
    spent |= {f"{way}, refresh": Spent(10 if way == "pipeline" else wall, 1) for way, wall in ways.items()}
    assert compare.ratios(spent) == [
        "| same-work | 1.50 | 1.0 | 0.50 | 0.5 |",
        "| notebook | 3.00 | 1.5 | 1.00 | 0.5 |",
        "| img2dataset | 2.00 |  | 0.67 | 0.5 |",
        "| img2dataset and upload | 0.50 |  | 0.17 | 0.5 |",
    ]


@pytest.fixture(scope="module")
def upstream(small_sample: Path) -> Upstream:
    return Upstream("small", small_sample, STEP, STEP)


@pytest.fixture(scope="module")
def same_work(
    upstream: Upstream, s3_client: S3Client, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    """What the script left in the store that does the same work as the pipeline."""
    store = new_store(s3_client, DAY)
    with UpstreamSimulator(upstream.github_dir, upstream.kaggle_dir) as simulator:
        bench = compare.Bench(upstream, simulator, "", s3_endpoint, tmp_path_factory.mktemp("same-work"))
        bench.script("same-work", STEP, DAY, store.bucket)
    return store


@pytest.mark.long
def test_the_same_work_uploads_the_images_that_its_manifest_names(same_work: Store) -> None:
    manifest = read_csv(same_work, "manifest.csv")
    sizes = manifest["class"].value_counts()
    assert set(sizes.index) == set(CLASSES)
    assert sizes.nunique() == 1
    assert sizes.iloc[0] >= 5
    assert set(same_work.list("images/")) == set(manifest["file"])
    for row in manifest.rename(columns={"class": "label"}).itertuples():
        body = same_work.get(row.file)
        with Image.open(io.BytesIO(body)) as image:
            assert (row.format, row.mode) == (image.format, image.mode)
            assert (int(row.width), int(row.height)) == image.size
        assert (row.sha256, int(row.bytes)) == (hashlib.sha256(body).hexdigest(), len(body))
        assert row.file.startswith(f"images/{row.label}/")


@pytest.mark.long
def test_the_same_work_publishes_no_copies(same_work: Store) -> None:
    manifest, duplicates = read_csv(same_work, "manifest.csv"), read_csv(same_work, "duplicates.csv")
    hashes = [imagehash.hex_to_hash(phash) for phash in manifest["phash"]]
    assert min(one - other for one, other in combinations(hashes, 2)) > NEAR
    assert manifest["pixel_sha256"].is_unique
    assert not set(duplicates["path"]) & set(manifest["path"])
    assert set(duplicates["exact"]) == {"True", "False"}  # the sample has files that were saved again, and equal ones
    assert duplicates["bits"].astype(int).between(0, NEAR).all()


@pytest.mark.long
def test_the_same_work_makes_pictures_for_the_rows_of_its_manifest(same_work: Store) -> None:
    rows = pq.read_table(io.BytesIO(same_work.get("data.parquet"))).to_pandas()
    manifest = pd.read_csv(io.BytesIO(same_work.get("manifest.csv")))
    pd.testing.assert_frame_equal(rows[list(manifest)], manifest, check_dtype=False)
    assert [CLASSES[label] for label in rows["label"]] == list(manifest["class"])
    for row in rows.itertuples():
        assert row.image["path"] == row.file
        with Image.open(io.BytesIO(row.image["bytes"])) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (224, 224))
            with Image.open(io.BytesIO(same_work.get(row.file))) as original:
                padded = ImageOps.pad(original.convert("L"), picture.size)
            assert imagehash.phash(picture) - imagehash.phash(padded) <= 2  # of 64 bits
