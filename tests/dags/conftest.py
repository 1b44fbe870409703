"""A migrated Airflow and the DAG, wired to the sample upstream and an empty bucket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.store.objects import Store
from support.dag_runs import RunDag
from support.paths import ROOT
from support.upstreams import ServedUpstream

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models import DagRun


@pytest.fixture(scope="session", autouse=True)
def cheap_clients() -> Iterator[None]:
    """Let a client cost little, of which each task makes one: that was half of the time of a run.

    boto3's descriptions are looked for and read once, and the name of the operator, which Airflow puts in a header of
    each request, is not looked for in pytest's deep stack.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from botocore.loaders import JSONFileLoader, Loader

    read = cache(JSONFileLoader().load_file)
    services = cache(Loader().list_available_services)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: read(path))
        patch.setattr(Loader, "list_available_services", lambda _, type_name: services(type_name))
        patch.setattr(AwsGenericHook, "_get_caller", lambda *_: "Unknown")
        yield


@pytest.fixture(scope="session")
def dag_bag(migrated: None) -> DagBag:
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


@pytest.fixture
def configure(
    sample: ServedUpstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Set the connection to the store, and return what sets the settings' Airflow variable, as often as called."""
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test-secret",
        "extra": {"endpoint_url": store.client.meta.endpoint_url, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_CXR_S3", json.dumps(connection))

    def set_variable(**others: object) -> None:
        settings = sample.settings(tmp_path / "scratch", bucket=store.bucket, prefix=store.prefix, **others)
        monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", json.dumps(settings, default=str))

    set_variable()
    return set_variable


@pytest.fixture
def run_dag(dag_bag: DagBag, configure: Callable[..., None]) -> RunDag:
    """Return what runs the DAG once, with settings from an Airflow variable and the store from a connection."""

    def run(**conf: Any) -> DagRun:
        # Parsed anew, as Airflow does for each task: a run leaves its parameters behind in the DAG object.
        dag = type(dag_bag)(str(ROOT / "dags/covid_cxr_snapshot.py")).dags["covid_cxr_snapshot"]
        return dag.test(run_conf=conf)

    return run


@pytest.fixture
def heartbeats() -> Iterator[tuple[str, list[str]]]:
    """Serve a watchdog that is busy at its first request; give its address, and collect the ends of those it took."""
    received: list[str] = []
    answers = chain([503], repeat(200))

    class Watchdog(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if (status := next(answers)) == 200:
                received.append(self.path.removeprefix("/ping/a-secret-name"))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Watchdog) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/ping/a-secret-name", received
        server.shutdown()


@pytest.fixture
def hook_messages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """Serve a web hook, with the Airflow connection ``hook`` to it, and collect what is sent there."""
    received: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/services/T0/B0"
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps({"conn_type": "http", "host": address}))
        yield received
        server.shutdown()
