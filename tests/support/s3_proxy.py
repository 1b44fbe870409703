"""An HTTP proxy before an S3 server: it records, fails and kills, so that the real boto3 client meets real trouble."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import signal
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast
from urllib.parse import parse_qsl, unquote, urlsplit

FAULTS = ("503", "500", "reset", "lost", "404", "cut")
_CODES = {"503": "SlowDown", "500": "InternalError", "404": "NoSuchKey"}


@dataclass
class S3Request:
    """What was asked and answered.

    Attributes:
        method: HTTP method.
        bucket, key: what it is about; the key is empty for a request about the bucket.
        query: the rest of the address.
        copied_from: bucket and key of a server-side copy's source, or ``None``.
        sent: bytes of the request's body.
        deleted: keys that it asks to delete.
        fault: what was done to it, or ``None``.
        status: what the S3 server answered; 0 where it was not asked.
    """

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    copied_from: str | None
    sent: int
    deleted: tuple[str, ...] = ()
    fault: str | None = None
    status: int = 0


Faults = Callable[[S3Request], str | None]


class RandomFaults:
    """Fails a share of all requests, in ways that fit them.

    Whether the n-th request for the same thing fails depends on the seed alone, not on the order of other requests, so
    that a run in many threads is reproducible.
    """

    def __init__(self, seed: int, share: float) -> None:
        self.seed, self.share = seed, share
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: S3Request) -> str | None:
        what = f"{request.method} {request.key} {sorted(request.query.items())}"
        with self._lock:
            self._seen[what] += 1
            number = self._seen[what]
        digest = hashlib.sha256(f"{self.seed} {what} {number}".encode()).digest()
        if int.from_bytes(digest[:4], "big") >= self.share * 2**32:
            return None
        reads = bool(request.key) and request.method in ("GET", "HEAD")
        possible = [
            *("503", "500", "reset", "lost"),
            *(["404"] if reads or request.copied_from else []),
            *(["cut"] if reads and request.method == "GET" else []),
        ]
        return possible[digest[4] % len(possible)]


class S3Proxy:
    """Forwards to ``target`` for as long as the ``with`` block lasts.

    ``faults`` says what to do to a request: answer it with status ``503``, ``500`` or ``404`` without forwarding it,
    ``reset`` the connection before forwarding, forward it and lose (``lost``) the answer, or ``cut`` the answer's body.
    """

    def __init__(self, target: str, faults: Faults | None = None) -> None:
        self.requests: list[S3Request] = []
        self.faults = faults
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 80)
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._lock = threading.Lock()
        self._victim: tuple[int, int] | None = None
        self._dead = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def start_again(self, kill: int | None = None, after: int = 0) -> None:
        """Forget all requests. Send SIGKILL to process ``kill`` when the ``after``-th request from now is answered.

        The answer does not reach the process, and nothing that it asked for afterwards is forwarded.
        """
        with self._lock:
            self.requests = []
            self._victim = (kill, after) if kill else None
            self._dead = False

    def register(self, request: S3Request) -> int | None:
        """Note a request and its fault; return the process to kill when it is answered. Raises when that is dead."""
        with self._lock:
            if self._dead:
                raise ConnectionResetError("the process is dead")
            self.requests.append(request)
            request.fault = self.faults(request) if self.faults else None
            if self._victim and len(self.requests) == self._victim[1]:
                self._dead = True
                return self._victim[0]
            return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: S3Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that we or the client ended."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: http.client.HTTPConnection

    def setup(self) -> None:
        super().setup()
        self.upstream = http.client.HTTPConnection(*cast(_Server, self.server).proxy.target)

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        proxy = cast(_Server, self.server).proxy
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        origin = self.headers.get("x-amz-copy-source")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        deleted = re.findall(r"<Key>(.*?)</Key>", body.decode()) if "delete" in query else []
        copied_from = unquote(origin).lstrip("/") if origin else None
        request = S3Request(self.command, bucket, key, query, copied_from, len(body), tuple(map(unescape, deleted)))
        victim = proxy.register(request)
        if request.fault in _CODES:
            self._refuse(int(request.fault))
            return
        if request.fault == "reset":
            self._reset()
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        self.upstream.request(self.command, self.path, body, headers)
        answer = self.upstream.getresponse()
        content = answer.read()
        request.status = answer.status
        if victim:
            os.kill(victim, signal.SIGKILL)
        if victim or request.fault == "lost":
            self._reset()
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.getheader("content-length") or str(len(content)))
        self.end_headers()
        if request.fault == "cut" and answer.status == 200 and len(content) > 1:
            self.wfile.write(content[: len(content) // 2])
            self._reset()
        else:
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - names that http.server calls

    def _refuse(self, status: int) -> None:
        code = _CODES[str(status)]
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>A fault of the test</Message></Error>".encode()
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _reset(self) -> None:
        """End the connection with RST, as a server does that crashed."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
