"""What several tests use."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd

from cxr_snapshot.pipeline import Pipeline, Plan
from cxr_snapshot.settings import INSPECT_SHARDS, Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.storage import CLIENT_CONFIG, Store
from upstream_simulator.server import UpstreamSimulator

if TYPE_CHECKING:
    from airflow.models import DagRun
    from mypy_boto3_s3 import S3Client

REAL_DATA = Path(__file__).parents[2] / "shared/real-data"

RunDag = Callable[..., "DagRun"]


def client_of(endpoint: str) -> S3Client:
    """Return a client as the pipeline makes it."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test-secret",
        region_name="us-east-1",
        config=CLIENT_CONFIG,
    )


@dataclass
class ServedUpstream:
    """An upstream on a loopback port that a test may change."""

    simulator: UpstreamSimulator
    git_dir: Path
    kaggle_dir: Path

    def move_to_step(self, step: int) -> str:
        """Let the branch ``master`` point at replay step ``step``; return the commit."""
        git = ["git", "--git-dir", str(self.git_dir)]
        subprocess.run([*git, "update-ref", "refs/heads/master", f"refs/replay/step-{step}"], check=True)
        return subprocess.run([*git, "rev-parse", "master"], check=True, capture_output=True, text=True).stdout.strip()

    def settings(self, folder: Path, **others: object) -> dict[str, object]:
        """Return settings that lead to this upstream and wait for nothing."""
        fast = {"scratch_dir": folder, "http_timeout": 5, "http_max_wait": 1}
        return {**self.simulator.settings(), **fast, **others}

    def pipeline(self, store: Store, folder: Path, **others: object) -> Pipeline:
        """Return a pipeline from this upstream into ``store``, with a memory of nothing."""
        settings = Settings.load(self.settings(folder, bucket=store.bucket, prefix=store.prefix, **others), environ={})
        return Pipeline(settings, store, build_sources(settings))


def states(run: DagRun) -> dict[str, str]:
    """Return the state of each task, of mapped ones the set of states."""
    found: dict[str, set[str]] = {}
    for instance in run.get_task_instances():
        found.setdefault(instance.task_id, set()).add(str(instance.state))
    return {task: "/".join(sorted(all_states)) for task, all_states in found.items()}


def xcom(run: DagRun, task_id: str) -> Any:
    """Return what a task returned."""
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


@dataclass
class Outcome:
    """What the stages of one run returned; ``None`` for those that had nothing to do."""

    plan: Plan | None = None
    ingested: dict[str, dict[str, Any]] = field(default_factory=dict)
    filtered: dict[str, Any] | None = None
    snapshot: dict[str, Any] | None = None


def balanced_plan(pipeline: Pipeline, run_id: str = "run") -> Plan:
    """Run the stages up to ``balance`` in this process."""
    plan = pipeline.poll(run_id, "2026-11-23T03:00:00+00:00")
    assert plan is not None
    for source in pipeline.sources:
        pipeline.ingest(plan, source)
    for shard in range(INSPECT_SHARDS):
        pipeline.inspect(plan, shard)
    pipeline.filter(plan)
    pipeline.balance(plan)
    return plan


def run_stages(pipeline: Pipeline, run_id: str, created: str = "2026-11-23T03:00:00+00:00", **options: Any) -> Outcome:
    """Run all stages in this process, in the DAG's order."""
    plan = pipeline.poll(run_id, created, **options)
    if plan is None:
        return Outcome()
    ingested = {source: pipeline.ingest(plan, source) for source in pipeline.sources}
    for shard in range(INSPECT_SHARDS):
        pipeline.inspect(plan, shard)
    filtered = pipeline.filter(plan)
    pipeline.balance(plan)
    pipeline.audit(plan)
    snapshot = pipeline.publish(plan)
    if snapshot:
        pipeline.verify(snapshot["version"])
    return Outcome(plan, ingested, filtered, snapshot)


def read_csv(store: Store, name: str) -> pd.DataFrame:
    """Return a CSV object of the store, everything as text, nothing as missing."""
    return pd.read_csv(io.BytesIO(store.get(name)), dtype=str, keep_default_na=False)
