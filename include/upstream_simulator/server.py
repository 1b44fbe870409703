"""The HTTP servers of all stand-ins: routing, faults and the log of requests.

There are two, since APIs and files have hosts of their own: https://api.github.com beside
https://raw.githubusercontent.com and https://codeload.github.com, https://api.kaggle.com beside
https://storage.googleapis.com. What is meant for one must not go to the other.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from upstream_simulator import faults
from upstream_simulator.github import GitHub
from upstream_simulator.kaggle import Kaggle
from upstream_simulator.messages import Request, Response, json_response

_log = logging.getLogger(__name__)

Route = Callable[[Request], Response]
# The two names of loopback: as different for a client as any two hosts.
_OTHER_NAME = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}


@dataclass
class RecordedRequest:
    """What was asked and answered.

    Attributes:
        method: HTTP method.
        path: path and query, as sent.
        status: HTTP status of the answer.
        sent_bytes: bytes of the answer's body handed to the connection so far.
        headers: the request's headers by lower-case name.
    """

    method: str
    path: str
    status: int
    sent_bytes: int
    headers: dict[str, str]


class UpstreamSimulator:
    """GitHub and Kaggle on two ports, for as long as the ``with`` block lasts.

    Args:
        github_dir: folder with ``<owner>/<name>.git``, bare repositories that GitHub serves.
        kaggle_dir: folder with ``<owner>/<slug>/<version>.zip`` that Kaggle serves.
        port: TCP port of the APIs; files are at the next one. 0 for any two free ones.
        signed_url_seconds: how long a storage address of Kaggle may be used.
        host: address to listen at. Nobody has to log in here, so that anything but loopback is for closed networks.
        api_per_hour: how many requests GitHub's API allows; ``None`` for any number.
        raw_per_hour: how many single files GitHub allows; ``None`` for any number.
        now: the time in seconds since 1970, for these limits and for storage addresses.

    Attributes:
        url: address of the APIs, without a slash at its end.
        files_url: address of everything else.
        requests: every request so far, in order of their answers. Only ever appended to, so that a copy by ``list``
            is safe at any time.
        faults: the faults of the next requests.
        kaggle: how Kaggle's storage behaves can be set here.

    Raises:
        FileNotFoundError: a folder is missing.
        OSError: a port is taken.
    """

    def __init__(
        self,
        github_dir: Path,
        kaggle_dir: Path,
        port: int = 0,
        signed_url_seconds: float = 300.0,
        host: str = "127.0.0.1",
        *,
        api_per_hour: int | None = None,
        raw_per_hour: int | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.requests: list[RecordedRequest] = []
        self.faults = faults.FaultPlan()
        self._stopping = threading.Event()
        github = GitHub(github_dir, api_per_hour, raw_per_hour, now)
        self.kaggle = Kaggle(kaggle_dir, self._files_url, signed_url_seconds, now)
        apis = {"github-api": github.api, "kaggle-api": self.kaggle.api}
        files = {
            "github-raw": github.raw,
            "github-codeload": github.codeload,
            "kaggle-storage": self.kaggle.storage,
        }
        self._apis = _Server((host, port), self, apis)
        try:
            self._files = _Server((host, port and port + 1), self, files)
        except OSError:
            self._apis.server_close()
            raise
        self.url = f"http://{host}:{self._apis.server_port}"
        self.files_url = self._files_url(f"{host}:{self._apis.server_port}")
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), name="upstream-simulator")
            for server in (self._apis, self._files)
        ]

    def settings(self) -> dict[str, str]:
        """Return the pipeline's settings that make it use this server."""
        return {
            "github_api_url": f"{self.url}/github-api",
            "github_raw_url": f"{self.files_url}/github-raw",
            "github_codeload_url": f"{self.files_url}/github-codeload",
            "kaggle_api_url": f"{self.url}/kaggle-api",
        }

    def _files_url(self, asked: str) -> str:
        """Return the address of files for a client that knows the APIs as ``asked``, a host and a port."""
        name = asked.rpartition(":")[0] or asked
        return f"http://{_OTHER_NAME.get(name, name)}:{self._files.server_port}"

    def __enter__(self) -> Self:
        """Start to answer."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close every connection."""
        self._stopping.set()
        for server, thread in zip((self._apis, self._files), self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.close_connections()
            server.server_close()

    def serve_forever(self) -> None:
        """Wait for SIGINT or SIGTERM, inside the ``with`` block and on the main thread."""
        stop = threading.Event()
        signals = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
        try:
            stop.wait()
        finally:
            for number, handler in zip(signals, before, strict=True):
                signal.signal(number, handler)

    def respond(self, request: Request, routes: Mapping[str, Route]) -> Response:
        """Answer one request by the one of ``routes`` that fits, with the fault that is due."""

        def upstream(request: Request) -> Response:
            route = routes.get(request.path.lstrip("/").partition("/")[0])
            if route is None:
                return json_response(404, {"message": f"Nothing is served here; known are {', '.join(routes)}"})
            return route(request)

        return faults.respond(request, self.faults.take(request.target), upstream, self._stopping.wait)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for the answers under way, so that no test leaves a thread behind
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: UpstreamSimulator, routes: Mapping[str, Route]) -> None:
        self.simulator, self.routes = simulator, routes
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """End kept-alive connections, whose threads would else wait for the next request for ever."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError as error:  # the other side was faster
                _log.debug("connection was closed already: %s", error)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if isinstance(error, ConnectionError):  # clients give up: on slow answers on purpose
            _log.debug("client %s went away: %s", client_address, error)
        else:
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets; together with delayed acknowledgement: 40 ms each

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        _log.info(format, *args)

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        server = cast(_Server, self.server)
        response = server.simulator.respond(Request(self.command, self.path, headers, body), server.routes)
        # Recorded before it is sent: a client that has the answer finds it in the log.
        record = RecordedRequest(self.command, self.path, response.status, 0, headers)
        server.simulator.requests.append(record)
        with closing(response.body):
            self._send(response, record)

    def _send(self, response: Response, record: RecordedRequest) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        chunked = response.length is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif response.status != 304:
            self.send_header("Content-Length", str(response.length))
        self.end_headers()
        try:
            for chunk in response.body:
                record.sent_bytes += len(chunk)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except faults.ConnectionCut:
            self.close_connection = True
