"""A network without sockets: the real clients send requests, and bytes come back that http.client and urllib3 parse."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

from cxr_snapshot.sources import http as sources_http


@dataclass(frozen=True)
class Answer:
    """An answer as a server sends it; ``raw`` wins over all else."""

    body: bytes = b""
    status: str = "200"
    headers: Sequence[tuple[str, str]] = ()
    raw: bytes | None = field(default=None, repr=False)

    def with_headers(self, **headers: str) -> Answer:
        """Return it with other headers: underscores stand for hyphens."""
        named = {name.replace("_", "-").lower(): text for name, text in headers.items()}
        kept = [(name, text) for name, text in self.headers if name.lower() not in named]
        return replace(self, headers=[*kept, *named.items()])

    def as_bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = list(self.headers)
        if not {name.lower() for name, _ in headers} & {"content-length", "transfer-encoding"}:
            headers.append(("Content-Length", str(len(self.body))))
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {text}" for name, text in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1", "replace") + self.body


class _Adapter(HTTPAdapter):
    """Answers in place of a connection; fails as requests' own adapter does."""

    def __init__(self, answer: Callable[[requests.PreparedRequest], Answer]) -> None:
        super().__init__()
        self.answer = answer

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        stream = io.BytesIO(self.answer(request).as_bytes())
        parsed = http.client.HTTPResponse(_Socket(stream), method=request.method)
        try:
            parsed.begin()
        except (http.client.HTTPException, OSError) as error:
            raise requests.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", error)) from error
        body = HTTPResponse(
            body=parsed,
            headers=urllib3.HTTPHeaderDict(parsed.msg.items()),
            status=parsed.status,
            reason=parsed.reason,
            preload_content=False,
            decode_content=False,
            original_response=parsed,
            request_method=request.method,
        )
        return self.build_response(request, body)


class _Socket:
    def __init__(self, stream: io.BytesIO) -> None:
        self.stream = stream

    def makefile(self, *_: Any) -> io.BytesIO:
        return self.stream


@contextmanager
def answering(answer: Callable[[requests.PreparedRequest], Answer]) -> Iterator[None]:
    """Let ``answer`` answer all requests of sessions that are made while the block lasts."""
    with mock.patch.object(sources_http, "_TimeoutAdapter", lambda *_: _Adapter(answer)):
        yield
