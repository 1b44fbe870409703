"""A guard trips: the run fails, or a person decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath

import pytest

from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.store.objects import Store
from support.answers import answer
from support.dag_runs import RunDag, states, xcom
from support.stores import copy_objects
from support.upstreams import ServedUpstream


@pytest.fixture
def smaller(sample: ServedUpstream, store: Store, last_state: Store) -> str:
    """A commit with fewer COVID images than the snapshot in the store had."""
    commit = sample.move_to_step(1)
    sample.move_to_step(5)
    copy_objects(last_state, store)
    return commit


@pytest.mark.long
def test_shrunken_class_fails_the_run_where_nobody_is_asked(
    run_dag: RunDag, configure: Callable[..., None], smaller: str, hook_messages: list[dict[str, str]]
) -> None:
    configure(notify="hook")
    refused = run_dag(covid_commit=smaller)
    assert str(refused.state) == "failed"
    assert states(refused)["audit"] == "failed"
    assert states(refused)["approve"] == states(refused)["publish"] == "upstream_failed"
    (message,) = hook_messages
    assert "audit failed" in message["text"]
    assert "trigger one run with accept_shrink" in message["text"]


@pytest.mark.long
def test_what_a_person_rejects_is_not_published(
    run_dag: RunDag, configure: Callable[..., None], smaller: str, store: Store
) -> None:
    before = read_latest(store)[0]
    configure(approval="on")
    with ThreadPoolExecutor(1) as person:
        asked: Future[str] = person.submit(answer, "Reject")
        rejected = run_dag(covid_commit=smaller)
        assert asked.result().startswith("Publish although COVID fell from 40 to 24 candidates (40 % lost)?\n")
    assert str(rejected.state) == "success"
    assert states(rejected)["approve"] == "success"
    assert xcom(rejected, "approve") is None, "a rejection leaves nothing that could be taken for an approval"
    assert states(rejected)["publish"] == states(rejected)["verify"] == "skipped"
    assert read_latest(store)[0] == before


def test_what_a_person_approves_is_published_with_their_name(
    run_dag: RunDag, configure: Callable[..., None], smaller: str, store: Store, hook_messages: list[dict[str, str]]
) -> None:
    before, _ = read_latest(store)
    assert before is not None
    configure(approval="on", notify="hook")
    with ThreadPoolExecutor(1) as person:
        asked: Future[str] = person.submit(answer, "Approve")
        approved = run_dag(covid_commit=smaller)
        title, _, text = asked.result().partition("\n")
    assert title == "Publish although COVID fell from 40 to 24 candidates (40 % lost)?"
    assert f"the last snapshot with these settings, {before['version']}, had 40: 40 % lost, the limit is 10 %." in text
    assert "| COVID | 40 | 24 | **-40 %** |" in text
    assert f"**COVID candidates of {before['version']} that are none any more: 18 images**, and 2 new ones" in text
    drafts = re.findall(r"\(/covid-cxr-snapshots/drafts/(.+?)\)", text)
    assert [PurePosixPath(draft).name for draft in drafts] == ["lost.jpg", "lost.jpg", "audit.html"]
    assert all(store.exists(f"_work/runs/{draft}") for draft in drafts)
    assert "**Approve** publishes it. Your name" in text
    assert "**Reject** ends the run and publishes nothing" in text

    assert states(approved)["approve"] == states(approved)["verify"] == "success"
    latest, _ = read_latest(store)
    assert latest is not None
    assert latest["revisions"]["covid"] == smaller
    question, published = (message["text"] for message in hook_messages)
    assert question.splitlines()[:2] == ["Chest X-ray snapshot: a person has to decide", title]
    assert question.splitlines()[3].endswith("/tasks/approve/required_actions")
    assert f"snapshot {latest['version']} is published" in published

    (override,) = latest["overrides"]
    assert (override["check"], override["how"]) == ("shrink_COVID", "approval")
    assert (override["user"], override["run"]) == ("reviewer", approved.run_id)
    assert xcom(approved, "approve") == {"user": "reviewer", "time": override["time"]}
    assert datetime.fromisoformat(override["time"]).utcoffset() == timedelta(0)
    for name in ("README.md", "CHANGES.md", "audit.html"):
        said = store.get(f"{latest['version']}/{name}").decode().replace("\\", "")
        assert f"Accepted by reviewer in run {approved.run_id} at {override['time']}." in said, name


@pytest.mark.parametrize(
    ("user", "name"), [({"id": "7", "name": "ann"}, "ann"), ({"id": "7", "name": ""}, "7"), (None, None)]
)
def test_an_approval_names_the_user_as_far_as_airflow_does(user: dict[str, str] | None, name: str | None) -> None:
    from airflow_approval import ApprovalIfNeeded

    asked = ApprovalIfNeeded(task_id="approve", subject="Publish?", body="Something is lost.")
    east = datetime(2026, 11, 23, 13, 30, 15, 999, tzinfo=timezone(timedelta(hours=9, minutes=30)))
    event = {"chosen_options": ["Approve"], "params_input": {}, "responded_by_user": user, "responded_at": east}
    assert asked.execute_complete({}, event) == {"user": name, "time": "2026-11-23T04:00:15+00:00"}


@pytest.mark.long
def test_accepting_a_shrink_is_recorded_with_the_run_and_who_triggered_it(
    run_dag: RunDag, configure: Callable[..., None], smaller: str, store: Store
) -> None:
    configure(approval="on")
    run = run_dag(covid_commit=smaller, accept_shrink=True)
    assert states(run)["approve"] == "skipped", "nobody is asked what the run's setting says"
    assert states(run)["verify"] == "success"
    latest, _ = read_latest(store)
    assert latest is not None
    (override,) = latest["overrides"]
    assert (override["how"], override["run"], override["user"]) == ("accept_shrink", run.run_id, "dag_test")
