"""What the DAG's tasks need from Airflow: settings, clients and errors, handed to the Airflow-free pipeline."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from airflow_form import overrides
from cxr_snapshot.editions import DEFAULT, Edition, place_of
from cxr_snapshot.errors import RateLimitedError, SettingsError
from cxr_snapshot.progress import duration

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context
    from botocore.config import Config

    from cxr_snapshot.pipeline import Pipeline
    from cxr_snapshot.settings import Settings
    from cxr_snapshot.store.objects import Store

S3_CONNECTION = "cxr_s3"
GITHUB_CONNECTION = "cxr_github"
KAGGLE_CONNECTION = "cxr_kaggle"
SETTINGS_VARIABLE = "cxr_snapshot"

LONGEST_PAUSE = 6 * 3600.0  # seconds between two tries; those of GitHub end within the hour


@contextmanager
def pipeline(edition: Edition = DEFAULT, overrides: Mapping[str, Any] | None = None) -> Iterator[Pipeline]:
    """Yield the pipeline of the current task.

    Args:
        edition: of the DAG; its settings win over the Airflow variable ``cxr_snapshot`` (a JSON object of setting
            names), which wins over the environment.
        overrides: settings from the trigger form; they win over all others.

    Raises:
        AirflowFailException: an error that a retry cannot mend; Airflow fails the task at once.
        SnapshotError: any other error of the pipeline; Airflow retries the task.
    """
    # Imported here because the DAG processor parses DAG files all day, and these take a second.
    from airflow.sdk.exceptions import AirflowFailException

    from cxr_snapshot.errors import SnapshotError
    from cxr_snapshot.pipeline import Pipeline
    from cxr_snapshot.sources import build_judges, build_sources
    from cxr_snapshot.store.client import open_store

    try:
        settings = load_settings({**_credentials(), **edition.settings, **(overrides or {})})
        if not edition.is_default:  # whose DAG may fetch the same at the same time
            settings = replace(settings, scratch_dir=settings.scratch_dir / edition.name)
        store = open_store(settings, s3_client())
        yield Pipeline(settings, store, build_sources(settings), build_judges(settings))
    except SnapshotError as error:
        if error.transient:
            raise
        raise AirflowFailException(str(error)) from error


def edition_of_run(edition: Edition, filled: Mapping[str, Any], taken: Collection[str]) -> str:
    """Return the name of the edition under which a run publishes.

    Args:
        edition: of the DAG.
        filled: the trigger form as it was filled.
        taken: names of all editions that have a DAG.

    Raises:
        SettingsError: see :func:`cxr_snapshot.editions.place_of`.
    """
    own, wanted = (load_settings({**edition.settings, **more}).selection() for more in ({}, overrides(filled)))
    return place_of(edition, filled["edition"], own, wanted, taken)


def main_facts_first(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``publish`` hands on: ``snapshot.json``, so that people read first what they look for.

    The ``edition`` is added where it is the default one, which ``snapshot.json`` does not name.
    """
    first = {name: snapshot[name] for name in ("version", "uri", "counts")}
    first["edition"] = snapshot.get("edition", DEFAULT.name)
    others = {name: value for name, value in snapshot.items() if name != "audit"}
    return {**first, **others, "audit": snapshot["audit"]}


