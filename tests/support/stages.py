"""The stages of a run, in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cxr_snapshot.pipeline import Pipeline, Plan
from cxr_snapshot.settings import INSPECT_SHARDS

# Runs one stage in a process of its own: python -c STAGE_ALONE ENDPOINT SETTINGS PLAN STAGE, the middle two as JSON.
STAGE_ALONE = """
import json, sys
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_judges, build_sources
from support.stores import client_of, store_in
endpoint, text, plan, stage = sys.argv[1:]
settings = Settings.load(json.loads(text), environ={})
store = store_in(client_of(endpoint), settings.bucket, settings.prefix)
pipeline = Pipeline(settings, store, build_sources(settings), build_judges(settings))
getattr(pipeline, stage)(json.loads(plan))
"""
EARLIER = ("earlier", "2026-11-20T03:00:00+00:00")  # run and time of the snapshots that tests share


@dataclass
class Outcome:
    """What the stages of one run returned; ``None`` for those that had nothing to do."""

    plan: Plan | None = None
    ingested: dict[str, dict[str, Any]] = field(default_factory=dict)
    filtered: dict[str, Any] | None = None
    balanced: dict[str, Any] | None = None
    snapshot: dict[str, Any] | None = None


def balanced_plan(
    pipeline: Pipeline, run_id: str = "run", created: str = "2026-11-23T03:00:00+00:00", **options: Any
) -> Plan:
    """Run the stages up to ``balance`` in this process."""
    plan = pipeline.poll(run_id, created, **options)
    assert plan is not None
    for source in [*pipeline.sources, *pipeline.judges]:
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
    ingested = {source: pipeline.ingest(plan, source) for source in [*pipeline.sources, *pipeline.judges]}
    for shard in range(INSPECT_SHARDS):
        pipeline.inspect(plan, shard)
    filtered = pipeline.filter(plan)
    balanced = pipeline.balance(plan)
    pipeline.audit(plan)
    snapshot = pipeline.publish(plan)
    if snapshot:
        pipeline.verify(snapshot["version"], plan["edition"])
    return Outcome(plan, ingested, filtered, balanced, snapshot)
