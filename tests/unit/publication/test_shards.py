from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.publication import shards
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.parts import Copy
from cxr_snapshot.publication.shards import pictures_in, shard_bytes, shard_without, write_shards
from cxr_snapshot.selection.manifest import build_manifest
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES, MANIFEST_COLUMNS, MANIFEST_SCHEMA
from support.ledgers import ledger, picture, row
from support.packs import pack

PNG = picture(0, "PNG")


def manifest(*splits: str) -> pd.DataFrame:
    rows = [row(number, CLASSES[number % 3], picture(number), split=split) for number, split in enumerate(splits)]
    return build_manifest(ledger(*rows))


def test_a_shard_has_picture_label_and_all_columns_of_the_manifest():
    rows = manifest("train", "train", "train")
    table = pq.read_table(io.BytesIO(shard_bytes(rows, pa.array([PNG] * 3))))
    assert table.column_names == ["image", "label", *MANIFEST_COLUMNS]
    assert table["image"].to_pylist() == [{"bytes": PNG, "path": file} for file in rows["file"]]
    assert [CLASSES[label] for label in table["label"].to_pylist()] == list(rows["class"])
    assert table["sha256"].to_pylist() == list(rows["sha256"])


def test_the_metadata_names_every_column_for_hugging_face():
    schema = pq.read_schema(io.BytesIO(shard_bytes(manifest("train"), pa.array([PNG]))))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["image"] == {"_type": "Image"}
    assert features["label"]["names"] == list(CLASSES)


def test_the_same_rows_give_the_same_bytes():
    assert shard_bytes(manifest("train", "test"), pa.array([PNG, PNG])) == shard_bytes(
        manifest("train", "test"), pa.array([PNG, PNG])
    )


def test_an_empty_split_has_no_shard_and_what_is_there_is_not_written_again(store: Store):
    rows = manifest("train", "test", "train", "train")
    pack(store, "_work/runs/a", {sha256: picture(number, "PNG") for number, sha256 in enumerate(rows["sha256"])})
    copies, _ = write_shards(store, Pictures(store, SMALL, "_work/runs/a"), rows, "_work/runs/a")
    assert [copy.target for copy in copies] == ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"]
    before = store.list("_work/runs/a/")
    assert write_shards(store, Pictures(store, SMALL, "_work/runs/a"), rows, "_work/runs/a") == (copies, {})
    assert store.list("_work/runs/a/") == before  # with the times of their last change
    for copy in copies:
        body = store.get(copy.source)
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (copy.sha256, copy.size)
    train = pq.read_table(io.BytesIO(store.get(copies[0].source)))
    assert train["sha256"].to_pylist() == sorted(rows.loc[rows["split"].eq("train"), "sha256"])


def test_a_large_split_is_cut_and_the_names_say_into_how_many(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 300)
    one = manifest("train")
    pack(store, "_work/runs/b", {one["sha256"][0]: PNG})
    many = pd.concat([one] * 301, ignore_index=True)
    copies, _ = write_shards(store, Pictures(store, SMALL, "_work/runs/b"), many, "_work/runs/b")
    assert [copy.target for copy in copies] == [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
    ]
    found = [pq.ParquetFile(io.BytesIO(store.get(copy.source))).metadata for copy in copies]
    assert [file.num_rows for file in found] == [300, 1]
    assert found[0].row_group(0).num_rows == 100


