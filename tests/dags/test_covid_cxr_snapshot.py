"""The DAG as Airflow runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.store.objects import Store
from support.dag_runs import RunDag, links, states, xcom
from support.upstreams import ServedUpstream
from upstream_simulator.faults import Fault

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAG = "covid_cxr_snapshot"
STAGES = ("poll", "ingest", "inspect", "filter", "balance", "audit", "publish", "verify")
UNASKED = {"approve": "skipped"}  # nobody is asked while no guard trips


def test_dag_files_import_without_errors(dag_bag: DagBag) -> None:
    assert dag_bag.import_errors == {}
    assert set(dag_bag.dags["covid_cxr_snapshot"].task_ids) == {*STAGES, "approve"}


def asset_events() -> list[tuple[str, dict[str, Any]]]:
    """Return the asset of each update and what came with it, oldest first."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).order_by(AssetEvent.id))
        return [(event.asset.name, event.extra) for event in events]


def test_nights_that_publish_or_find_nothing_new_and_runs_by_hand(
    run_dag: RunDag,
    configure: Callable[..., None],
    sample: ServedUpstream,
    store: Store,
    heartbeats: tuple[str, list[str]],
) -> None:
    configure(heartbeat_url=heartbeats[0])
    earlier = len(asset_events())  # of other tests
    first = run_dag()
    assert heartbeats[1] == ["/start", ""]
    assert states(first) == dict.fromkeys(STAGES, "success") | UNASKED
    published = xcom(first, "publish")
    assert set(published["counts"]) == {"COVID", "NORMAL", "PNEUMONIA"}
    assert len(set(published["counts"].values())) == 1 and published["counts"]["COVID"] > 0
    latest, _ = read_latest(store)
    assert latest is not None and "edition" not in latest
    assert published == latest | {"edition": "default"}
    assert list(published)[:4] == ["version", "uri", "counts", "edition"]
    assert list(published)[-1] == "audit"
    page = f"/plugin/covid-cxr-snapshots/covid-cxr-snapshots/snapshots/{published['version']}"
    assert links(first) == {"publish": page, "verify": page}

    quiet = run_dag()
    assert states(quiet) == dict.fromkeys(STAGES, "skipped") | UNASKED | {"poll": "success"}
    assert str(quiet.state) == "success"
    assert heartbeats[1] == ["/start", ""] * 2
    assert read_latest(store)[0] == latest

    commit = sample.move_to_step(2)
    sample.move_to_step(5)
    second = run_dag(covid_commit=commit[:10])
    assert states(second) == dict.fromkeys(STAGES, "success") | UNASKED
    changed = xcom(second, "publish")
    assert changed["version"] == f"{published['version']}.1"
    assert changed["revisions"]["covid"] == commit
    # Consumers of the asset hear of each published version once, and nothing of the nights between.
    assert asset_events()[earlier:] == [(DAG, published | {"page": page}), (DAG, changed | {"page": f"{page}.1"})]


@pytest.mark.long
def test_a_forced_run_with_nothing_new_publishes_nothing(run_dag: RunDag, store: Store) -> None:
    run_dag()
    latest = read_latest(store)
    forced = run_dag(force=True)
    assert states(forced) == dict.fromkeys(STAGES, "success") | UNASKED | {"verify": "skipped"}
    assert links(forced) == {"publish": None, "verify": None}
    assert read_latest(store) == latest


@pytest.mark.long
def test_a_run_with_settings_of_its_own_publishes_under_a_name_of_its_own(
    run_dag: RunDag, sample: ServedUpstream, store: Store
) -> None:
    run_dag()
    before, earlier = store.list("2"), len(asset_events())
    pointer = store.get("latest.json")
    sample.move_to_step(5)
    own = {"views": "frontal+lateral", "max_per_class": 3}

    asked = len(sample.simulator.requests)
    for name in (None, "adults", "default"):
        refused = run_dag(**own, edition=name)
        assert states(refused)["poll"] == "failed"
        assert str(refused.state) == "failed"
    assert len(sample.simulator.requests) == asked
    experiment = run_dag(**own, edition="experiment-1")
    assert states(experiment) == dict.fromkeys(STAGES, "success") | UNASKED
    published = xcom(experiment, "publish")
    assert published["edition"] == "experiment-1"
    assert published["uri"] == store.uri(f"editions/experiment-1/{published['version']}/")
    assert published["counts"] == {"COVID": 3, "NORMAL": 3, "PNEUMONIA": 3}
    assert published["settings"]["views"] == "frontal+lateral"
    assert read_latest(store.edition("experiment-1"))[0] == published
    assert (store.list("2"), store.get("latest.json")) == (before, pointer)
    page = f"editions/experiment-1/snapshots/{published['version']}"
    assert links(experiment)["verify"].endswith(f"/covid-cxr-snapshots/{page}")
    event = published | {"page": links(experiment)["publish"]}
    assert asset_events()[earlier:] == [("covid_cxr_snapshot_experiment-1", event)]

    quiet = run_dag(**own, edition="experiment-1")
    assert states(quiet)["poll"] == "success" and states(quiet)["verify"] == "skipped"
    assert asset_events()[earlier + 1 :] == []


def test_failing_source_fails_the_run_and_publishes_nothing(
    run_dag: RunDag,
    configure: Callable[..., None],
    sample: ServedUpstream,
    store: Store,
    heartbeats: tuple[str, list[str]],
) -> None:
    configure(heartbeat_url=heartbeats[0])
    sample.simulator.faults.add(Fault("404", path="/git/trees/", times=100))
    run = run_dag()
    assert str(run.state) == "failed"
    assert heartbeats[1] == ["/start", "/fail"]
    found = states(run)
    assert found["poll"] == "success"
    assert found["ingest"] == "failed/success"  # the other source went through
    assert {found[stage] for stage in STAGES[2:]} == {"upstream_failed"}
    assert store.list("2026") == {}
    assert read_latest(store) == (None, None)


@pytest.mark.parametrize(
    "conf",
    [
        {"views": "sideways"},
        {"max_per_class": 0},
        {"covid_commit": "2020-03-28"},
        {"as_of": "28.3.2020"},
        {"as_of": "2020-02-30"},
        {"force": "perhaps"},
    ],
)
def test_bad_parameters_are_refused(run_dag: RunDag, conf: dict[str, object]) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError, match=next(iter(conf))):
        run_dag(**conf)
