"""What pruning deletes, and what it never touches."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog.retention import GRACE, clear_old_runs, plan_prune, prune
from cxr_snapshot.errors import DamagedObjectError, PublishConflictError, SettingsError, StorageError
from cxr_snapshot.plan import RUNS, run_folder
from cxr_snapshot.publication.index import read_index
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.settings import DEFAULT_EDITION, INSPECT_SHARDS
from cxr_snapshot.store.objects import Store, StoredObject, blob_name
from cxr_snapshot.store.seals import put_sealed_table
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform
from support.damage import flip
from support.stages import run_stages
from support.stores import copied_bucket, new_store, store_in
from support.upstreams import ServedUpstream, served_sample
from support.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSIONS = ["2026-11-01", "2026-11-02", "2026-11-03"]
ORPHAN = hashlib.sha256(b"orphan").hexdigest()
LATER = datetime.now(UTC) + GRACE + timedelta(hours=1)


def publish_steps(
    store: Store,
    sample: Path,
    folder: Path,
    versions: list[str],
    run: str,
    edition: str = DEFAULT_EDITION,
    **settings: int,
) -> None:
    """Publish a snapshot of each of the first replay steps of a sample."""
    with served_sample(sample, folder) as upstream:
        for step, version in enumerate(versions, start=1):
            upstream.move_to_step(step)
            pipeline = upstream.pipeline(store, folder / "scratch", **settings)
            assert run_stages(pipeline, f"{run}-{step}", f"{version}T03:00:00+00:00", edition=edition).snapshot


@pytest.fixture(scope="module")
def three_nights(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three snapshots, one that was begun only, and a blob that nothing refers to; not to be changed."""
    store = new_store(s3_client)
    publish_steps(store, small_sample, tmp_path_factory.mktemp("upstream"), VERSIONS, "run")
    store.put("2026-11-04/manifest.csv", b"begun")
    store.put(blob_name(ORPHAN), b"orphan")
    for sha256 in (ORPHAN, store.get_table(f"{VERSIONS[-1]}/manifest.parquet")["source_sha256"][0]):
        store.put(kept_picture(sha256), b"as an earlier release kept each by itself")
    known = store.get_table("_work/sources/covid/known.parquet")
    row = {"path": "images/gone.png", "bytes": 6, "upstream_hash": "0" * 40, "sha256": ORPHAN}
    both = conform(pd.concat([known, pd.DataFrame([row])]), INVENTORY_SCHEMA)
    put_sealed_table(store, "_work/sources/covid/known.parquet", both, INVENTORY_SCHEMA)
    return store


def kept_picture(sha256: str) -> str:
    return f"_work/normalised/224.4/{sha256[:2]}/{sha256}.png"


@pytest.fixture
def nights(three_nights: Store) -> Store:
    return copied_bucket(three_nights)


def test_the_plan_writes_nothing_and_spares_what_is_young(three_nights: Store) -> None:
    before = three_nights.list("")
    plan = plan_prune(three_nights, 1, datetime.now(UTC))
    assert (plan.kept, plan.doomed) == (("2026-11-03",), ("2026-11-01", "2026-11-02"))
    counts = {kind: len(objects) for kind, objects in plan.objects.items()}
    assert counts.pop("snapshots") == len(three_nights.list("2026-11-01/")) + len(three_nights.list("2026-11-02/"))
    assert set(counts.values()) == {0}
    assert plan.summary()["snapshots"]["bytes"] == sum(plan.objects["snapshots"].values())
    assert three_nights.list("") == before


