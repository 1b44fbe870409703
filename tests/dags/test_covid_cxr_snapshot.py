"""The DAG as Airflow runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cxr_snapshot.publishing import read_latest
from cxr_snapshot.storage import Store
from support import RunDag, ServedUpstream, states, xcom

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

STAGES = ("poll", "ingest", "inspect", "filter", "balance", "audit", "publish", "verify")


def test_dag_files_import_without_errors(dag_bag: DagBag) -> None:
    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags["covid_cxr_snapshot"].task_ids) == set(STAGES)


def test_first_run_publishes_then_nothing_is_new_then_force_builds_again(
    run_dag: RunDag, sample: ServedUpstream, store: Store
) -> None:
    first = run_dag()
    assert states(first) == dict.fromkeys(STAGES, "success")
    published = xcom(first, "publish")
    assert set(published["counts"]) == {"COVID", "NORMAL", "PNEUMONIA"}
    assert len(set(published["counts"].values())) == 1 and published["counts"]["COVID"] > 0
    latest, _ = read_latest(store)
    assert latest == published

    quiet = run_dag()
    assert states(quiet) == dict.fromkeys(STAGES, "skipped") | {"poll": "success"}
    assert str(quiet.state) == "success"
    assert read_latest(store)[0] == published

    forced = run_dag(force=True)
    assert states(forced) == dict.fromkeys(STAGES, "success") | {"verify": "skipped"}
    assert read_latest(store)[0] == published

    sample.move_to_step(2)
    second = run_dag()
    assert states(second) == dict.fromkeys(STAGES, "success")
    assert xcom(second, "publish")["version"] == f"{published['version']}.1"
