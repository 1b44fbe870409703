"""Nothing that `make ui` starts can be reached from another machine."""

from __future__ import annotations

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
