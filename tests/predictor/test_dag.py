"""The predictor's DAG as Airflow runs it, with the predictor's own environment."""

from __future__ import annotations

import json

import pytest

from cxr_predictor.published import models_of, snapshots_of
from cxr_snapshot.publication.versions import versions
from cxr_snapshot.store.objects import Store
from support.dag_runs import states, xcom
from support.paths import ROOT
from support.patients import publish_patients

pytestmark = pytest.mark.long


@pytest.fixture
def nightly(migrated: None, patients: Store, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with the edition ``nightly``, which Airflow knows by a connection and a variable only."""
    publish_patients(snapshots_of(patients, "nightly"), "2026-11-25")
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test-secret",
        "extra": {"endpoint_url": environ["AWS_ENDPOINT_URL_S3"], "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_CXR_S3", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", json.dumps({"bucket": patients.bucket, "prefix": patients.prefix}))
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        monkeypatch.setenv(name, environ[name])
    return patients


def test_it_publishes_a_model_or_is_skipped_where_patients_are_too_few(
    nightly: Store, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    def run(snapshot: str):
        dag = DagBag(str(ROOT / "dags/covid_cxr_predictor.py")).dags["covid_cxr_predictor"]
        return dag.test(run_conf={"snapshot": snapshot})

    done = run("nightly/2026-11-25")
    assert states(done) == {"choose": "success", "train": "success"}
    made = xcom(done, "train")
    assert (made["uri"], made["new"]) == (nightly.uri("models/nightly/2026-11-25/"), True)
    assert versions(models_of(nightly, "nightly")) == ["2026-11-25"]
    small = run("small/2026-11-23")
    assert states(small) == {"choose": "success", "train": "skipped"}
    logged = "".join([caplog.text, *capfd.readouterr()])
    assert "Traceback" not in logged
    assert "too few patients" in logged
    assert "test-secret" not in logged
    assert "test-secret" not in json.dumps(made)
