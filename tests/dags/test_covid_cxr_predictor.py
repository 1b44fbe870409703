"""The predictor's DAG, as far as it can be tried without the predictor's own environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_runtime import store_variables
from cxr_predictor.environment import TOO_FEW
from support.paths import ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


def test_it_waits_for_the_asset_and_is_paused_at_first(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["covid_cxr_predictor"]
    assert dag.is_paused_upon_creation
    assert [asset.name for asset in dag.schedule] == ["covid_cxr_snapshot"]
    train = dag.get_task("train")
    assert train.upstream_task_ids == {"choose"}
    assert (train.expect_airflow, train.skip_on_exit_code) == (False, [TOO_FEW])


@pytest.mark.parametrize(
    ("events", "chosen"),
    [
        ([], "2026-11-22"),
        ([{"version": "2026-11-23"}, {"version": "2026-11-24"}], "default/2026-11-24"),
        ([{"version": "2026-11-24", "edition": "adults"}], "adults/2026-11-24"),
        ([{}], "2026-11-22"),
    ],
    ids=["by-hand", "newest", "edition", "event-by-hand"],
)
def test_the_snapshot_is_that_of_the_newest_event(
    dag_bag: DagBag, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]], chosen: str
) -> None:
    from types import SimpleNamespace

    choose = dag_bag.dags["covid_cxr_predictor"].get_task("choose").python_callable
    module = choose.__globals__
    found = {module["SNAPSHOT"]: [SimpleNamespace(extra=extra) for extra in events]} if events else {}
    context = {"triggering_asset_events": found, "params": {"snapshot": "2026-11-22"}}
    monkeypatch.setitem(module, "get_current_context", lambda: context)
    assert choose() == chosen


def test_without_its_environment_the_task_fails_for_good_and_says_what_to_do(
    configure: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.exceptions import AirflowFailException

    monkeypatch.setenv("CXR_PREDICTOR_PYTHON", str(tmp_path / "python"))
    bag = DagBag(str(ROOT / "dags/covid_cxr_predictor.py"))
    assert bag.import_errors == {}
    with pytest.raises(AirflowFailException, match=r"python does not exist. Run `make predictor`"):
        bag.dags["covid_cxr_predictor"].get_task("train").execute_callable()


def test_the_store_of_the_connection_is_in_the_environment_of_its_process(
    configure: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of something else")
    found = store_variables()
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"]) == ("test", "test-secret")
    assert found["AWS_SESSION_TOKEN"] == ""
    assert found["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1:")
    monkeypatch.delenv("AIRFLOW_CONN_CXR_S3")
    assert store_variables()["AWS_ACCESS_KEY_ID"] == "of something else"
