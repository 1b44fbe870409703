"""What pruning deletes, and what it never touches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog.retention import GRACE, plan_prune, prune
from cxr_snapshot.errors import PublishConflictError, SettingsError, StorageError
from cxr_snapshot.plan import run_folder
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed_table
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform
from support.stages import run_stages
from support.stores import copied_bucket, new_store
from support.upstreams import ServedUpstream, served_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSIONS = ["2026-11-01", "2026-11-02", "2026-11-03"]
ORPHAN = hashlib.sha256(b"orphan").hexdigest()
LATER = datetime.now(UTC) + GRACE + timedelta(hours=1)


@pytest.fixture(scope="module")
def three_nights(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three snapshots, one that was begun only, and a blob that nothing refers to; not to be changed."""
    store, folder = new_store(s3_client), tmp_path_factory.mktemp("upstream")
    with served_sample(small_sample, folder) as upstream:
        for step, version in enumerate(VERSIONS, start=1):
            upstream.move_to_step(step)
            pipeline = upstream.pipeline(store, folder / "scratch")
            assert run_stages(pipeline, f"run-{step}", f"{version}T03:00:00+00:00").snapshot is not None
    store.put("2026-11-04/manifest.csv", b"begun")
    store.put(blob_name(ORPHAN), b"orphan")
    store.put(f"_work/normalised/224/{ORPHAN[:2]}/{ORPHAN}.png", b"picture")
    known = store.get_table("_work/sources/covid/known.parquet")
    row = {"path": "images/gone.png", "bytes": 6, "upstream_hash": "0" * 40, "sha256": ORPHAN}
    both = conform(pd.concat([known, pd.DataFrame([row])]), INVENTORY_SCHEMA)
    put_sealed_table(store, "_work/sources/covid/known.parquet", both, INVENTORY_SCHEMA)
    return store


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
    assert {"2026-11-04/manifest.csv", blob_name(ORPHAN), f"_work/normalised/224/{ORPHAN[:2]}/{ORPHAN}.png"} <= gone
    runs = {run_folder(f"run-{step}") for step in (1, 2, 3)}
    assert {"/".join(name.split("/")[:3]) for name in gone if name.startswith("_work/runs/")} == runs
    assert not [name for name in gone if name.startswith("_work/claims/")]
    assert catalog.versions(nights) == ["2026-11-03"]
    verify(nights, "2026-11-03", all_images=True)
    revisions = catalog.show(nights, "latest")["revisions"]
    left = nights.list("_work/")
    for source, revision in revisions.items():
        inventory = nights.get_table(f"_work/sources/{source}/{revision}.parquet")
        assert {blob_name(sha256) for sha256 in inventory["sha256"].dropna()} <= left.keys()
    assert sum(map(len, plan_prune(nights, 1, LATER).objects.values())) == 0


def test_runs_go_on_after_pruning(nights: Store, sample: ServedUpstream, tmp_path: Path) -> None:
    prune(nights, plan_prune(nights, 1, LATER))
    for step, run in ((5, "later"), (1, "back")):
        sample.move_to_step(step)
        pipeline = sample.pipeline(nights, tmp_path)
        outcome = run_stages(pipeline, run, f"2026-11-{20 - step}T03:00:00+00:00", accept_shrink=True)
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


def test_a_broken_off_pruning_leaves_no_half_snapshot(three_nights: Store) -> None:
    for number in range(8):
        nights = copied_bucket(three_nights)
        weak = BreaksOff(nights.client, nights.bucket, nights.prefix)
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
