"""The DAGs under a real scheduler, which is killed on the way."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cxr_snapshot.publication.versions import is_version, read_latest
from cxr_snapshot.store.objects import Store
from support.airflow import RealAirflow
from support.paths import ROOT
from support.upstreams import ServedUpstream
from support.waiting import PATIENCE, eventually
from upstream_simulator.faults import Fault

DAG = "covid_cxr_snapshot"
CONSUMER = "example_snapshot_consumer"
LINEAGE = "/api/v1/lineage"


@pytest.fixture
def collector() -> Iterator[tuple[int, list[bytes]]]:
    """Serve what takes metrics by OTLP, and lineage by OpenLineage, over HTTP; give its port, and what came."""
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, received
        server.shutdown()


@pytest.fixture
def airflow(
    sample: ServedUpstream,
    store: Store,
    airflow_database: Path,
    tmp_path: Path,
    collector: tuple[int, list[bytes]],
) -> Iterator[RealAirflow]:
    home = tmp_path / "airflow"
    home.mkdir()
    settings = sample.settings(tmp_path / "scratch", bucket=store.bucket, prefix=store.prefix, http_timeout=PATIENCE)
    environ = {f"CXR_{name.upper()}": str(value) for name, value in settings.items()} | {
        "AWS_ENDPOINT_URL_S3": store.client.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONPATH": str(ROOT / "include"),
        "AIRFLOW__METRICS__OTEL_ON": "True",
        "AIRFLOW__METRICS__OTEL_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__OTEL_PORT": str(collector[0]),
        "AIRFLOW__METRICS__OTEL_INTERVAL_MILLISECONDS": "1000",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "test",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "http", "url": f"http://127.0.0.1:{collector[0]}", "endpoint": LINEAGE.removeprefix("/")}
        ),
    }
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    with RealAirflow(home, airflow_database, inherited | environ) as running:
        yield running


@pytest.mark.long
def test_nightly_run_survives_a_kill_and_a_backfill_goes_back(
    airflow: RealAirflow, sample: ServedUpstream, store: Store, collector: tuple[int, list[bytes]]
) -> None:
    sample.move_to_step(3)
    sample.simulator.faults.add(Fault("slow", path="/github-codeload/", seconds=2 * PATIENCE))

    def is_ingesting() -> bool:  # and has met the fault, which so is not there for the next try
        return any("/github-codeload/" in request.path for request in list(sample.simulator.requests))

    eventually(is_ingesting, "ingest")
    airflow.kill_scheduler()
    airflow.start_scheduler()
    nightly = airflow.finished_run(DAG, 0)
    assert (nightly["run_type"], nightly["state"]) == ("scheduled", "success")
    latest, _ = read_latest(store)
    assert latest is not None
    assert airflow.states(nightly)["verify"] == {"success"}

    backfill = {"from_date": "2020-03-28T00:00:00Z", "to_date": "2020-03-28T23:59:00Z"}
    airflow.call("POST", "/api/v2/backfills", dag_id=DAG, **backfill)
    past = airflow.finished_run(DAG, 1)
    assert (past["run_type"], past["state"]) == ("backfill", "success")
    snapshot = store.get_json("2020-03-28/snapshot.json")
    assert snapshot is not None
    assert snapshot["previous"] is None
    assert snapshot["candidates"]["COVID"] < latest["candidates"]["COVID"]
    assert read_latest(store)[0] == latest

    airflow.call("POST", f"/api/v2/dags/{DAG}/dagRuns", logical_date=None)
    quiet = airflow.finished_run(DAG, 2)
    assert quiet["state"] == "success"
    assert airflow.states(quiet)["verify"] == {"skipped"}
    assert [name for name in store.folders() if is_version(name)] == ["2020-03-28", latest["version"]]

    # One run of the consumer for each published snapshot, none for the quiet run.
    assert [airflow.finished_run(CONSUMER, number)["state"] for number in (0, 1)] == ["success", "success"]
    events = [
        airflow.call("GET", f"/api/v2/dags/{CONSUMER}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents")["asset_events"]
        for run in airflow.runs(CONSUMER)
    ]
    assert [[event["extra"]["version"] for event in of_run] for of_run in events] == [
        [latest["version"]],
        ["2020-03-28"],
    ]
    for metric in (b"dagrun.duration.success", b"task.duration", b"ti.finish", b"asset.updates"):
        eventually(lambda name=metric: any(name in body for body in list(collector[1])), f"metric {metric!r}")

    def events() -> set[tuple[str, str]]:
        found = [json.loads(body) for body in list(collector[1]) if body.startswith(b"{")]
        return {(event["eventType"], event["job"]["name"]) for event in found}

    wanted = {(kind, job) for kind in ("START", "COMPLETE") for job in (DAG, f"{DAG}.poll", f"{DAG}.verify")}
    eventually(lambda: wanted <= events(), "events of OpenLineage")
