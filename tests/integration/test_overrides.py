"""Guards that are overridden: everything that is published says so, and the same decision gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.errors import GuardError
from cxr_snapshot.pipeline import Pipeline, Plan
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.selection.ledger import save_ledger
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.stores import copy_objects
from support.upstreams import ServedUpstream

ANSWER: Any = {"user": "reviewer", "time": "2026-11-23T04:05:06+00:00"}
SAYING_IT = ("README.md", "CHANGES.md", "audit.html")


def audited(pipeline: Pipeline, run_id: str, **options: Any) -> tuple[Plan, dict[str, Any]]:
    """Run the stages up to ``audit``; return the plan, and what the audit returned."""
    plan = pipeline.poll(run_id, "2026-11-23T03:00:00+00:00", **options)
    assert plan is not None
    for source in pipeline.sources:
        pipeline.ingest(plan, source)
    for shard in range(INSPECT_SHARDS):
        pipeline.inspect(plan, shard)
    pipeline.filter(plan)
    pipeline.balance(plan)
    return plan, pipeline.audit(plan)


@pytest.fixture
def shrunken(last_state: Store, sample: ServedUpstream, store: Store) -> dict[str, Any]:
    """Let the store have a snapshot, and the upstream fewer images of COVID; return its ``snapshot.json``."""
    copy_objects(last_state, store)
    sample.move_to_step(1)
    snapshot, _ = read_latest(store)
    assert snapshot is not None
    return snapshot


def text_of(store: Store, version: str, name: str) -> str:
    return store.get(f"{version}/{name}").decode().replace("\\", "")


def test_an_accepted_shrink_is_failed_for_good(
    sample: ServedUpstream, store: Store, tmp_path: Path, shrunken: dict[str, Any]
) -> None:
    pipeline = sample.pipeline(store, tmp_path)
    accepted = run_stages(pipeline, "manual__1", accept_shrink=True, triggered_by="alice").snapshot
    assert accepted is not None
    before, after = shrunken["candidates"]["COVID"], accepted["candidates"]["COVID"]
    (override,) = accepted["overrides"]
    assert override["check"] == "shrink_COVID"
    assert (override["measured"]["before"], override["measured"]["after"]) == (before, after)
    assert (override["limit"], override["over"]) == (0.1, round((before - after) / before - 0.1, 4))
    assert (override["how"], override["run"], override["user"]) == ("accept_shrink", "manual__1", "alice")
    audit = accepted["audit"]
    assert (audit["checks"] - audit["passed"], audit["accepted"]) == (1, 1)
    for name in SAYING_IT:
        text = text_of(store, accepted["version"], name)
        assert f"COVID has {after} candidates" in text, name
        assert "Accepted by the setting accept_shrink of run manual__1, which alice triggered" in text, name
    report = json.loads(store.get(f"{accepted['version']}/audit.json"))
    assert report["overrides"] == accepted["overrides"]
    (failed,) = [check for check in report["checks"] if not check["passed"]]
    assert failed["accepted_by"] == "the setting accept_shrink of run manual__1, which alice triggered"

    # The loss is not held against the next night: same images, other words.
    again = pipeline.poll("nightly", "2026-11-24T03:00:00+00:00", force=True)
    assert again is not None
    for stage in (pipeline.filter, pipeline.balance):
        stage(again)
    found = pipeline.audit(again)
    assert all(check["passed"] for check in found["checks"])
    assert found["to_approve"] == ""
    trend = json.loads(store.get(f"{again['folder']}/audit.json"))["trend"]
    assert [(each["version"], each["accepted"]) for each in trend] == [
        (shrunken["version"], []),
        (accepted["version"], ["COVID"]),
    ]


@pytest.mark.long
def test_nothing_is_recorded_where_nothing_had_to_be_accepted(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    first = run_stages(sample.pipeline(store, tmp_path), "first", accept_shrink=True, triggered_by="alice").snapshot
    assert first is not None
    assert first["overrides"] == []
    assert first["audit"]["checks"] == first["audit"]["passed"]
    for name in SAYING_IT:
        assert "overridden" not in text_of(store, first["version"], name)
        assert "alice" not in text_of(store, first["version"], name)


@pytest.mark.long
def test_an_approval_is_published_with_the_name_of_who_gave_it(
    sample: ServedUpstream, store: Store, tmp_path: Path, shrunken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = sample.pipeline(store, tmp_path, approval="on")
    plan, found = audited(pipeline, "manual__2")
    assert f"{shrunken['version']}, had {shrunken['candidates']['COVID']}:" in found["to_approve"]
    with pytest.raises(GuardError, match="no record that a person approved it"):
        pipeline.publish(plan)
    assert read_latest(store)[0] == shrunken

    # The publisher dies after a few objects, and is tried again with the same answer.
    copy, copied = Store.copy, iter([True] * 5)

    def dying_copy(store: Store, source: str, target: str) -> None:
        if not next(copied, False):
            raise ConnectionError("killed")
        copy(store, source, target)

    with monkeypatch.context() as patch, pytest.raises(ConnectionError, match="killed"):
        patch.setattr(Store, "copy", dying_copy)
        pipeline.publish(plan, ANSWER)
    assert read_latest(store)[0] == shrunken
    approved = pipeline.publish(plan, ANSWER)
    assert approved is not None
    pipeline.verify(approved["version"])
    assert approved["version"] == "2026-11-23", "the same answer continued what was begun"
    assert pipeline.publish(plan, ANSWER) == approved
    continued = store.list("2026-11-23/")

    store.delete([*continued, "_work/claims/2026-11-23.json"])
    store.put_json("latest.json", {name: shrunken[name] for name in ("version", "uri", "manifest_sha256")})
    assert pipeline.publish(plan, ANSWER) == approved
    at_once = store.list("2026-11-23/")
    assert {name: item.etag for name, item in at_once.items()} == {n: item.etag for n, item in continued.items()}

    (override,) = approved["overrides"]
    assert (override["how"], override["run"]) == ("approval", "manual__2")
    assert (override["user"], override["time"]) == ("reviewer", ANSWER["time"])
    for name in SAYING_IT:
        text = text_of(store, approved["version"], name)
        assert f"Accepted by reviewer in run manual__2 at {ANSWER['time']}." in text, name
        assert "a person is asked" not in text, name
    checks = approved["audit"]["checks"]
    counted = f"{checks - 1} of {checks} checks passed, 1 failed and was accepted by reviewer."
    assert counted in text_of(store, approved["version"], "README.md")
    assert counted in text_of(store, approved["version"], "audit.html")


@pytest.mark.long
def test_a_class_that_lost_everything_is_published_by_nobody(
    sample: ServedUpstream, store: Store, tmp_path: Path, shrunken: dict[str, Any]
) -> None:
    pipeline = sample.pipeline(store, tmp_path, approval="on")
    plan, _ = audited(pipeline, "empty", accept_shrink=True)
    ledger = store.get_table(f"{plan['folder']}/filtered.parquet")
    ledger.loc[ledger["class"].eq("COVID") & ledger["rule"].isna(), "rule"] = "not_xray"
    save_ledger(store, plan["folder"], "filtered", ledger)
    pipeline.balance(plan)
    with pytest.raises(GuardError, match="smallest_class is COVID: 0, limit 1"):
        pipeline.audit(plan)
    assert read_latest(store)[0] == shrunken


@pytest.mark.long
def test_a_loss_spread_over_nights_is_refused_in_the_end(
    sample: ServedUpstream, store: Store, tmp_path: Path, shrunken: dict[str, Any]
) -> None:
    """Each step within the limit, both together not; over real snapshots, which hand the counts on."""
    sample.move_to_step(3)
    pipeline = sample.pipeline(store, tmp_path, max_shrink=0.3)
    snapshot = run_stages(pipeline, "night-21", "2026-11-21T03:00:00+00:00").snapshot
    assert snapshot is not None
    sample.move_to_step(1)
    best, most = shrunken["version"], shrunken["candidates"]["COVID"]
    assert most > snapshot["candidates"]["COVID"]
    with pytest.raises(GuardError, match=rf"slow_loss_COVID: .*{best}, had {most}: 40 % lost") as refused:
        audited(sample.pipeline(store, tmp_path, max_shrink=0.3), "night-22")
    assert "shrink_COVID:" not in str(refused.value)
