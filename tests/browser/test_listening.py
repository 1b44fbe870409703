"""Nothing that `make ui` starts can be reached from another machine, and its process list tells no secret."""

from __future__ import annotations

import os
from ipaddress import ip_address

import psutil
import pytest

from support.browser import RunningAirflow

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