def test_old_things_go_and_what_is_kept_stays_whole(nights: Store) -> None:
    before = nights.list("")
    plan = plan_prune(nights, 1, LATER)
    prune(nights, plan)
    gone = before.keys() - nights.list("").keys()
    assert gone == {name for objects in plan.objects.values() for name in objects}
    assert {kind for kind, objects in plan.objects.items() if not objects} <= {"notes"}
    assert {"2026-11-04/manifest.csv", blob_name(ORPHAN), kept_picture(ORPHAN)} <= gone
    assert not nights.list("_work/normalised/")
    runs = {run_folder(f"run-{step}") for step in (1, 2, 3)}
    assert {"/".join(name.split("/")[:3]) for name in gone if name.startswith("_work/runs/")} == runs
    assert not [name for name in gone if name.startswith("_work/claims/")]
    assert catalog.versions(nights) == ["2026-11-03"]
    assert [entry["version"] for entry in read_index(nights) or []] == ["2026-11-03"]
    verify(nights, "2026-11-03", all_images=True)
    revisions = catalog.show(nights, "latest")["revisions"]
    left = nights.list("_work/")
    for source, revision in revisions.items():
        inventory = nights.get_table(f"_work/sources/{source}/{revision}.parquet")
        assert {blob_name(sha256) for sha256 in inventory["sha256"].dropna()} <= left.keys()
    assert sum(map(len, plan_prune(nights, 1, LATER).objects.values())) == 0


@pytest.mark.long
@pytest.mark.parametrize("steps", [pytest.param((1,), id="back"), pytest.param((5, 1), id="on-and-back")])
def test_runs_go_on_after_pruning(
    nights: Store, sample: ServedUpstream, tmp_path: Path, steps: tuple[int, ...]
) -> None:
    prune(nights, plan_prune(nights, 1, LATER))
    for step in steps:
        sample.move_to_step(step)
        pipeline = sample.pipeline(nights, tmp_path)
        outcome = run_stages(pipeline, f"to-{step}", f"2026-11-{20 - step}T03:00:00+00:00", accept_shrink=True)
        assert outcome.snapshot is not None
        verify(nights, outcome.snapshot["version"], all_images=True)


def test_never_the_latest(nights: Store) -> None:
    nights.put_json("latest.json", {"version": "2026-11-01"})
    plan = plan_prune(nights, 1, LATER)
    assert (plan.kept, plan.doomed) == (("2026-11-01", "2026-11-03"), ("2026-11-02",))
    nights.put_json("latest.json", {"version": "2026-11-02"})
    with pytest.raises(PublishConflictError, match=r"latest\.json names 2026-11-02 now"):
        prune(nights, plan)
    assert catalog.versions(nights) == VERSIONS


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_is_kept(three_nights: Store, keep: int) -> None:
    with pytest.raises(SettingsError, match="keep at least 1"):
        plan_prune(three_nights, keep, LATER)
    assert plan_prune(three_nights, 5, LATER).doomed == ()


class BreaksOff(Store):
    """Fails at the n-th deletion."""

    left = 0

    def delete(self, names: Iterable[str]) -> None:
        self.left -= 1
        if self.left < 0:
            raise StorageError("no more")
        super().delete(names)


@pytest.mark.parametrize(
    "number", [2, *(pytest.param(other, marks=pytest.mark.long) for other in (0, 1, 3, 4, 5, 6, 7))]
)
def test_a_broken_off_pruning_leaves_no_half_snapshot(three_nights: Store, number: int) -> None:
    nights = copied_bucket(three_nights)
    weak = store_in(nights.client, nights.bucket, nights.prefix, BreaksOff)
    weak.left = number
    plan = plan_prune(weak, 1, LATER)
    with pytest.raises(StorageError, match="no more"):
        prune(weak, plan)
    for version in catalog.versions(nights):
        verify(nights, version)
    blobs = nights.list("_work/blobs/")
    for name in [name for name in nights.list("_work/sources/") if not name.endswith("/known.parquet")]:
        assert {blob_name(sha256) for sha256 in nights.get_table(name)["sha256"].dropna()} <= blobs.keys(), name
    prune(nights, plan_prune(nights, 1, LATER))
    assert catalog.versions(nights) == ["2026-11-03"]
    assert not nights.list("2026-11-01/")


class Aged(Store):
    """A store in which everything that was there before ``since`` is eight days older than it is."""

    since = datetime.now(UTC)

    def scan(self, folder: str) -> Iterator[tuple[str, StoredObject]]:
        for name, item in super().scan(folder):
            older = item.modified < self.since
            yield name, replace(item, modified=item.modified - timedelta(days=8)) if older else item


