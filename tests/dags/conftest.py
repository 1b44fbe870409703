"""A migrated Airflow and the DAG, wired to the sample upstream and an empty bucket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_environment import ROOT
from cxr_snapshot.storage import Store
from support import RunDag, ServedUpstream

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models import DagRun


@pytest.fixture(scope="session")
def dag_bag() -> DagBag:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    return DagBag(str(ROOT / "dags"))


@pytest.fixture
def run_dag(
    dag_bag: DagBag, sample: ServedUpstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunDag:
    """Return what runs the DAG once, with settings from an Airflow variable and the store from a connection."""
    settings = sample.settings(tmp_path / "scratch", bucket=store.bucket, prefix=store.prefix)
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test-secret",
        "extra": {"endpoint_url": store.client.meta.endpoint_url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", json.dumps(settings, default=str))
    monkeypatch.setenv("AIRFLOW_CONN_CXR_S3", json.dumps(connection))

    def run(**conf: Any) -> DagRun:
        return dag_bag.dags["covid_cxr_snapshot"].test(run_conf=conf)

    return run
