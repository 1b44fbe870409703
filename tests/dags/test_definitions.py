"""What the DAG files promise, read from the parsed DAGs; nothing is run."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from airflow_runtime import load_settings, time_travel
from cxr_snapshot.errors import SettingsError
from support.paths import ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAG_IDS = (
    "covid_cxr_snapshot",
    "covid_cxr_snapshot_adults",
    "covid_cxr_predictor",
    "covid_cxr_withdraw",
    "example_snapshot_consumer",
)


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_everything_has_a_name_a_manual_and_a_limit(dag_bag: DagBag, dag_id: str) -> None:
    dag = dag_bag.dags[dag_id]
    assert dag.doc_md
    for task in dag.tasks:
        assert task.doc_md, task.task_id
        assert task.task_display_name != task.task_id
        assert timedelta(minutes=15) <= task.execution_timeout <= timedelta(hours=6)


@pytest.mark.parametrize("dag_id", ["covid_cxr_snapshot", "covid_cxr_withdraw"])
def test_every_parameter_is_explained(dag_bag: DagBag, dag_id: str) -> None:
    params = dag_bag.dags[dag_id].params
    for name in params:
        schema = params.get_param(name).schema
        assert schema["title"] and params.get_param(name).description, name
        assert schema["type"], name


def test_only_errors_of_network_store_and_disk_are_worth_a_retry() -> None:
    from cxr_snapshot import errors

    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert {item.__name__ for item in classes if getattr(item, "transient", False)} == {
        "UpstreamUnavailableError",
        "RateLimitedError",
        "StorageUnavailableError",
        "PublishConflictError",
        "SpillError",
    }


@pytest.mark.parametrize(("asked", "waited"), [(1800.0, 1801), (10.0**9, 6 * 3600 + 1), (None, None)])
def test_a_task_is_tried_again_when_the_rate_limit_says_so(asked: float | None, waited: int | None) -> None:
    from airflow.sdk.definitions.retry_policy import RetryAction

    from airflow_runtime import WaitAsAsked
    from cxr_snapshot.errors import RateLimitedError

    error = RateLimitedError("covid", "https://example.invalid", "rate limit reached", "Wait.")
    error.seconds = asked
    decision = WaitAsAsked().evaluate(error, 1, 3)
    assert decision.action is (RetryAction.DEFAULT if asked is None else RetryAction.RETRY)
    assert decision.retry_delay == (None if waited is None else timedelta(seconds=waited))


def test_schedule_and_its_time_zone_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    def schedule() -> tuple[str, str]:
        bag = DagBag(str(ROOT / "dags/covid_cxr_snapshot.py"))
        assert bag.import_errors == {}
        timetable = bag.dags["covid_cxr_snapshot"].timetable
        return timetable.expression, str(timetable.timezone)

    assert schedule() == ("0 3 * * *", "UTC")
    monkeypatch.setenv("CXR_SCHEDULE", "30 5 * * 1-5")
    monkeypatch.setenv("CXR_TIMEZONE", "Europe/Berlin")
    cron, timezone = schedule()
    assert cron == "30 5 * * 1-5"
    assert "Europe/Berlin" in timezone


def test_collections_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    def ingested() -> tuple[list[str], int]:
        bag = DagBag(str(ROOT / "dags/covid_cxr_snapshot.py"))
        assert bag.import_errors == {}
        ingest = bag.dags["covid_cxr_snapshot"].get_task("ingest")
        return ingest.op_kwargs_expand_input.value["source"], ingest.partial_kwargs["max_active_tis_per_dag"]

    monkeypatch.delenv("CXR_SOURCES", raising=False)
    monkeypatch.delenv("CXR_JUDGES", raising=False)
    assert ingested() == (["covid", "pneumonia"], 2)
    monkeypatch.setenv("CXR_SOURCES", "covid,nih,hannover")
    assert ingested() == (["covid", "nih", "hannover"], 3)
    monkeypatch.setenv("CXR_JUDGES", "pneumonia,nih")
    assert ingested() == (["covid", "nih", "hannover", "pneumonia"], 4)
    monkeypatch.setenv("CXR_SOURCES", "covid,hanover")
    (problem,) = DagBag(str(ROOT / "dags/covid_cxr_snapshot.py")).import_errors.values()
    assert "did you mean hannover?" in problem


def test_each_edition_has_a_dag_that_starts_paused_but_for_the_default_one(dag_bag: DagBag) -> None:
    default, adults = dag_bag.dags["covid_cxr_snapshot"], dag_bag.dags["covid_cxr_snapshot_adults"]
    assert (default.is_paused_upon_creation, adults.is_paused_upon_creation) == (None, True)
    assert (default.dag_display_name, adults.dag_display_name) == (
        "COVID chest X-ray snapshot",
        "COVID chest X-rays, adults only",
    )
    assert (default.timetable.expression, adults.timetable.expression) == ("0 3 * * *", "0 5 * * *")
    assert default.task_ids == adults.task_ids
    assert adults.doc_md.startswith("**This DAG makes the edition `adults`:** `sources` = `covid,nih,hannover`, ")
    assert adults.doc_md.endswith(default.doc_md)
    assert adults.get_task("ingest").op_kwargs_expand_input.value["source"] == ["covid", "nih", "hannover"]
    assert list(default.params) == list(adults.params)
    assert default.has_on_success_callback and not adults.has_on_success_callback, "the watchdog is the default's"


def test_editions_of_the_file_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("CXR_SOURCES", "covid,nih")
    monkeypatch.setenv("CXR_SCHEDULE", "30 5 * * 1-5")
    dags = DagBag(str(ROOT / "dags/covid_cxr_snapshot.py")).dags
    ingested = {
        name: dag.get_task("ingest").op_kwargs_expand_input.value["source"] for name, dag in sorted(dags.items())
    }
    assert ingested == {
        "covid_cxr_snapshot": ["covid", "nih"],
        "covid_cxr_snapshot_adults": ["covid", "nih", "hannover"],
    }
    assert dags["covid_cxr_snapshot_adults"].timetable.expression == "0 5 * * *"


def test_what_an_edition_names_wins_over_the_airflow_variable_and_the_form_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_form import SET_BY_FORM
    from airflow_runtime import edition_of_run
    from cxr_snapshot.editions import DEFAULT, Edition

    monkeypatch.setenv(
        "AIRFLOW_VAR_CXR_SNAPSHOT", '{"bucket": "cxr", "controls": "kaggle", "views": "frontal+lateral"}'
    )
    adults = Edition("adults", "Adults", settings={"controls": "prefer-upstream", "ages": "adults"})
    empty = dict.fromkeys((*SET_BY_FORM, "edition"))
    for same in ({}, {"controls": "prefer-upstream", "views": "frontal+lateral", "ages": "adults"}):
        assert edition_of_run(adults, empty | same, ["default", "adults"]) == "adults"
    assert edition_of_run(DEFAULT, empty | {"controls": "kaggle"}, ["default", "adults"]) == "default"
    for edition, other in (
        (adults, {"controls": "kaggle"}),
        (DEFAULT, {"ages": "adults"}),
        (DEFAULT, {"views": "frontal"}),
    ):
        with pytest.raises(SettingsError, match=f"sets {next(iter(other))} otherwise than the edition {edition.name}"):
            edition_of_run(edition, empty | other, ["default", "adults"])
        assert edition_of_run(edition, empty | other | {"edition": "try"}, ["default", "adults"]) == "try"


def test_the_form_sets_all_that_decides_the_images_but_what_the_edition_alone_may() -> None:
    from airflow_form import SET_BY_FORM, params
    from cxr_snapshot.editions import CHOICES, DEFAULT

    assert set(CHOICES) - set(SET_BY_FORM) == {"sources", "salt"}
    assert set(SET_BY_FORM) <= params(DEFAULT).keys()


def test_every_choice_of_the_form_has_a_label_and_the_first_says_what_is_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from airflow_form import params
    from cxr_snapshot.editions import DEFAULT, Edition

    monkeypatch.setenv("CXR_VIEWS", "frontal+lateral")
    monkeypatch.delenv("CXR_CONTROLS", raising=False)
    form = params(Edition("adults", "Adults", settings={"ages": "adults"}))
    for name, field in form.items():
        if choices := field.schema.get("enum"):
            labels = field.schema["values_display"]
            assert list(labels) == ["null", *map(str, choices[1:])] and len(set(labels.values())) == len(choices), name
    assert form["ages"].schema["values_display"]["null"] == "As configured: adults"
    assert form["views"].schema["values_display"]["null"] == "As configured: frontal+lateral (environment)"
    assert form["controls"].schema["values_display"]["null"] == "As configured: kaggle (default)"
    assert "the Airflow variable cxr_snapshot may set otherwise" in form["edition"].description
    assert "as configured, no limit (default)" in form["max_per_class"].description
    assert "publishes as adults" in form["edition"].description
    assert "publishes as default" in params(DEFAULT)["edition"].description


def test_titles_are_the_names_of_the_parameters_so_that_a_refusal_names_the_field(dag_bag: DagBag) -> None:
    params = dag_bag.dags["covid_cxr_snapshot"].params
    titles = {name: params.get_param(name).schema["title"].lower().replace(" ", "_") for name in params}
    assert {name for name, title in titles.items() if name != title} == set()


@pytest.mark.parametrize("name", ["sources", "judges"])
def test_the_airflow_variable_cannot_choose_collections(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", f'{{"bucket": "cxr", "{name}": "covid,nih"}}')
    with pytest.raises(SettingsError, match=f"Take it out, and set the environment variable CXR_{name.upper()}"):
        load_settings()


NIGHT = datetime.fromisoformat("2020-03-28T03:00:00+00:00")


@pytest.mark.parametrize(
    ("run_type", "as_of", "covid_commit", "day", "pins"),
    [
        ("scheduled", None, None, None, {}),
        ("manual", None, None, None, {}),
        ("manual", "2020-03-11", None, "2020-03-11", {"covid": "2020-03-11"}),
        ("manual", None, "64e4163298", None, {"covid": "64e4163298"}),
        ("backfill", None, None, "2020-03-28", {"covid": "2020-03-28"}),
        ("backfill", "2020-03-11", None, "2020-03-11", {"covid": "2020-03-11"}),
        ("backfill", None, "64e4163298", "2020-03-28", {"covid": "64e4163298"}),
    ],
)
def test_time_travel(
    run_type: str, as_of: str | None, covid_commit: str | None, day: str | None, pins: dict[str, str]
) -> None:
    assert time_travel(run_type, NIGHT, as_of, covid_commit) == (day, pins)


def test_runs_by_hand_without_a_date_stand_for_now() -> None:
    assert time_travel("manual", None, None, None) == (None, {})


def test_a_day_and_a_commit_at_once_are_refused_by_the_names_of_both_fields() -> None:
    with pytest.raises(
        SettingsError, match=r"^As of \(as_of\) is 2020-03-11 and COVID commit \(covid_commit\) is 64e4163"
    ):
        time_travel("manual", None, "2020-03-11", "64e4163")


def test_what_the_form_leaves_empty_comes_from_the_airflow_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", '{"bucket": "from-variable", "views": "frontal+lateral"}')
    monkeypatch.setenv("CXR_MAX_PER_CLASS", "7")
    settings = load_settings({"views": None, "max_per_class": 5})
    assert (settings.bucket, settings.views, settings.max_per_class) == ("from-variable", "frontal+lateral", 5)


def manifest(*rows: tuple[str, str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([("class", "split"), *rows])
    return text.getvalue().encode()


def test_consumer_counts_by_class_and_split_and_refuses_another_manifest(dag_bag: DagBag) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    count_images = dag_bag.dags["example_snapshot_consumer"].get_task("count_images").python_callable
    class_table = count_images.__globals__["class_table"]
    body = manifest(("COVID", "train"), ("COVID", "test"), ("NORMAL", "train"), ("COVID", "train"))
    lines = class_table(body, hashlib.sha256(body).hexdigest()).splitlines()
    assert [line.split() for line in lines] == [
        ["class", "train", "validation", "test"],
        ["COVID", "2", "0", "1"],
        ["NORMAL", "1", "0", "0"],
    ]
    with pytest.raises(AirflowFailException, match="was announced"):
        class_table(body + b"\n", hashlib.sha256(body).hexdigest())
