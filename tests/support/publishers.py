"""Publishers in processes of their own, which a test may kill or let race."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.audit.gates import candidate_counts
from cxr_snapshot.errors import SnapshotError
from cxr_snapshot.pipeline import Pipeline, Plan
from cxr_snapshot.plan import run_folder
from cxr_snapshot.publication.draft import build_draft
from cxr_snapshot.publication.protocol import publish
from cxr_snapshot.selection.balance import class_counts
from cxr_snapshot.selection.manifest import build_manifest, content_digest, excluded_records
from cxr_snapshot.selection.rules import excluded_by_rule
from cxr_snapshot.settings import Settings
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed
from support.stages import balanced_plan
from support.stores import client_of, copied_bucket, store_in
from support.upstreams import served_sample
from support.waiting import PATIENCE


@cache
def forkserver() -> ForkServerContext:
    """Return what forks processes from one that has everything imported, so that each costs milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "cxr_snapshot.audit.report", "support.publishers"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # older Pythons hand it no path: gh-126631
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def prepared_plans(pipeline: Pipeline, count: int) -> list[Plan]:
    """Run the stages up to ``balance``, and return plans for the publication of ``count`` different contents."""
    first = balanced_plan(pipeline, "run-0")
    plans = []
    for number in range(count):
        settings = {**first["settings"], "salt": f"salt {number}"}
        plan: Plan = {**first, "folder": run_folder(f"run-{number}"), "settings": settings, "fingerprint": f"{number}"}
        for name in ("filtered.parquet", REPORT, PAGE) if number else ():  # an audit takes seconds, any will do
            put_sealed(pipeline.store, f"{plan['folder']}/{name}", pipeline.store.get(f"{first['folder']}/{name}"))
        pipeline.balance(plan)
        if not number:
            pipeline.audit(plan)
        plans.append(plan)
    return plans


@dataclass(frozen=True)
class Prepared:
    """Plans of different contents, and the store that they can be published in; copy it first."""

    store: Store
    plans: list[Plan]


def audited_after(state: Store, sample: Path, folder: Path, step: int, *run: str, **options: Any) -> Prepared:
    """Copy a store, and run the stages up to ``audit`` there for a replay step; the rest goes to `balanced_plan`."""
    store = copied_bucket(state)
    with served_sample(sample, folder) as upstream:
        upstream.move_to_step(step)
        pipeline = upstream.pipeline(store, folder / "scratch")
        plan = balanced_plan(pipeline, *run, **options)
        pipeline.audit(plan)
    return Prepared(store, [plan])


@dataclass(frozen=True)
class Task:
    """What a process is to publish, and where."""

    endpoint: str
    bucket: str
    prefix: str
    plan: Plan


def publisher(task: Task) -> Pipeline:
    """Return a pipeline that can publish, and knows no sources."""
    return publisher_in(store_in(client_of(task.endpoint), task.bucket, task.prefix))


def publisher_in(store: Store) -> Pipeline:
    """Return a pipeline that can publish what was prepared in a store, and knows no sources."""
    settings = Settings.load({"bucket": store.bucket, "prefix": store.prefix}, environ={})
    return Pipeline(settings, store, sources={})


def run_stage(task: Task, orders: Connection) -> None:
    """Run the stages ``publish`` and ``verify`` whenever ``orders`` says so; end on ``None``."""
    pipeline = publisher(task)
    while orders.recv():
        publish_and_verify(pipeline, task.plan)


def publish_and_verify(pipeline: Pipeline, plan: Plan) -> dict[str, Any] | None:
    """Run the last two stages; return what ``publish`` does."""
    snapshot = pipeline.publish(plan)
    if snapshot:
        pipeline.verify(snapshot["version"], plan["edition"])
    return snapshot


def run_protocol(task: Task, orders: Connection) -> None:
    """Publish one draft whenever ``orders`` gives date and previous version; end on ``None``.

    Sends the draft's content digest first, then for each order the version that was published, or an error's kind and
    text.
    """
    store = publisher(task).store
    ledger = store.get_table(f"{task.plan['folder']}/balanced.parquet")
    facts = {name: task.plan[name] for name in ("revisions", "settings", "fingerprint")}
    facts |= {"counts": class_counts(ledger), "candidates": candidate_counts(ledger), "code_version": "test"}
    facts |= {"excluded": excluded_by_rule(ledger)}
    folder = task.plan["folder"]
    report = {name: store.get(f"{folder}/{name}") for name in (REPORT, PAGE)}
    manifest = build_manifest(ledger)
    facts |= {"content_digest": content_digest(manifest)}
    draft = build_draft(store, manifest, excluded_records(ledger), facts, previous=None, folder=folder, report=report)
    orders.send(draft.facts["content_digest"])
    while order := orders.recv():
        date, previous = order
        try:
            orders.send(("published", publish(store, draft, date, f"{date}T03:00:00+00:00", previous)["version"]))
        except SnapshotError as error:
            orders.send((type(error).__name__, str(error)))


@contextmanager
def started(task: Task, work: Callable[[Task, Connection], None]) -> Iterator[tuple[BaseProcess, Any]]:
    """Yield a process that does ``work``, and what gives it orders."""
    ours, theirs = forkserver().Pipe()
    process = forkserver().Process(target=work, args=(task, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        if process.is_alive():
            ours.send(None)
        process.join(PATIENCE)
        ours.close()


client_of("http://127.0.0.1:9")  # reads boto3's service descriptions, once for all processes