class WaitAsAsked(RetryPolicy):
    """Tries a task again when the upstream's rate limit says that it may, and else as Airflow does by itself."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide on a task that failed; see Airflow's ``RetryPolicy``."""
        if not isinstance(exception, RateLimitedError) or exception.seconds is None:
            return RetryDecision.default()
        pause = timedelta(seconds=min(exception.seconds, LONGEST_PAUSE) + 1)
        return RetryDecision.retry(pause, f"The rate limit asks for a pause of {duration(exception.seconds)}.")


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings; ``overrides`` win over the Airflow variable, which wins over the environment.

    Args:
        overrides: values by setting name; ``None`` values count as not given.

    Raises:
        SettingsError: they are incomplete or wrong.
    """
    from airflow.sdk import Variable

    from cxr_snapshot.settings import Settings

    variable = Variable.get(SETTINGS_VARIABLE, default={}, deserialize_json=True)
    for name in ("sources", "judges"):
        if name in variable:
            raise SettingsError(
                f"the Airflow variable {SETTINGS_VARIABLE} holds {name}, which are read where the DAG file is parsed. "
                f"Take it out, and set the environment variable CXR_{name.upper()} for all parts of Airflow."
            )
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    return Settings.load({**variable, **given})


def time_travel(
    run_type: str, logical_date: datetime | None, as_of: str | None, covid_commit: str | None
) -> tuple[str | None, dict[str, str]]:
    """Say which day a run stands for, if not for now, and which revisions that pins.

    Args:
        run_type: Airflow's word for how the run came about.
        logical_date: the run's own date; only a backfill stands for it.
        as_of: a day, ``YYYY-MM-DD``, if the trigger form has one.
        covid_commit: a commit, if the trigger form has one.

    Returns:
        The day, or ``None`` for now; and the pins by source.

    Raises:
        SettingsError: the form has both.
    """
    if as_of and covid_commit:
        raise SettingsError(
            f"As of (as_of) is {as_of} and COVID commit (covid_commit) is {covid_commit}, but a run takes one of them. "
            "Trigger it again and leave one empty."
        )
    if as_of is None and run_type == "backfill" and logical_date is not None:
        as_of = logical_date.astimezone(UTC).date().isoformat()
    pin = covid_commit or as_of
    return as_of, {"covid": pin} if pin else {}


def _credentials() -> dict[str, str | None]:
    """Return what the optional connections to the upstreams say."""
    github, kaggle = find_connection(GITHUB_CONNECTION), find_connection(KAGGLE_CONNECTION)
    found: dict[str, str | None] = {}
    if github:
        found["github_token"] = github.password
    if kaggle and kaggle.login:
        found |= {"kaggle_username": kaggle.login, "kaggle_key": kaggle.password}
    elif kaggle:
        found["kaggle_token"] = kaggle.password
    return found


def store_for_pages() -> Store:
    """Return the tasks' store for Airflow's web server: its client gives up soon, and signs addresses.

    Raises:
        SettingsError: the settings are not complete, or wrong.
    """
    from cxr_snapshot.store.client import open_store

    connection = find_connection(S3_CONNECTION)
    named = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    return open_store(load_settings(), _client_for_pages(connection.get_uri() if connection else None, named))


@lru_cache(maxsize=1)
def _client_for_pages(connection: str | None, named: tuple[tuple[str, str], ...]) -> Any:  # noqa: ARG001
    """Return the client; a new one only where connection or environment are others, for it takes half a second."""
    from botocore.config import Config

    from cxr_snapshot.store.client import CLIENT_CONFIG

    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    hasty = Config(retries=retries, connect_timeout=5, read_timeout=20, signature_version="s3v4")
    return s3_client(CLIENT_CONFIG.merge(hasty))


def s3_client(config: Config | None = None, name: str = S3_CONNECTION) -> Any:
    """Return a client from the connection ``name``, or else from the environment as boto3 reads it."""
    from cxr_snapshot.store.client import CLIENT_CONFIG, checked, connect

    config = config or CLIENT_CONFIG
    if find_connection(name) is None:
        return connect(config)
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return checked(S3Hook(aws_conn_id=name, config=config).get_conn)


def store_variables() -> dict[str, str]:
    """Return this process's environment, for a program without Airflow.

    boto3 finds the store of the connection ``cxr_s3`` in it, where there is that connection.
    """
    if find_connection(S3_CONNECTION) is None:
        return dict(os.environ)
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id=S3_CONNECTION)
    keys, address = hook.get_credentials(), s3_client().meta
    named = {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
    named |= {"AWS_SESSION_TOKEN": keys.token}
    named |= {"AWS_ENDPOINT_URL_S3": address.endpoint_url, "AWS_DEFAULT_REGION": address.region_name}
    return {**os.environ, **{name: value or "" for name, value in named.items()}}


def find_connection(name: str) -> Connection | None:
    """Return an Airflow connection, or ``None`` where there is none of this name."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection: Connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    return connection