def aged(store: Store) -> Aged:
    """Return a store whose objects are old, but for what is written from now on."""
    found = store_in(store.client, store.bucket, store.prefix, Aged)
    found.put("_work/clock", b"")
    found.since = next(item.modified for _, item in Store.scan(found, "_work/clock"))

    def later() -> datetime | None:  # listings may count in whole seconds
        found.put("_work/clock", b"")
        now = next(item.modified for _, item in Store.scan(found, "_work/clock"))
        return now if now > found.since else None

    found.since = eventually(later, "another second")
    return found


@pytest.mark.parametrize("begun", [pytest.param("before the plan", marks=pytest.mark.long), "after the plan"])
def test_a_run_keeps_what_it_counts_on(nights: Store, sample: ServedUpstream, tmp_path: Path, begun: str) -> None:
    store = aged(nights)
    sample.move_to_step(1)
    pipeline = sample.pipeline(store, tmp_path, max_per_class=4)
    plan = pipeline.poll("back", "2026-11-19T03:00:00+00:00")
    assert plan is not None
    doomed = None if begun == "before the plan" else plan_prune(store, 1, datetime.now(UTC))
    for source in pipeline.sources:
        assert pipeline.ingest(plan, source)["fetched"] == 0
    if doomed is None:
        doomed = plan_prune(store, 1, datetime.now(UTC))
    else:
        assert doomed.objects["inventories"], "the run went back to what would have gone"
    prune(store, doomed)
    assert not store.exists(blob_name(ORPHAN))
    assert catalog.versions(store) == ["2026-11-03"]
    seen = len(sample.simulator.requests)
    for source in pipeline.sources:
        assert "mended" not in pipeline.ingest(plan, source)
    assert len(sample.simulator.requests) == seen, "nothing had to be fetched again"


def test_what_goes_under_the_feet_of_a_run_is_fetched_again(
    nights: Store, sample: ServedUpstream, tmp_path: Path
) -> None:
    prune(nights, plan_prune(nights, 1, LATER))
    sample.move_to_step(2)
    pipeline = sample.pipeline(nights, tmp_path, max_per_class=4)
    plan = pipeline.poll("back", "2026-11-19T03:00:00+00:00", accept_shrink=True)
    assert plan is not None
    for source in pipeline.sources:
        pipeline.ingest(plan, source)
    inventory = nights.get_table(f"_work/sources/covid/{plan['revisions']['covid']}.parquet")
    nights.delete(blob_name(sha256) for sha256 in inventory["sha256"].dropna())
    nights.delete(nights.list("_work/inspections/"))
    for shard in range(INSPECT_SHARDS):
        pipeline.inspect(plan, shard)
    assert pipeline.filter(plan)["mended"] == inventory["sha256"].nunique()
    pipeline.balance(plan)
    pipeline.audit(plan)
    snapshot = pipeline.publish(plan)
    assert snapshot is not None
    verify(nights, snapshot["version"], all_images=True)


def test_tables_of_old_runs_go_by_themselves(nights: Store, caplog: pytest.LogCaptureFixture) -> None:
    store = aged(nights)
    old = {name.split("/")[2] for name in store.list(RUNS)}
    assert len(old) == 3
    store.put(f"{RUNS}young/filtered.parquet", b"")
    store.copy(f"{RUNS}young/filtered.parquet", f"{RUNS}{min(old)}/balanced.parquet")  # somebody goes on with it
    store.put(f"{RUNS}own/filtered.parquet", b"")
    clear_old_runs(store, f"{RUNS}own")
    assert {name.split("/")[2] for name in store.list(RUNS)} == {"young", "own", min(old)}
    before = store.list("")
    clear_old_runs(store, f"{RUNS}own")
    assert store.list("") == before

    refusing = store_in(store.client, store.bucket, store.prefix, Refusing)
    refusing.since = store.since
    store.put(f"{RUNS}own/balanced.parquet", b"")
    nights_old = aged(store)
    refusing.since = nights_old.since
    refusing.put(f"{RUNS}own/filtered.parquet", b"")
    with caplog.at_level(logging.WARNING, "cxr_snapshot"):
        clear_old_runs(refusing, f"{RUNS}own")
    assert "The tables of old runs stay: could not delete: AccessDenied" in caplog.text


