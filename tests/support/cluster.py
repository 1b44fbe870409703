"""Airflow as on many machines: each component is a process with a home and folders of its own."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil
import requests

from local_stack import airflow_home
from local_stack.processes import Child, fetch, free_port
from support.paths import ROOT
from support.waiting import PATIENCE, eventually

DAG_ID = "covid_cxr_snapshot"

# A worker that died is noticed after a minute, not after five; one that lives is not silent for that long.
IMPATIENCE = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}
# The DAG waits a minute before it tries a task again. A cluster policy is Airflow's way to change that from outside.
POLICY = """
from datetime import timedelta


def task_policy(task):
    task.retry_delay = timedelta(seconds=1)
    task.retry_exponential_backoff = 0
"""


class Cluster:
    """The components, for as long as the ``with`` block lasts.

    Args:
        folder: empty; receives the homes and the logs.
        database: see :func:`support.servers.postgres`.
        broker: see :func:`support.servers.redis`.
        tasks: environment variables that tasks need: settings, and where the store is.
    """

    def __init__(self, folder: Path, database: str, broker: str, tasks: dict[str, str]) -> None:
        self.folder, self.tasks = folder, tasks
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir()
        self.secrets = airflow_home.load_secrets(folder / "secrets.json")
        passwords = folder / "passwords.json"
        airflow_home.write_private(passwords, json.dumps({"admin": self.secrets["admin_password"]}))
        policy = folder / "policy"
        policy.mkdir()
        (policy / "airflow_local_settings.py").write_text(POLICY)
        self.shared = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(ROOT / "include"), str(policy)]),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://{database}",
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
            **IMPATIENCE,
        }
        self.database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{database}"}
        self._running = ExitStack()
        self._token = ""

    def __enter__(self) -> Self:
        with ExitStack() as running:
            with self._start("migrate", "db", "migrate", **self.database) as migration:
                assert migration.wait(PATIENCE) == 0, (self.folder / "migrate.log").read_text()
            api, _, _ = [
                running.enter_context(self._start(name, name, **self.database))
                for name in ("api-server", "scheduler", "dag-processor")
            ]
            self.workers = [running.enter_context(self._start_worker(f"worker-{number}")) for number in (1, 2)]
            api.wait_until(lambda: fetch(f"{self.url}/api/v2/version") is not None, seconds=PATIENCE)
            self._token = self._log_in()
            api.wait_until(self.has_dag, seconds=PATIENCE)
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def call(self, method: str, path: str, **body: Any) -> Any:
        """Return what Airflow's REST API answers."""
        answer = requests.request(
            method,
            f"{self.url}{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=PATIENCE,
        )
        answer.raise_for_status()
        return answer.json()

    def has_dag(self) -> bool:
        return any(dag["dag_id"] == DAG_ID for dag in self.call("GET", "/api/v2/dags")["dags"])

    def unpause(self) -> str:
        """Let Airflow schedule the DAG; return the id of the run that it starts at once, for last night."""
        self.call("PATCH", f"/api/v2/dags/{DAG_ID}", is_paused=False)
        runs = eventually(lambda: self.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns")["dag_runs"], "a run")
        return runs[0]["dag_run_id"]

    def run_state(self, run_id: str) -> str:
        return self.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}")["state"]

    def tasks_of(self, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, each in its last try."""
        return self.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances")["task_instances"]

    def _log_in(self) -> str:
        answer = requests.post(
            f"{self.url}/auth/token",
            json={"username": "admin", "password": self.secrets["admin_password"]},
            timeout=PATIENCE,
        )
        answer.raise_for_status()
        return answer.json()["access_token"]

    def _start(self, name: str, *arguments: str, **variables: str) -> Child:
        """Start an Airflow command in a folder of its own."""
        home = self.folder / name
        for folder in ("airflow", "work", "tmp"):
            (home / folder).mkdir(parents=True)
        environ = {
            **airflow_home.variables(ROOT, home / "airflow", self.secrets, self.port),
            **self.shared,
            **variables,
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
        }
        command = ["env", f"--chdir={home / 'work'}", sys.executable, "-m", "airflow", *arguments]
        return Child(name, command, env=environ, log=self.folder / f"{name}.log", grace=10)

    def _start_worker(self, name: str) -> Child:
        """Start a worker. Nothing answers where it is told that Airflow's database is: tasks must not need that."""
        arguments = ("celery", "worker", "--skip-serve-logs", "--celery-hostname", f"{name}@%h")
        nowhere = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:9/nothing"}
        return self._start(name, *arguments, **nowhere, **self.tasks)


def kill(worker: Child) -> int:
    """Send SIGKILL to a worker and to the tasks it runs, as when its machine dies; return how many processes died."""
    processes = psutil.Process(worker.pid).children(recursive=True)
    for process in processes:
        process.kill()
    return len(processes)
