"""Damage to what is kept under `_work`: a run makes or fetches it again, or ends with an error whose remedy works."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.errors import SnapshotError
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.plan import Plan
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import read_pointer
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store, StoredObject, blob_name
from support.damage import DAMAGES, Damage, flip
from support.stages import balanced_plan, run_stages
from support.stores import copied_bucket, new_store, store_in
from support.upstreams import ServedUpstream, commit_at, served_sample, write_zipped_images, zipped_images
from upstream_simulator.covid_sample import Commit
from upstream_simulator.sample import GIT_NAME, write_repository

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


def write_tiny_sample(whole: Path, folder: Path) -> None:
    """Write an upstream of few images of the sample ``whole``, whose second commit has two more than its first."""
    folder.mkdir()
    first, second = commit_at(whole, 1), commit_at(whole, 2)
    old = list(first.files)[2:5]
    new = [path for path in second.files if path not in first.files and path.startswith("images/covid")][:2]
    commits = [
        Commit(commit.date, commit.subject, {path: commit.files[path] for path in ["metadata.csv", *kept]})
        for commit, kept in ((first, old), (second, [*old, *new]))
    ]
    write_repository(folder / GIT_NAME, commits)
    wanted = re.compile(r"chest_xray/train/\w+/(IM-01[123]\d|person[345]_b)[^/]*")
    write_zipped_images(folder, {path: body for path, body in zipped_images(whole).items() if wanted.fullmatch(path)})


@pytest.fixture(scope="module")
def world(s3_client: S3Client, sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("upstream")
    write_tiny_sample(sample_folder, folder / "tiny")
    with served_sample(folder / "tiny", folder) as upstream:
        yield World(upstream, new_store(s3_client), folder / "scratch")


def long_ones(*damages: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.long) for name in damages]


def kind_of(name: str) -> str:
    """Return the folder of an object under `_work`, and its name where that says what it is."""
    parts = name.split("/")
    if parts[1] == "sources":
        return f"sources/*/{'known' if parts[-1] == 'known.parquet' else 'revision'}.parquet"
    if parts[1] == "runs":
        return f"runs/*/{parts[3]}{'/*' if len(parts) > 4 else ''}"
    return parts[1] if len(parts) > 2 else parts[-1]


@pytest.mark.parametrize("damage", long_ones("flipped", "truncated", "deleted"))
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


class Rotten(Store):
    """A store with an object that changed below it: its listing still gives the old ETag."""

    rotten, etag = "", ""

    def scan(self, folder: str) -> Iterator[tuple[str, StoredObject]]:
        for name, item in super().scan(folder):
            yield name, replace(item, etag=self.etag) if name == self.rotten else item


@pytest.mark.parametrize("damage", ["rotten", *long_ones("deleted", "flipped", "truncated")])
def test_one_image_that_was_published_before(world: World, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    copy = copied_bucket(world.store)
    store = store_in(copy.client, copy.bucket, copy.prefix, Rotten)
    manifest = store.get_table(f"{FIRST[:10]}/manifest.parquet")
    sha256 = manifest.loc[manifest["source"].eq("covid"), "sha256"].iloc[0]
    store.etag = store.list(blob_name(sha256))[blob_name(sha256)].etag
    DAMAGES.get(damage, flip)(store, blob_name(sha256))
    store.rotten = blob_name(sha256) if damage == "rotten" else ""
    seen = len(world.upstream.simulator.requests)
    run_stages(world.pipeline(store), "second", SECOND)
    world.assert_as_undisturbed(store)
    assert hashlib.sha256(store.get(blob_name(sha256))).hexdigest() == sha256
    assert "covid: 1 stored files are missing or damaged, such as images/" in caplog.text
    paths = [request.path for request in world.upstream.simulator.requests[seen:]]
    assert sum("/github-raw/" in path for path in paths) == 4, "two new ones, the table, and this one"
    assert not [path for path in paths if "DownloadDataset" in path], "the other collection is left alone"


@pytest.mark.long
def test_an_image_of_the_zip(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    store = copied_bucket(world.store)
    manifest = store.get_table(f"{FIRST[:10]}/manifest.parquet")
    sha256 = manifest.loc[manifest["source"].eq("pneumonia"), "sha256"].iloc[0]
    flip(store, blob_name(sha256))
    run_stages(world.pipeline(store), "second", SECOND)
    world.assert_as_undisturbed(store)
    assert "pneumonia: 1 stored files are missing or damaged, such as chest_xray/" in caplog.text


@pytest.mark.long
def test_pictures_that_changed_places(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    store = copied_bucket(world.store)
    store.delete(store.list("_work/looks/"))  # so that all pictures are made by this run
    for shard in store.list(f"{FIRST[:10]}/data/"):
        store.put(shard, b"so that the pictures are not taken out of the last snapshot")
    pipeline = world.pipeline(store)
    plan = balanced_plan(pipeline, "second")
    pipeline.audit(plan)
    one, other, *_ = store.list(f"{plan['folder']}/pictures/")
    store.copy(one, "_work/spare")
    store.copy(other, one)
    store.copy("_work/spare", other)
    run_from(pipeline, plan, "publish")
    world.assert_as_undisturbed(store)
    for name in (one, other):
        assert f"{store.uri(name)} is damaged" in caplog.text


STAGES = ("ingest", "inspect", "filter", "balance", "audit", "publish")


def run_from(pipeline: Pipeline, plan: Plan, stage: str) -> None:
    """Run a stage and those after it, as clearing its task in Airflow does."""
    for name in STAGES[STAGES.index(stage) :]:
        if name == "ingest":
            for source in pipeline.sources:
                pipeline.ingest(plan, source)
        elif name == "inspect":
            for shard in range(INSPECT_SHARDS):
                pipeline.inspect(plan, shard)
        elif name == "publish":
            snapshot = pipeline.publish(plan)
            assert snapshot is not None
            pipeline.verify(snapshot["version"])
        else:
            getattr(pipeline, name)(plan)


def finish_after_damage(world: World, store: Store, plan: Plan, stage: str, caplog: pytest.LogCaptureFixture) -> str:
    """Go on from ``stage``; where an error says which task to clear, do that. Return what became of the damage."""
    caplog.clear()
    pipeline = world.pipeline(store)
    outcome = ""
    try:
        run_from(pipeline, plan, stage)
    except SnapshotError as error:
        task = re.search(r"Clear the task (\w+)", str(error))
        assert task, f"{stage}: no remedy in {error}"
        outcome = f"error, and clearing {task[1]} mends it"
        run_from(world.pipeline(store), plan, task[1])
    world.assert_as_undisturbed(store)
    said = re.search(r"fetching them again|made again|written again|were not inspected|left alone", caplog.text)
    return outcome or (f"said: {said[0]}" if said else "not needed, or made without a word")


def between_stages(
    world: World, caplog: pytest.LogCaptureFixture, wanted: Callable[[str, str], bool], damages: Mapping[str, Damage]
) -> Counter[tuple[str, str, str, str]]:
    """Damage objects one at a time between two stages of the second night.

    Args:
        world: where.
        caplog: of the test.
        wanted: says by stage and name whether an object is to be damaged before that stage.
        damages: what is done to each.
    """
    found: Counter[tuple[str, str, str, str]] = Counter()
    store = copied_bucket(world.store)
    pipeline = world.pipeline(store)
    plan = pipeline.poll("second", SECOND)
    assert plan is not None
    for before, stage in itertools.pairwise(STAGES):
        if before == "ingest":
            for source in pipeline.sources:
                pipeline.ingest(plan, source)
        elif before == "inspect":
            for shard in range(INSPECT_SHARDS):
                pipeline.inspect(plan, shard)
        else:
            getattr(pipeline, before)(plan)
        for name in store.list("_work/"):
            for damage, harm in damages.items() if wanted(stage, name) else ():
                copy = copied_bucket(store)
                harm(copy, name)
                outcome = finish_after_damage(world, copy, plan, stage, caplog)
                found[f"before {stage}", kind_of(name), damage, outcome] += 1
    return found


def between_nights(
    world: World, caplog: pytest.LogCaptureFixture, wanted: Callable[[str], bool], damages: Mapping[str, Damage]
) -> Counter[tuple[str, str, str, str]]:
    """Damage objects one at a time before the second night."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for name in filter(wanted, world.store.list("_work/")):
        for damage, harm in damages.items():
            copy = copied_bucket(world.store)
            harm(copy, name)
            plan = world.pipeline(copy).poll("second", SECOND)
            assert plan is not None
            outcome = finish_after_damage(world, copy, plan, "ingest", caplog)
            found["before the night", kind_of(name), damage, outcome] += 1
    return found


def show(found: Counter[tuple[str, str, str, str]]) -> None:
    print("| when | what | damage | times | outcome |\n|---|---|---|---|---|")
    for (when, kind, damage, outcome), count in sorted(found.items()):
        print(f"| {when} | {kind} | {damage} | {count} | {outcome} |")


def is_runs_own(stage: str, name: str) -> bool:
    """Say whether the run wrote an object and its next stage reads it."""
    reads = {
        "inspect": ("/sources/",),
        "filter": ("/inspections/", "/descriptions/"),
        "balance": ("/filtered.parquet",),
        "audit": ("/balanced.parquet", "/lookalikes/"),
        "publish": ("/audit.", "/balanced.parquet", "/pictures/"),
    }
    return "/first-" not in name and any(text in name for text in reads[stage])


@pytest.mark.long
def test_every_object_in_turn(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    found = between_nights(world, caplog, lambda name: True, DAMAGES)
    show(found)
    assert sum(found.values()) == 3 * len(world.store.list("_work/"))


@pytest.mark.long
def test_every_table_between_stages(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    found = between_stages(world, caplog, is_runs_own, DAMAGES)
    show(found)
    assert {damage for _, _, damage, _ in found} == set(DAMAGES)
