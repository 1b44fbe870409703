"""What consumers are promised: each test loads a published snapshot with a tool as people use it.

All tools are the real ones, in an environment of their own; but torchvision is Debian's, since PyPI's takes gigabytes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from cxr_snapshot.catalog.download import download
from cxr_snapshot.publication.draft import build_draft
from cxr_snapshot.publication.protocol import publish
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES, MANIFEST_COLUMNS
from support.ledgers import FACTS, REPORT, parted, small_ledger

from .conftest import Published, RunTool

pytestmark = pytest.mark.long


def classes_by_file(manifest: pd.DataFrame) -> dict[str, str]:
    return dict(zip(manifest["file"], manifest["class"], strict=True))


def test_aws_s3_sync_and_sha256sum(published: Published, folder: Path):
    stored = {name.split("/", 1)[1] for name in published.store.list("2026-11-22/")}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == stored
    program = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]
    done = subprocess.run([*program, "--check", "SHA256SUMS"], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(stored - {"SHA256SUMS", "_SUCCESS"})
    assert all(line.endswith(": OK") for line in done.stdout.splitlines())


def test_aws_s3_sync_of_a_later_snapshot_fetches_only_what_is_new(
    published: Published, folder: Path, tool: RunTool, tmp_path: Path
):
    earlier, copy = published.uri.replace("2026-11-22", "2026-11-21"), tmp_path / "copy"
    tool("aws", "s3", "sync", "--no-progress", earlier, copy)
    there = {path.name for path in (copy / "images").rglob("*.*")}
    images = ["aws", "s3", "sync", "--no-progress", f"{published.uri}/images", copy / "images"]
    fetched = tool(*images, "--delete", "--size-only")
    others = ["--delete", "--exact-timestamps", "--exclude", "images/*"]
    tool("aws", "s3", "sync", "--no-progress", published.uri, copy, *others)
    subprocess.run(["diff", "-r", copy, folder], check=True)
    downloaded = [line for line in fetched.splitlines() if line.startswith("download:")]
    assert 0 < len(downloaded) < len(published.manifest)
    assert not any(name in line for name in there for line in downloaded)


def test_sha256sum_notices_a_damaged_copy(folder: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "manifest.csv").write_bytes((copy / "manifest.csv").read_bytes()[:-1] + b"x")
    program = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]
    done = subprocess.run([*program, "--check", "SHA256SUMS"], cwd=copy, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "manifest.csv: FAILED" in done.stdout


def test_hugging_face_parquet_has_images_class_names_and_splits(published: Published, folder: Path, tool: RunTool):
    found = tool("huggingface_parquet.py", folder)
    assert found["card"] == {
        "license": "other",
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
    }
    assert found["names"] == list(CLASSES)
    assert found["columns"] == ["image", "label", *MANIFEST_COLUMNS]
    assert all(row["picture"] == ["PNG", "L", 224, 224] for row in found["rows"])
    assert all(row["loaded_as"] == row["split"] for row in found["rows"])
    assert {row["file"]: row["label"] for row in found["rows"]} == classes_by_file(published.manifest)
    splits = dict(zip(published.manifest["file"], published.manifest["split"], strict=True))
    assert {row["file"]: row["split"] for row in found["rows"]} == splits
    assert len(found["rows"]) == len(published.manifest)
    assert found["by_call"] == published.manifest["split"].value_counts().to_dict()
    assert found["features_by_call"]


def test_hugging_face_imagefolder_takes_the_folders_for_classes(published: Published, folder: Path, tool: RunTool):
    found = tool("huggingface_imagefolder.py", folder)
    assert found["names"] == list(CLASSES)
    assert found["labels"] == classes_by_file(published.manifest)
    assert found["rows"] == len(published.manifest)


def test_hugging_face_reads_no_split_out_of_names_of_the_upstream(store: Store, tool: RunTool, tmp_path: Path):
    names = ["train-station-3", "rapid-test-1", "dev", "a_val_b", "evaluation", "x.validation.y", "metadata"]
    ledger = small_ledger(store)
    ledger["path"] = [f"{Path(path).parent}/{name}.jpg" for path, name in zip(ledger["path"], names, strict=True)]
    draft = build_draft(store, *parted(ledger), FACTS, previous=None, folder="_work/runs/one", report=REPORT)
    publish(store, draft, "2026-11-22", "2026-11-22T03:00:00+00:00", None)
    download(store, "2026-11-22", tmp_path / "covid-cxr")
    manifest = draft.manifest
    originals = tool("huggingface_imagefolder.py", tmp_path / "covid-cxr")
    assert originals["labels"] == classes_by_file(manifest)
    assert originals["rows"] == len(manifest) == 6
    pictures = tool("huggingface_parquet.py", tmp_path / "covid-cxr")
    assert {row["file"]: row["loaded_as"] for row in pictures["rows"]} == dict(
        zip(manifest["file"], manifest["split"], strict=True)
    )


def test_torchvision_image_folder(published: Published, folder: Path, tool: RunTool, torchvision: str):
    found = tool("torchvision_folder.py", folder, python=torchvision)
    assert found["classes"] == list(CLASSES)
    assert found["labels"] == classes_by_file(published.manifest)
    assert found["modes"] == ["RGB"]
    assert [path.name for path in (folder / "images").iterdir() if path.is_file()] == []


def test_keras_image_dataset_from_directory(published: Published, folder: Path, tool: RunTool):
    found = tool("keras_directory.py", folder)
    assert found["names"] == list(CLASSES)
    assert found["yielded"] == [[[64, 64, 1], name] for name in CLASSES]
    seen = published.manifest[published.manifest["format"].ne("WEBP")]  # Keras does not know WebP; the card says so
    assert sorted(found["files"]) == sorted(seen["file"])
    unseen = len(published.manifest) - len(seen)
    assert (f"Keras passes over {unseen} original files" in (folder / "README.md").read_text()) == (unseen > 0)


def test_pandas_and_pyarrow_read_from_s3(published: Published, tool: RunTool):
    found = tool("pandas_s3.py", published.uri)
    assert found["columns"] == list(MANIFEST_COLUMNS)
    assert found["files"] == list(published.manifest["file"])
    assert found["integers"] == "int64"
    assert found["csv_equals_parquet"]
    assert found["classes"] == published.snapshot["counts"]
    labels = {row["file"]: CLASSES[row["label"]] for row in found["shard_rows"]}
    assert labels == classes_by_file(published.manifest)


def test_csv_tables_read_equal_everywhere(folder: Path, tool: RunTool, tmp_path: Path):
    odd = ["a,b", 'a"b', "a\rb", "a\r\nb", "a\nb", "\r", '"', "'", " a ", "a;b\tc|d", "caf\u00e9 \u7247", "#", "\\", ""]
    hard = pd.DataFrame({"number": range(10 * len(odd)), "text": odd * 10, "other": odd[::-1] * 10})
    (tmp_path / "hard.csv").write_bytes(csv_bytes(hard))
    published = [folder / name for name in ("manifest.csv", "excluded.csv", "ATTRIBUTION.csv")]
    tables = tool("csv_tables.py", *published, tmp_path / "hard.csv")
    for table in tables:
        assert table["csv"] == table["pandas"] == table["pyarrow"] == table["duckdb"]
        assert table["untold"] == [[len(table["csv"]), table["header"]]] * 3
    assert [row[1:] for row in tables[-1]["csv"]] == hard[["text", "other"]].to_numpy().tolist()


def test_duckdb_reads_the_shards(published: Published, folder: Path, tool: RunTool):
    found = tool("duckdb_query.py", folder)
    expected = [
        [split, name, CLASSES.index(name), count]
        for (split, name), count in sorted(published.manifest.groupby(["split", "class"]).size().items())
    ]
    assert found["counts"] == expected
    assert found["png"] == [["89504E47"]]
    assert found["joined"] == len(published.manifest)


def test_mlcroissant_validates_and_reads_the_records(published: Published, folder: Path, tool: RunTool):
    found = tool("croissant_records.py", folder)
    assert (found["errors"], found["warnings"]) == ([], [])
    assert "WARNING" not in found["logged"]
    assert found["version"] == "http://mlcommons.org/croissant/1.1"
    assert len(found["splits"]) == len(published.snapshot["splits"])
    assert found["biases"][1] == published.snapshot["audit"]["headline"]
    assert len(found["manifest"]) == len(published.manifest)
    for record, row in zip(found["manifest"], published.manifest.to_dict("records"), strict=True):
        for column in ("file", "class", "split", "sha256", "bytes", "width", "patient_id"):
            assert record[column] == row[column]
        for column in ("age", "survival", "offset_days", "temperature", "date"):
            assert record[column] == (None if pd.isna(row[column]) else row[column])
    assert {file: CLASSES[label] for file, label, _ in found["examples"]} == classes_by_file(published.manifest)
    assert {tuple(size) for _, _, size in found["examples"]} == {(224, 224)}
