"""The two values that travel between the server and the stand-ins: a request and a response."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

CHUNK = 64 * 1024  # bytes read and sent at once, so that memory stays flat whatever the size of a file

Body = Generator[bytes, None, None]


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        method: ``GET`` or ``POST``.
        target: path and query as sent, percent-encoded.
        headers: by lower-case name.
        body: empty for ``GET``.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """The decoded path, without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The decoded query parameters."""
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True)
class Response:
    """One HTTP response.

    Attributes:
        status: HTTP status code.
        headers: all but those about the length.
        body: the bytes, in chunks.
        length: number of bytes in ``body``; ``None`` where it is not known beforehand (sent as chunks then).
    """

    status: int
    headers: Mapping[str, str]
    body: Body
    length: int | None


def bytes_response(status: int, data: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with ``data``, which is in memory."""
    return Response(status, {"Content-Type": content_type, **(headers or {})}, _once(data), len(data))


def text_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with plain text."""
    return bytes_response(status, text.encode(), "text/plain; charset=utf-8", headers)


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with ``value`` as JSON."""
    return bytes_response(status, json.dumps(value).encode(), "application/json; charset=utf-8", headers)


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer without a body."""
    return Response(status, headers or {}, _once(b""), 0)


def weak_etag(text: str) -> str:
    """Return the ETag of an answer that is made from ``text``."""
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()}"'


def is_unchanged(request: Request, etag: str) -> bool:
    """Say whether the request's ``If-None-Match`` names ``etag`` (weak comparison)."""
    given = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


def _once(data: bytes) -> Body:
    if data:
        yield data
