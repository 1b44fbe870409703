"""A snapshot whose files all have one form: no file tells by its facts where it is from."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cxr_snapshot.catalog.download import download
from cxr_snapshot.catalog.retention import plan_prune
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.uniform import uniform_name
from cxr_snapshot.publication import protocol, readings
from cxr_snapshot.publication.archive import archive_name
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.store.blobs import get_blob
from cxr_snapshot.store.objects import Store, StoredObject, blob_name
from support.damage import DAMAGES
from support.stages import EARLIER, balanced_plan, run_stages
from support.stores import copied_bucket, new_store, read_csv
from support.upstreams import ServedUpstream, served_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FORM = Form(512, uniform=True)
VERSION, NEXT = EARLIER[1][:10], "2026-11-23"
SETTINGS = {"files": "uniform", "archive": "zip", "max_per_class": None}
STEP, NEXT_STEP = 3, 5  # enough images for the probes of the audit


@pytest.fixture(scope="module")
def upstream(small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedUpstream]:
    with served_sample(small_sample, tmp_path_factory.mktemp("upstream")) as served:
        yield served


@pytest.fixture(scope="module")
def published(upstream: ServedUpstream, s3_client: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a snapshot of uniform files; copy it before changing it."""
    store = new_store(s3_client)
    upstream.move_to_step(STEP)
    pipeline = upstream.pipeline(store, tmp_path_factory.mktemp("scratch"), **SETTINGS)
    assert run_stages(pipeline, *EARLIER).snapshot is not None
    return store


