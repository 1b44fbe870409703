"""A real Airflow for tests: scheduler, DAG processor and API server in processes of their own."""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import psutil

from local_stack import airflow_home
from local_stack.processes import Child, fetch, free_port
from support.airflow_environment import DATABASE
from support.paths import ROOT
from support.waiting import PATIENCE, eventually

# A scheduler that looks again and again, and takes another one for dead after seconds in place of minutes.
HASTY = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",  # on a busy machine a living one is silent for long
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__CORE__PARALLELISM": "3",
    "AIRFLOW__API__WORKERS": "1",
}


class RealAirflow:
    """LocalExecutor on SQLite; runs while the ``with`` block lasts.

    Args:
        home: an empty folder.
        database: a migrated database without content; it is copied.
        environ: what the tasks need.
    """

    def __init__(self, home: Path, database: Path, environ: dict[str, str]) -> None:
        self.home, port = home, free_port()
        shutil.copy(database, home / DATABASE)
        self.url = f"http://127.0.0.1:{port}"
        airflow_home.write_private(home / "passwords.json", json.dumps({"admin": "admin"}))
        variables = airflow_home.variables(ROOT, home, airflow_home.load_secrets(home / "secrets.json"), port)
        self.environ = environ | variables | HASTY
        self._running, self._token = ExitStack(), ""

    def __enter__(self) -> Self:
        with self._running:
            server = self._component("api-server")
            self._component("dag-processor")
            self.start_scheduler()
            server.wait_until(lambda: fetch(f"{self.url}/api/v2/version") is not None, seconds=PATIENCE)
            self._token = self.call("POST", "/auth/token", username="admin", password="admin")["access_token"]
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def start_scheduler(self) -> None:
        self._scheduler = self._component("scheduler")

    def kill_scheduler(self) -> None:
        """Send SIGKILL to the scheduler; its workers die with it, as in a container."""
        (main,) = psutil.Process(self._scheduler.pid).children()
        main.kill()
        self._scheduler.wait(PATIENCE)

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Call Airflow's REST API; ``body`` is sent as JSON.

        Its server answers 500 or 503, and has changed nothing, where the scheduler holds SQLite's lock for too long.
        """
        for _ in range(30):
            try:
                return self._call(method, path, body)
            except urllib.error.HTTPError as error:
                if error.code not in (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE):
                    raise
                time.sleep(2)
        return self._call(method, path, body)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = json.dumps(body).encode() if method != "GET" else None
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, oldest first; none while the DAG is not known yet."""
        found = {item["dag_id"] for item in self.call("GET", "/api/v2/dags")["dags"]}
        return self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns?order_by=id")["dag_runs"] if dag_id in found else []

    def finished_run(self, dag_id: str, number: int) -> dict[str, Any]:
        """Wait for the end of the ``number``-th run of a DAG."""

        def look() -> dict[str, Any] | None:
            runs = self.runs(dag_id)[number:]
            return runs[0] if runs and runs[0]["state"] in ("success", "failed") else None

        return eventually(look, f"the end of run {number} of {dag_id}")

    def states(self, run: dict[str, Any]) -> dict[str, set[str]]:
        """Return the states of each task of a run."""
        path = f"/api/v2/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances"
        found: dict[str, set[str]] = {}
        for item in self.call("GET", path)["task_instances"]:
            found.setdefault(item["task_id"], set()).add(item["state"])
        return found

    def _component(self, name: str) -> Child:
        command = [sys.executable, "-m", "airflow", name]
        log = self.home / f"{name}-{time.monotonic_ns()}.log"
        return self._running.enter_context(Child(name, command, env=self.environ, log=log, grace=2))
