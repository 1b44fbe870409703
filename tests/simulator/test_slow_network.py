"""The slow network changes when bytes arrive, and nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from support.slow_network import SLACK, Line, slow_network


class Reversing(socketserver.StreamRequestHandler):
    """Answers with all bytes in reverse, once the other side has sent its last one."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read()[::-1])


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture
def address() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Reversing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def ask(address: str, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=60) as connection:
        connection.sendall(body)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            return answer.read()


@pytest.mark.parametrize("options", [{}, {"delay": 0.02}, {"rate": 5e8}, {"delay": 0.02, "rate": 5e8}])
def test_bytes_are_the_same_over_many_connections_each_closed_on_one_side(
    address: str, options: dict[str, float]
) -> None:
    bodies = [Random(number).randbytes(number * 5_000) for number in range(60)]
    with slow_network([address, address], **options) as (one, other), ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(ask, [one, other] * 30, bodies))
    assert answers == [body[::-1] for body in bodies]


def test_a_side_that_went_away_disturbs_no_other(address: str) -> None:
    with slow_network([address, "http://127.0.0.1:1"]) as (there, nowhere):
        for place in (there, nowhere):
            socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), timeout=60).close()
        assert ask(nowhere, b"") == b""
        assert ask(there, b"abc") == b"cba"


def test_all_pieces_are_late_by_the_delay_and_none_waits_for_another() -> None:
    line = Line(delay=0.03)
    assert [line.send(now, 1_000_000) for now in (5.0, 5.0, 5.01)] == [(5.0, 5.03), (5.0, 5.03), (5.01, 5.04)]


def test_pieces_follow_each_other_at_the_rate() -> None:
    line = Line(rate=1_000)
    assert [line.send(now, 500) for now in (8.0, 8.0, 8.5)] == pytest.approx(
        [(8.5 - SLACK,) * 2, (9.0 - SLACK,) * 2, (9.5 - SLACK,) * 2]
    )


def test_who_comes_late_may_make_up_for_a_little_and_no_more() -> None:
    line = Line(delay=0.25, rate=1_000)
    line.send(8.0, 1_000)
    assert line.send(9.0, 5) == pytest.approx((9.0, 9.25))  # while the slack lasts
    assert line.send(99.0, 500) == pytest.approx((99.5 - SLACK, 99.75 - SLACK))
    assert line.send(99.0, 500) == pytest.approx((100.0 - SLACK, 100.25 - SLACK))