class Refusing(Aged):
    """May not delete."""

    def delete(self, names: Iterable[str]) -> None:
        raise StorageError("could not delete: AccessDenied")


def test_a_damaged_inventory_stops_pruning(nights: Store) -> None:
    name = next(name for name in nights.list("_work/sources/covid/") if not name.endswith("/known.parquet"))
    flip(nights, name)
    with pytest.raises(DamagedObjectError, match=r"is damaged.*Nothing was deleted for it\. Delete it"):
        plan_prune(nights, 3, LATER)
    nights.delete([name])  # as the error says
    assert plan_prune(nights, 3, LATER).kept == tuple(VERSIONS)


THEIRS = VERSIONS[:2]


@pytest.fixture(scope="module")
def two_editions(three_nights: Store, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The three nights, and two of another edition; not to be changed."""
    store, folder = copied_bucket(three_nights), tmp_path_factory.mktemp("upstream")
    publish_steps(store, small_sample, folder, THEIRS, "other", edition="other", max_per_class=3)
    return store


@pytest.fixture
def with_another(two_editions: Store) -> Store:
    """The three nights, and another edition that alone still needs what the oldest of them was made of."""
    return copied_bucket(two_editions)


def needed(place: Store, version: str) -> set[str]:
    """Return the names of the blobs of a snapshot and of the revisions that it was made of."""
    wanted = set(place.get_table(f"{version}/manifest.parquet")["sha256"])
    for source, revision in catalog.show(place, version)["revisions"].items():
        wanted |= set(place.get_table(f"_work/sources/{source}/{revision}.parquet")["sha256"].dropna())
    return {blob_name(sha256) for sha256 in wanted}


def test_what_another_edition_needs_stays(with_another: Store) -> None:
    store, (version, later) = with_another, THEIRS
    other = store.edition("other")
    before = other.list(f"{version}/") | other.list("latest.json") | store.list("_work/editions/")
    only_theirs = needed(other, version) - needed(store, "2026-11-03")
    assert only_theirs, "or this shows nothing"
    plan = plan_prune(store, 1, LATER)
    assert (plan.edition, plan.kept, plan.doomed) == ("default", ("2026-11-03",), ("2026-11-01", "2026-11-02"))
    prune(store, plan)
    assert needed(other, version) | needed(store, "2026-11-03") <= store.list("_work/blobs/").keys()
    after = other.list(f"{version}/") | other.list("latest.json") | store.list("_work/editions/")
    assert after == before
    verify(other, version, all_images=True)
    assert catalog.resolve(other, "latest") == later


def test_pruning_another_edition_leaves_the_default_one_alone(with_another: Store) -> None:
    store, (version, later) = with_another, THEIRS
    other = store.edition("other")
    other.put(f"_work/seen/{version}.json", b"")
    store.put(f"_work/seen/{version}.json", b"of the default edition")
    before = {name: item for name, item in store.list("").items() if not name.startswith(("_work/", "editions/"))}
    plan = plan_prune(other, 1, LATER)
    assert (plan.edition, plan.kept, plan.doomed) == ("other", (later,), (version,))
    assert plan.summary()["edition"] == "other"
    assert not plan.objects["unfinished"], "what was begun in the default edition is none of its business"
    prune(store, plan)  # the plan says whose it is
    assert store.list("").keys() >= before.keys()
    assert catalog.versions(store) == VERSIONS
    assert catalog.versions(other) == [later]
    assert not other.list(f"{version}/")
    assert not other.exists(f"_work/seen/{version}.json") and store.exists(f"_work/seen/{version}.json")
    assert other.exists(f"_work/claims/{version}.json")
    for name in VERSIONS:
        verify(store, name, all_images=True)
        assert needed(store, name) <= store.list("_work/blobs/").keys()
