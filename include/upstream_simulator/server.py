"""One HTTP server for all stand-ins: routing, faults and the log of requests."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
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
    """GitHub and Kaggle on one port, for as long as the ``with`` block lasts.

    Args:
        git_dir: bare git repository that GitHub serves.
        kaggle_dir: folder with ``<owner>/<slug>/<version>.zip`` that Kaggle serves.
        port: TCP port; 0 for any free one.
        signed_url_seconds: how long a storage address of Kaggle may be used.
        host: address to listen at. Nobody has to log in here, so that anything but loopback is for closed networks.
        synthetic: whether every answer says that the data is generated; not for a replay of real data.

    Attributes:
        url: address of the server, without a slash at its end.
        requests: every request so far, in order of their answers. Only ever appended to, so that a copy by ``list``
            is safe at any time.
        faults: the faults of the next requests.

    Raises:
        FileNotFoundError: a folder is missing.
        OSError: the port is taken.
    """

    def __init__(
        self,
        git_dir: Path,
        kaggle_dir: Path,
        port: int = 0,
        signed_url_seconds: float = 300.0,
        host: str = "127.0.0.1",
        *,
        synthetic: bool = True,
    ) -> None:
        self.synthetic = synthetic
        self.requests: list[RecordedRequest] = []
        self.faults = faults.FaultPlan()
        self._stopping = threading.Event()
        github = GitHub(git_dir)
        self._server = _Server((host, port), self)
        self.url = f"http://{host}:{self._server.server_port}"
        try:
            kaggle = Kaggle(kaggle_dir, signed_url_seconds)
        except FileNotFoundError:
            self._server.server_close()
            raise
        self._routes = {
            "github-api": github.api,
            "github-raw": github.raw,
            "github-codeload": github.codeload,
            "kaggle-api": kaggle.api,
            "kaggle-storage": kaggle.storage,
        }
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="upstream-simulator")

    def settings(self) -> dict[str, str]:
        """Return the pipeline's settings that make it use this server."""
        names = ("github-api", "github-raw", "github-codeload", "kaggle-api")
        return {f"{name.replace('-', '_')}_url": f"{self.url}/{name}" for name in names}

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close every connection."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

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

    def respond(self, request: Request) -> Response:
        """Answer one request, with the fault that is due."""
        return faults.respond(request, self.faults.take(request.target), self._upstream, self._stopping.wait)

    def _upstream(self, request: Request) -> Response:
        route = self._routes.get(request.path.lstrip("/").partition("/")[0])
        if route is None:
            return json_response(404, {"message": f"Nothing is served here; known are {', '.join(self._routes)}"})
        return route(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for the answers under way, so that no test leaves a thread behind
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], simulator: UpstreamSimulator) -> None:
        self.simulator = simulator
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
        simulator = cast(_Server, self.server).simulator
        response = simulator.respond(Request(self.command, self.path, headers, body))
        # Recorded before it is sent: a client that has the answer finds it in the log.
        record = RecordedRequest(self.command, self.path, response.status, 0, headers)
        simulator.requests.append(record)
        with closing(response.body):
            self._send(response, record)

    def _send(self, response: Response, record: RecordedRequest) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if cast(_Server, self.server).simulator.synthetic:
            self.send_header("X-Synthetic-Data", "true")
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
