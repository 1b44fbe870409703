"""What the DAG's tasks need from Airflow: settings, clients and errors, handed to the Airflow-free pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from cxr_snapshot.pipeline import Pipeline

S3_CONNECTION = "cxr_s3"
GITHUB_CONNECTION = "cxr_github"
KAGGLE_CONNECTION = "cxr_kaggle"
SETTINGS_VARIABLE = "cxr_snapshot"


@contextmanager
def pipeline(overrides: Mapping[str, Any] | None = None) -> Iterator[Pipeline]:
    """Yield the pipeline of the current task.

    Args:
        overrides: settings from the trigger form; they win over the Airflow variable ``cxr_snapshot`` (a JSON object of
            setting names), which wins over the environment.

    Raises:
        AirflowFailException: an error that a retry cannot mend; Airflow fails the task at once.
        SnapshotError: any other error of the pipeline; Airflow retries the task.
    """
    # Imported here because the DAG processor parses DAG files all day, and these take a second.
    from airflow.sdk import Variable
    from airflow.sdk.exceptions import AirflowFailException

    from cxr_snapshot.errors import SnapshotError
    from cxr_snapshot.pipeline import Pipeline
    from cxr_snapshot.settings import Settings
    from cxr_snapshot.sources import build_sources
    from cxr_snapshot.storage import open_store

    try:
        variable = Variable.get(SETTINGS_VARIABLE, default={}, deserialize_json=True)
        settings = Settings.load({**variable, **_credentials(), **(overrides or {})})
        store = open_store(settings, _s3_client())
        yield Pipeline(settings, store, build_sources(settings))
    except SnapshotError as error:
        if error.transient:
            raise
        raise AirflowFailException(str(error)) from error


def _credentials() -> dict[str, str | None]:
    """Return what the optional connections to the upstreams say."""
    github, kaggle = _connection(GITHUB_CONNECTION), _connection(KAGGLE_CONNECTION)
    found: dict[str, str | None] = {}
    if github:
        found["github_token"] = github.password
    if kaggle and kaggle.login:
        found |= {"kaggle_username": kaggle.login, "kaggle_key": kaggle.password}
    elif kaggle:
        found["kaggle_token"] = kaggle.password
    return found


def _s3_client() -> Any:
    """Return a client from the connection ``cxr_s3``, or else from the environment as boto3 reads it."""
    from cxr_snapshot.storage import CLIENT_CONFIG, connect

    if _connection(S3_CONNECTION) is None:
        return connect()
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    return S3Hook(aws_conn_id=S3_CONNECTION, config=CLIENT_CONFIG).get_conn()


def _connection(name: str) -> Connection | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection: Connection = Connection.get(name)
    except AirflowNotFoundException:
        return None
    return connection
