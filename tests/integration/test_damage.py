"""Damage to what is kept under `_work`: a run makes or fetches it again, or ends with an error whose remedy works."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.errors import SnapshotError
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.plan import RUNS, Plan
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import read_pointer
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store
from support.damage import DAMAGES
from support.stages import run_stages
from support.stores import copied_bucket
from support.upstreams import ServedUpstream
from upstream_simulator import covid_sample, kaggle_sample
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME, write_repository, write_zip
from upstream_simulator.server import UpstreamSimulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST, SECOND = "2026-11-22T03:00:00+00:00", "2026-11-23T03:00:00+00:00"
VERSION = SECOND[:10]
SAME = ("manifest.csv", "manifest.parquet", "excluded.csv", "preview.jpg")  # whatever made them


class World:
    """A small upstream; a store with one snapshot; and what an undisturbed second night makes of it."""

    def __init__(self, upstream: ServedUpstream, store: Store, scratch: Path) -> None:
        self.upstream, self.store, self.scratch = upstream, store, scratch
        upstream.move_to_step(1)
        assert run_stages(self.pipeline(store), "first", FIRST).snapshot is not None
        upstream.move_to_step(2)
        calm = copied_bucket(store)
        assert run_stages(self.pipeline(calm), "second", SECOND).snapshot is not None
        self.calm = {name: calm.get(f"{VERSION}/{name}") for name in SAME}
        self.images = {name.removeprefix(VERSION) for name in calm.list(f"{VERSION}/images/")}

    def pipeline(self, store: Store) -> Pipeline:
        return self.upstream.pipeline(store, self.scratch)

    def assert_as_undisturbed(self, store: Store) -> None:
        assert {name: store.get(f"{VERSION}/{name}") for name in SAME} == self.calm
        assert {name.removeprefix(VERSION) for name in store.list(f"{VERSION}/images/")} == self.images
        verify(store, VERSION, all_images=True)
        assert read_pointer(store)[0] == VERSION


def write_small_sample(folder: Path) -> None:
    """Write an upstream of few images, whose second commit has two more than its first."""
    first, second = covid_sample.history(0)[:2]
    old = list(first.files)[2:5]
    new = [path for path in second.files if path not in first.files and path.startswith("images/covid")][:2]
    commits = [
        covid_sample.Commit(commit.date, commit.subject, {path: commit.files[path] for path in ["metadata.csv", *kept]})
        for commit, kept in ((first, old), (second, [*old, *new]))
    ]
    write_repository(folder / GIT_NAME, commits)
    images = {
        path.removeprefix("chest_xray/"): body
        for path, body in kaggle_sample.members(0)
        if re.fullmatch(r"chest_xray/train/\w+/(IM-01[123]\d|person[345]_b)[^/]*", path)
    }
    target = folder / KAGGLE_NAME / "paultimothymooney/chest-xray-pneumonia/1.zip"
    target.parent.mkdir(parents=True)
    write_zip(target, kaggle_sample.with_leftovers(images))


@pytest.fixture(scope="module")
def world(s3_client: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("upstream")
    write_small_sample(folder)
    store = Store(s3_client, f"test-{hashlib.sha256(str(folder).encode()).hexdigest()[:32]}", "covid-cxr")
    s3_client.create_bucket(Bucket=store.bucket)
    with UpstreamSimulator(git_dir=folder / GIT_NAME, kaggle_dir=folder / KAGGLE_NAME) as simulator:
        upstream = ServedUpstream(simulator, folder / GIT_NAME, folder / KAGGLE_NAME)
        yield World(upstream, store, folder / "scratch")


def kind_of(name: str) -> str:
    """Return the folder of an object under `_work`, and its name where that says what it is."""
    parts = name.split("/")
    if parts[1] == "sources":
        return f"sources/*/{'known' if parts[-1] == 'known.parquet' else 'revision'}.parquet"
    return parts[1] if len(parts) > 2 else parts[-1]


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_at_once(world: World, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    store = copied_bucket(world.store)
    for name in store.list("_work/"):
        DAMAGES[damage](store, name)
    outcome = run_stages(world.pipeline(store), "second", SECOND)
    world.assert_as_undisturbed(store)
    assert outcome.ingested["covid"].get("mended", 0) + outcome.ingested["covid"]["fetched"] > 0
    if damage != "deleted":
        assert "is damaged: its bytes are not those that were written. It is made again" in caplog.text
