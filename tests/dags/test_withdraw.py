"""The DAG that takes images back: it shows first, asks a person, and then acts."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.publication.marks import read_mark
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.withdrawals import load_withdrawals
from support.answers import answer
from support.dag_runs import states, xcom
from support.paths import ROOT
from support.stages import EARLIER
from support.stores import copy_objects
from support.withdrawers import published

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models import DagRun

DAY = EARLIER[1][:10]


@pytest.fixture
def run_withdrawal(
    dag_bag: DagBag, configure: Callable[..., None], last_state: Store, store: Store
) -> Callable[..., DagRun]:
    """Return what runs the DAG once over a store with a snapshot."""
    copy_objects(last_state, store)

    def run(**conf: Any) -> DagRun:
        dag = type(dag_bag)(str(ROOT / "dags/covid_cxr_withdraw.py")).dags["covid_cxr_withdraw"]
        return dag.test(run_conf=conf)

    return run


def test_a_person_sees_what_would_go_and_decides(run_withdrawal: Callable[..., DagRun], store: Store) -> None:
    image = published(store, DAY).iloc[0]
    ask = {"image": image["sha256"], "reason": "The publisher retracted it."}
    with ThreadPoolExecutor(1) as person:
        asked = person.submit(answer, "Reject")
        rejected = run_withdrawal(**ask)
        text = asked.result()
    assert f"{image['source']}:{image['path']}" in text.replace("\\", "")
    assert f"default {DAY}: {image['file']}" in text
    assert "The reason is published: The publisher retracted it." in text
    assert states(rejected)["withdraw"] == "skipped"
    assert load_withdrawals(store) == ()

    with ThreadPoolExecutor(1) as person:
        asked = person.submit(answer, "Approve")
        approved = run_withdrawal(**ask, erase=True)
        assert "**deleted for good**" in asked.result()
    assert xcom(approved, "withdraw") == {"number": 1, "marked": 1}
    assert read_mark(store, DAY)[0].state == "erased"
    (note,) = load_withdrawals(store)
    assert note.by.endswith("approved by reviewer")


def test_a_form_that_asks_for_nothing_fails_at_once(run_withdrawal: Callable[..., DagRun]) -> None:
    run = run_withdrawal(reason="Why not.")
    assert states(run) == {"preview": "failed", "approve": "upstream_failed", "withdraw": "upstream_failed"}