def test_whoever_walks_over_the_files_sees_one_form(published: Store, tmp_path: Path) -> None:
    download(published, VERSION, tmp_path / "copy")
    manifest = pd.read_csv(tmp_path / "copy/manifest.csv").set_index("file")
    seen = set()
    for path in sorted((tmp_path / "copy/images").glob("*/*")):
        body, row = path.read_bytes(), manifest.loc[path.relative_to(tmp_path / "copy").as_posix()]
        with Image.open(path) as image:
            facts = {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
            seen.add((len(body), *facts.values(), path.suffix, *image.info))
        assert (facts | {"bytes": len(body)}) == {name: row[name] for name in FORM.facts}
        assert hashlib.sha256(body).hexdigest() == row["sha256"]
        assert path.stem == f"{row['source']}-{row['sha256'][:16]}"
        with decoded(get_blob(published, row["source_sha256"])) as original:
            assert FORM.make(original) == body
    assert seen == {(262_744, "PNG", "L", 512, 512, ".png")}
    assert verify(published, VERSION, all_images=True)["read_back"] > len(manifest)
    with zipfile.ZipFile(tmp_path / "copy" / archive_name(VERSION)) as archive:
        assert sum("/images/" in name for name in archive.namelist()) == len(manifest)


def test_the_pictures_of_the_shards_tell_as_little(published: Store) -> None:
    names = list(published.list(f"{VERSION}/data/"))
    tables = [pq.read_table(io.BytesIO(published.get(name))) for name in names]
    bodies = [each["bytes"] for table in tables for each in table["image"].to_pylist()]
    assert len(bodies) == len(read_csv(published, f"{VERSION}/manifest.csv"))
    assert {len(body) for body in bodies} == {Form(224, uniform=True).facts["bytes"]}


def test_nothing_is_found_by_the_facts_of_the_files(published: Store) -> None:
    audit = json.loads(published.get(f"{VERSION}/audit.json"))
    of_facts = [probe for probe in audit["probes"] if probe["name"] == "file_facts"]
    assert {probe["of"] for probe in of_facts} == {"originals", "pictures"}
    assert {probe["level"] for probe in of_facts} <= {"none", "unmeasured"}
    assert max(probe["accuracy"] for probe in of_facts if probe["question"] == "classes") <= 0.45
    assert "of the uniform file" in of_facts[0]["sees"]
    told = {each["name"]: each["adjusted"] for each in audit["confounding"]}
    assert [told[name] for name in ("format", "colour", "size", "aspect")] == [0, 0, 0, 0]
    manifest = read_csv(published, f"{VERSION}/manifest.csv").set_index("source_sha256")["file"]
    shown = [each for kind in ("shortcuts", "texts") for each in audit["examples"][kind]]
    assert shown
    assert all(manifest[each["sha256"]] == each["file"] for each in shown)
    assert "Measured were the files as they are published" in published.get(f"{VERSION}/audit.html").decode()


def test_what_describes_the_snapshot_speaks_of_these_files(published: Store) -> None:
    snapshot = published.get_json(f"{VERSION}/snapshot.json")
    assert snapshot is not None
    assert snapshot["files"] == FORM.description
    assert snapshot["settings"]["files"] == "uniform"
    assert "The files under `images/`" in published.get(f"{VERSION}/README.md").decode()
    assert read_csv(published, f"{VERSION}/ATTRIBUTION.csv")["change"].str.contains("512 x 512").all()
    images = next(
        each
        for each in json.loads(published.get(f"{VERSION}/croissant.json"))["distribution"]
        if each["@id"] == "images"
    )
    assert images["encodingFormat"] == ["image/png"]


@pytest.mark.long
@pytest.mark.parametrize("damage", ["flipped", "truncated", "deleted"])
def test_a_damaged_file_is_made_again_and_never_published(
    published: Store, upstream: ServedUpstream, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    store = copied_bucket(published)
    before = read_csv(store, f"{VERSION}/manifest.csv")
    name = uniform_name(before["source_sha256"][0], FORM)
    sound = store.get(name)
    DAMAGES[damage](store, name)
    upstream.move_to_step(NEXT_STEP)
    assert run_stages(upstream.pipeline(store, tmp_path, **SETTINGS), "next").snapshot is not None
    verify(store, NEXT, all_images=True)
    assert store.get(name) == sound
    assert ("is damaged" in caplog.text) == (damage != "deleted")
    after = read_csv(store, f"{NEXT}/manifest.csv")
    both = before.merge(after, on="source_sha256", suffixes=("_before", ""))
    assert len(both) >= len(before) - 2
    assert both["sha256"].equals(both["sha256_before"])
    changes = store.get_json(f"{NEXT}/changes.json")
    assert changes is not None
    assert changes["counts"]["renamed"] == 0
    assert changes["counts"]["added"] + changes["counts"]["replaced"] == len(after) - len(both)


@pytest.mark.long
def test_a_lost_blob_and_its_file_are_brought_back(published: Store, upstream: ServedUpstream, tmp_path: Path) -> None:
    store = copied_bucket(published)
    manifest = read_csv(store, f"{VERSION}/manifest.csv")
    source = manifest.loc[manifest["source"].eq("covid"), "source_sha256"].iloc[0]
    upstream.move_to_step(NEXT_STEP)
    pipeline = upstream.pipeline(store, tmp_path, **SETTINGS)
    plan = balanced_plan(pipeline, "next")
    pipeline.audit(plan)
    store.delete([uniform_name(source, FORM), blob_name(source)])
    assert pipeline.publish(plan) is not None
    verify(store, NEXT, all_images=True)


class Rotten(Store):
    """A store with an object that changed below it: its listing still gives the old ETag."""

    rotten, etag = "", ""

    def scan(self, folder: str) -> Iterator[tuple[str, StoredObject]]:
        for name, item in super().scan(folder):
            yield name, replace(item, etag=self.etag) if name == self.rotten else item


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.long
def test_a_file_that_rots_unseen_is_made_again_once_it_is_read(
    published: Store, upstream: ServedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is trusted, as it was read lately; but a try that is continued reads everything."""
    monkeypatch.setattr(readings, "_due", lambda known, today: set())
    copy = copied_bucket(published)
    store = Rotten(copy.client, copy.bucket, copy.prefix)
    name = uniform_name(read_csv(store, f"{VERSION}/manifest.csv")["source_sha256"][0], FORM)
    sound, store.etag = store.get(name), store.list(name)[name].etag
    DAMAGES["flipped"](store, name)
    store.rotten = name
    upstream.move_to_step(NEXT_STEP)
    pipeline = upstream.pipeline(store, tmp_path, **SETTINGS | {"archive": "none"})  # which would read it
    plan = balanced_plan(pipeline, "next")
    pipeline.audit(plan)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(protocol, "_read_back", killed)
        pipeline.publish(plan)
    assert store.get(name) != sound, "nobody has read it"
    assert pipeline.publish(plan) is not None
    assert store.get(name) == sound
    verify(store, NEXT, all_images=True)


def test_pruning_leaves_what_is_published(published: Store) -> None:
    plan = plan_prune(published, 1, datetime(2027, 12, 1, tzinfo=UTC))
    sources = set(read_csv(published, f"{VERSION}/manifest.csv")["source_sha256"])
    doomed = {name for kind in ("blobs", "pictures") for name in plan.objects[kind]}
    assert not [name for name in doomed if any(source in name for source in sources)]


@pytest.mark.long
def test_nothing_is_new_a_second_time(published: Store, upstream: ServedUpstream, tmp_path: Path) -> None:
    upstream.move_to_step(STEP)
    store = copied_bucket(published)
    assert run_stages(upstream.pipeline(store, tmp_path, **SETTINGS), "again").plan is None
    assert run_stages(upstream.pipeline(store, tmp_path, **SETTINGS), "forced", force=True).snapshot is None


@pytest.mark.long
def test_the_default_says_nothing_of_a_form_and_a_switch_loses_no_image(
    first_state: Store, small_sample: Path, tmp_path: Path
) -> None:
    store = copied_bucket(first_state)
    before = store.get_json(f"{VERSION}/snapshot.json")
    assert before is not None
    assert "files" not in before and not before["settings"].keys() & {"files", "picture_size"}
    manifest = read_csv(store, f"{VERSION}/manifest.csv")
    assert manifest["sha256"].equals(manifest["source_sha256"])
    assert "change" not in read_csv(store, f"{VERSION}/ATTRIBUTION.csv")
    with served_sample(small_sample, tmp_path / "sample") as upstream:
        large = {"files": "uniform", "picture_size": 512}
        assert run_stages(upstream.pipeline(store, tmp_path, **large), "switched").snapshot is not None
    changes = store.get_json(f"{NEXT}/changes.json")
    assert changes is not None
    assert changes["counts"] == {
        **dict.fromkeys(("added", "removed", "replaced", "relabelled", "moved"), 0),
        "renamed": len(manifest),
        "updated": len(manifest),
    }
    [name, *_] = store.list(f"{NEXT}/data/")
    first = pq.read_table(io.BytesIO(store.get(name)))["image"][0].as_py()
    assert first["bytes"] == store.get(f"{NEXT}/{first['path']}"), "at the same size they are the files"
