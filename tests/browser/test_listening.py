"""`make ui` is calm and closed: its first run ends well, no other machine reaches it, no process tells a secret."""

from __future__ import annotations

import os
from ipaddress import ip_address
from typing import Any

import psutil
import pytest
import requests

from support.browser import RunningAirflow
from support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.long


def test_every_socket_that_listens_is_at_loopback(airflow: RunningAirflow) -> None:
    this = psutil.Process()
    listening: dict[str, set[str]] = {}
    for process in (this, *this.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                listening.setdefault(connection.laddr.ip, set()).add(str(connection.laddr.port))
    assert all(ip_address(address).is_loopback for address in listening), listening
    assert airflow.url.rpartition(":")[2] in listening["127.0.0.1"]


def test_no_secret_is_in_the_process_list(airflow: RunningAirflow) -> None:
    secrets = [airflow.password, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]]
    commands = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    assert any("scheduler" in command for command in commands)
    assert [command for command in commands if any(secret in command for secret in secrets)] == []


def test_the_first_run_starts_by_itself_and_no_task_fails(airflow: RunningAirflow) -> None:
    login = {"username": "admin", "password": airflow.password}
    token = requests.post(f"{airflow.url}/auth/token", json=login, timeout=PATIENCE).json()["access_token"]
    runs = f"{airflow.url}/api/v2/dags/covid_cxr_snapshot/dagRuns"

    def get(url: str) -> dict[str, Any]:
        answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
        return answer.json() if answer.ok else {}  # SQLite is busy

    def ended() -> list[dict[str, Any]]:
        return [run for run in get(runs).get("dag_runs", []) if run["state"] in ("success", "failed")]

    (run,) = eventually(ended, "the end of the first run")
    assert (run["run_type"], run["state"]) == ("scheduled", "success")
    tasks = eventually(lambda: get(f"{runs}/{run['dag_run_id']}/taskInstances").get("task_instances"))
    assert {(task["state"], task["try_number"]) for task in tasks} <= {("success", 1), ("skipped", 0), ("skipped", 1)}
