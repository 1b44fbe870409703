from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from local_stack.processes import free_port
from support.waiting import PATIENCE, eventually
from upstream_simulator.faults import Fault
from upstream_simulator.server import RecordedRequest, UpstreamSimulator


@pytest.fixture
def folders(upstream):
    return {"github_dir": upstream / "github", "kaggle_dir": upstream / "kaggle"}


def test_settings_name_the_four_upstreams(sim):
    assert sim.settings() == {
        "github_api_url": f"{sim.url}/github-api",
        "github_raw_url": f"{sim.files_url}/github-raw",
        "github_codeload_url": f"{sim.files_url}/github-codeload",
        "kaggle_api_url": f"{sim.url}/kaggle-api",
    }


def test_log_holds_requests_in_order_with_their_answers(sim):
    with requests.Session() as session:
        session.get(
            f"{sim.files_url}/github-raw/ann/covid/master/images/%C3%A9.png?x=1",
            headers={"X-Mark": "a"},
            timeout=PATIENCE,
        )
        session.get(f"{sim.files_url}/github-raw/ann/covid/master/nope", timeout=PATIENCE)
    first, second = sim.requests
    assert first.headers.pop("x-mark") == "a"
    path = "/github-raw/ann/covid/master/images/%C3%A9.png?x=1"
    assert first == RecordedRequest("GET", path, 200, len(b"accent"), first.headers)
    assert (second.status, second.sent_bytes) == (404, len("404: Not Found"))


def test_connections_are_kept_alive(sim):
    with socket.create_connection(("127.0.0.1", int(sim.files_url.rsplit(":", 1)[1]))) as connection:
        stream = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(b"GET /github-raw/ann/covid/master/README.md HTTP/1.1\r\nHost: x\r\n\r\n")
            head = b"".join(iter(stream.readline, b"\r\n"))
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert stream.read(5) == b"words"
        stream.close()


def test_many_requests_at_once_are_all_answered_and_logged(sim):
    url = f"{sim.files_url}/github-raw/ann/covid/master/README.md"
    with ThreadPoolExecutor(16) as pool:
        plain = {"Accept-Encoding": "identity"}
        bodies = list(pool.map(lambda _: requests.get(url, headers=plain, timeout=PATIENCE).content, range(32)))
    assert bodies == [b"words"] * 32
    assert sum(record.sent_bytes for record in list(sim.requests)) == 32 * 5


@pytest.mark.parametrize("path", ["/", "/nope", "//x"])
def test_unknown_path_is_a_404(sim, path):
    response = requests.get(f"{sim.url}{path}", timeout=PATIENCE)
    assert response.status_code == 404
    assert "known are github-api" in response.json()["message"]


def test_closing_ends_kept_alive_connections_and_pauses(folders, monkeypatch):
    before = set(threading.enumerate())
    with requests.Session() as session, ThreadPoolExecutor(1) as pool:
        with UpstreamSimulator(**folders) as sim:
            url = f"{sim.files_url}/github-raw/ann/covid/master/README.md"
            assert session.get(url, timeout=PATIENCE).content == b"words"
            cut_short, pause = [], sim._stopping.wait
            monkeypatch.setattr(sim._stopping, "wait", lambda seconds: cut_short.append(pause(seconds)))
            sim.faults.add(Fault("slow", seconds=PATIENCE))
            slow = pool.submit(requests.get, url)
            eventually(lambda: len(sim.requests) == 2, "the second request")
        slow.exception()
        assert cut_short == [True]
        with pytest.raises(requests.exceptions.ConnectionError):
            session.get(url, timeout=PATIENCE)
    assert set(threading.enumerate()) <= before


def started_at_a_port(folders):
    """Return a simulator and its port; it takes the next one too, which another process of this machine may have."""
    for _ in range(50):
        port = free_port()
        try:
            return UpstreamSimulator(**folders, port=port), port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("no two free ports beside each other")


def test_a_port_can_be_chosen(folders):
    chosen, port = started_at_a_port(folders)
    with chosen as sim:
        assert sim.url == f"http://127.0.0.1:{port}"
        assert requests.get(f"{sim.url}/nope", timeout=PATIENCE).status_code == 404


def test_missing_folders_are_refused(folders, tmp_path):
    for name in folders:
        with pytest.raises(FileNotFoundError, match=f"{tmp_path}/nope is no"):
            UpstreamSimulator(**{**folders, name: tmp_path / "nope"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_with_a_signal(sim, number):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def send() -> None:
        # SIGTERM is the last to be taken over.
        eventually(lambda: signal.getsignal(signal.SIGTERM) is not before[1], "the handler")
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    sim.serve_forever()
    sender.join()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