@pytest.mark.parametrize(("form", "rows"), [(Form(224), 10), (Form(512), 1), (Form(224, uniform=True), 10)])
def test_a_shard_of_larger_pictures_has_fewer(store: Store, monkeypatch: pytest.MonkeyPatch, form: Form, rows: int):
    monkeypatch.setattr(shards, "SHARD_ROWS", 10)
    images = manifest(*["train"] * 2)
    blank = form.make(Image.new("L", (99, 88), 7))
    pack(store, "_work/runs/a", dict.fromkeys(images["sha256"], blank), form)
    copies, _ = write_shards(store, Pictures(store, form, "_work/runs/a"), images, "_work/runs/a")
    assert len(copies) == -(-len(images) // rows)
    assert {row["image"]["bytes"] for copy in copies for row in read(store, copy.source)} == {blank}
    assert all(copy.size < 50_000 for copy in copies), "what PNG does not compress, the shard does"


def test_an_earlier_shard_without_the_column_serves_as_well(store: Store, monkeypatch: pytest.MonkeyPatch):
    rows = manifest("train", "train")
    schema = shards.SHARD_SCHEMA
    with monkeypatch.context() as before:
        before.setattr(shards, "SHARD_SCHEMA", schema.remove(schema.get_field_index("source_sha256")))
        field = MANIFEST_SCHEMA.get_field_index("source_sha256")
        before.setattr(shards, "MANIFEST_SCHEMA", MANIFEST_SCHEMA.remove(field))
        publish_shards(store, rows)
    [copy], _ = write_shards(store, Pictures(store, SMALL, "_work/runs/b"), rows, "_work/runs/b", "2026-11-22")
    assert {row["image"]["bytes"].decode() for row in read(store, copy.source)} == {
        f"made for {sha256}" for sha256 in rows["sha256"]
    }


def test_pictures_come_out_of_the_shards_of_an_earlier_snapshot(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 2)
    rows = manifest(*["train"] * 5, "test")
    publish_shards(store, rows.drop(index=[1, 4]))
    pack(store, "_work/runs/b", made_for(rows["sha256"][[1, 4]]))
    run, shown = "_work/runs/b", {*rows["sha256"][[0, 1, 5]], "0" * 64}
    copies, bodies = write_shards(store, Pictures(store, SMALL, run), rows, run, "2026-11-22", shown=shown)
    assert bodies == made_for(rows["sha256"][[0, 1, 5]])
    found = {row["sha256"]: row["image"]["bytes"].decode() for copy in copies for row in read(store, copy.source)}
    assert found == {sha256: f"made for {sha256}" for sha256 in rows["sha256"]}


def test_a_damaged_shard_is_not_used(store: Store, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    rows = manifest("train", "train")
    [copy] = publish_shards(store, rows)
    store.put(f"2026-11-22/{copy.target}", b"damaged")
    with pytest.raises(MissingObjectError):
        write_shards(store, Pictures(store, SMALL, "_work/runs/b"), rows, "_work/runs/b", "2026-11-22")
    pack(store, "_work/runs/b", made_for(rows["sha256"]))
    [again], _ = write_shards(store, Pictures(store, SMALL, "_work/runs/b"), rows, "_work/runs/b", "2026-11-22")
    assert again.sha256 == copy.sha256
    assert f"{copy.target} is not what SHA256SUMS says" in caplog.text


def publish_shards(store: Store, rows: pd.DataFrame) -> tuple[Copy, ...]:
    """Make a snapshot of nothing but shards."""
    pack(store, "_work/runs/a", made_for(rows["sha256"]))
    copies, _ = write_shards(store, Pictures(store, SMALL, "_work/runs/a"), rows, "_work/runs/a")
    sums = sums_bytes({copy.target: copy.sha256 for copy in copies})
    store.put(f"2026-11-22/{SUMS}", sums)
    store.put(f"2026-11-22/{SUCCESS}", hashlib.sha256(sums).hexdigest().encode() + b"\n")
    for copy in copies:
        store.copy(copy.source, f"2026-11-22/{copy.target}")
    return copies


def made_for(sha256s: Iterable[str]) -> dict[str, bytes]:
    """Return what stands for the pictures of blobs, by SHA-256."""
    return {sha256: f"made for {sha256}".encode() for sha256 in sha256s}


def read(store: Store, name: str) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(store.get(name))).to_pylist()


def test_a_shard_without_an_image_has_all_else_as_it_was():
    rows = manifest("train", "train", "train")
    body = shard_bytes(rows, pa.array([b"1", b"2", b"3"]))
    gone, *left = rows["source_sha256"]
    assert shard_without(body, {"0" * 64}) is None
    without = shard_without(body, {gone, "0" * 64})
    assert without is not None
    kept = rows[rows["source_sha256"].isin(left)]
    assert without == shard_bytes(kept, pa.array([b"2", b"3"])), "as if it had never been there"
    assert shard_without(without, {gone}) is None
    empty = shard_without(without, set(left))
    assert empty is not None
    assert pq.read_schema(io.BytesIO(empty)) == pq.read_schema(io.BytesIO(body))
    assert pictures_in(empty).num_rows == 0
    assert shard_without(empty, {gone}) is None
