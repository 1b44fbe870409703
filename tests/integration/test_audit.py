"""The audit in the pipeline: the same bytes everywhere, nothing published without it, figures followed over time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.pipeline import Plan
from cxr_snapshot.store.objects import Store
from support.paths import ROOT
from support.publishers import Prepared, publisher_in
from support.stages import STAGE_ALONE, balanced_plan
from support.stores import copied_bucket, copy_objects
from support.upstreams import ServedUpstream, served_sample
from support.waiting import PATIENCE


@pytest.fixture
def whole(sample_folder: Path, tmp_path: Path) -> Iterator[ServedUpstream]:
    """The sample with all its images, enough for the probes."""
    with served_sample(sample_folder, tmp_path / "sample") as served:
        yield served


def files(store: Store, plan: Plan) -> list[bytes]:
    """Return what an audit wrote."""
    return [store.get(f"{plan['folder']}/{name}") for name in (REPORT, PAGE)]


def audit_apart(sample: ServedUpstream, store: Store, plan: Plan, folder: Path, threads: int, count: int) -> None:
    """Let ``count`` processes audit at the same time, each with so many threads for sums."""
    settings = sample.settings(folder, bucket=store.bucket, prefix=store.prefix)
    paths = os.pathsep.join([str(ROOT / "include"), str(ROOT / "tests")])
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": paths, "PYTHONHASHSEED": str(threads)}
    environ |= {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}
    arguments = [store.client.meta.endpoint_url, json.dumps(settings, default=str), json.dumps(plan)]
    command = [sys.executable, "-c", STAGE_ALONE, *arguments, "audit"]
    processes = [subprocess.Popen(command, env=environ) for _ in range(count)]
    assert [process.wait(PATIENCE) for process in processes] == [0] * count


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 2])
def test_every_worker_finds_the_same_to_the_byte(
    whole: ServedUpstream, store: Store, tmp_path: Path, workers: int
) -> None:
    pipeline = whole.pipeline(store, tmp_path, max_per_class=10)
    plan = balanced_plan(pipeline)
    twin = copied_bucket(store)
    with threadpool_limits(1):
        pipeline.audit(plan)
    here = files(store, plan)
    audit_apart(whole, twin, plan, tmp_path, threads=2, count=workers)
    assert files(twin, plan) == here
    whole.pipeline(twin, tmp_path, max_per_class=10).audit(plan)
    assert files(twin, plan) == here, "with looks that were kept"


def test_nothing_is_published_that_was_not_audited(two_plans: Prepared, store: Store) -> None:
    copy_objects(two_plans.store, store)
    plan = two_plans.plans[0]
    store.delete(f"{plan['folder']}/{name}" for name in (REPORT, PAGE))
    with pytest.raises(MissingObjectError, match="Clear the task audit and run again"):
        publisher_in(store).publish(plan)
    assert store.get_json("latest.json") is None
