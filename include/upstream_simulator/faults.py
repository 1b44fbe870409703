"""Faults that an upstream can have, switched on for the next few requests."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, get_args

from upstream_simulator import problems
from upstream_simulator.messages import Body, Request, Response, bytes_response

Refusal = Literal[
    "429",
    "403-rate-limit",
    "403-secondary",
    "429-secondary",
    "401",
    "403",
    "404",
    "500",
    "502-html",
    "503-nested",
    "404-nested",
    "400-expired",
]
FaultKind = Literal[Refusal, "cut", "corrupt", "slow", "truncated"]

# A secondary limit may come without any header: https://github.com/hub4j/github-api/issues/2009
_SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
_REFUSALS = {
    "429": _SECONDARY,
    "403-rate-limit": "API rate limit exceeded for 127.0.0.1.",
    "403-secondary": _SECONDARY,
    "429-secondary": _SECONDARY,
    "401": "Bad credentials",
    "403": "Forbidden",
    "404": "Not Found",
    "500": "Internal Server Error",
}


class ConnectionCut(Exception):  # noqa: N818 - it is no error of the program but an order to the server
    """Raised inside a body: the server must close the connection without sending the rest."""


@dataclass(frozen=True)
class Fault:
    """One fault, for the next ``times`` requests whose path and query contain ``path``.

    The kinds of ``Refusal`` answer in the place of the upstream, in its words. ``429`` and ``403-rate-limit`` say when
    to come back, ``-secondary`` says nothing of it, ``-html`` is GitHub's page, ``-nested`` is a form of Kaggle's, and
    ``400-expired`` is the storage's word for a link that is too old. The others spoil its answer: ``cut`` closes the
    connection in the middle of the body (of a body without known length: of the first chunk), ``corrupt`` inverts the
    bits of the byte there, ``slow`` pauses there (before the answer where the body is empty), ``truncated`` drops half
    of a tree's entries and says ``truncated``. An answer with an empty body (302, 304) uses up a ``cut`` or ``corrupt``
    without harm: aim them by ``path``.

    Attributes:
        kind: what goes wrong.
        path: part of the request's path and query as sent; empty for every request. ``truncated`` meets trees only.
        times: for how many requests.
        seconds: length of the pause, or how long the client is told to wait (rounded up to whole seconds).
    """

    kind: FaultKind
    path: str = ""
    times: int = 1
    seconds: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown fault {self.kind!r}; known are {', '.join(get_args(FaultKind))}")

    def meets(self, target: str) -> bool:
        """Say whether the fault is for a request with this path and query."""
        return self.path in target and (self.kind != "truncated" or "/git/trees/" in target)


class FaultPlan:
    """The faults still to come. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put ``fault`` behind those that are already waiting."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._faults.clear()

    def take(self, target: str) -> Fault | None:
        """Return the first waiting fault for a request with this path and query, and count it as used once."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.meets(target):
                    left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    self._faults[index : index + 1] = left
                    return fault
        return None


def respond(
    request: Request, fault: Fault | None, upstream: Callable[[Request], Response], pause: Callable[[float], object]
) -> Response:
    """Answer ``request`` by ``upstream``, with ``fault`` applied.

    Args:
        request: what was asked.
        fault: what goes wrong, or ``None``.
        upstream: gives the sound answer.
        pause: sleeps for so many seconds.
    """
    if fault is None:
        return upstream(request)
    refusal = _refusal(fault, request.target)
    return refusal if refusal is not None else _spoil(upstream(request), fault, pause)


def _refusal(fault: Fault, target: str) -> Response | None:
    """Return the answer that ``fault`` gives in the place of the upstream, if it is of that sort."""
    wait, status = math.ceil(fault.seconds), fault.kind.partition("-")[0]
    message, headers = _REFUSALS.get(fault.kind), {}
    if fault.kind == "429":
        headers = {"retry-after": str(wait)}
    elif fault.kind == "403-rate-limit":
        limits = {"limit": 60, "remaining": 0, "used": 60, "reset": math.ceil(time.time()) + wait, "resource": "core"}
        headers = {f"x-ratelimit-{name}": str(value) for name, value in limits.items()}
    if message is not None:
        return problems.of_place(target, int(status), message, headers)
    match fault.kind:
        case "502-html":
            return problems.unicorn(502)
        case "503-nested" | "404-nested":
            return problems.nested(int(status), "Requested entity is not to be had.")
        case "400-expired":
            return problems.expired()
        case _:
            return None


def _spoil(response: Response, fault: Fault, pause: Callable[[float], object]) -> Response:
    """Return ``response`` with a fault in its body."""
    if fault.kind == "truncated":
        return _truncate(response) if response.status == 200 else response
    if response.length == 0:
        if fault.kind == "slow":
            pause(fault.seconds)
        return response

    def spoil(rest: bytes) -> bytes:
        if fault.kind == "cut":
            raise ConnectionCut
        if fault.kind == "corrupt":
            return bytes([rest[0] ^ 0xFF]) + rest[1:]
        pause(fault.seconds)
        return rest

    return replace(response, body=_at_middle(response.body, response.length, spoil))


def _at_middle(body: Body, length: int | None, change: Callable[[bytes], bytes]) -> Body:
    """Pass ``body`` on; what is left of its chunk at the middle goes through ``change``."""
    passed, changed = 0, False
    with closing(body):
        for chunk in body:
            middle = (len(chunk) if length is None else length) // 2 - passed
            if changed or middle >= len(chunk):
                yield chunk
            else:
                changed = True
                if middle:
                    yield chunk[:middle]
                yield change(chunk[middle:])
            passed += len(chunk)


def _truncate(response: Response) -> Response:
    """Return a tree answer with half of its entries and the mark that it is not whole."""
    tree = json.loads(b"".join(response.body))
    tree["tree"] = tree["tree"][: len(tree["tree"]) // 2]
    tree["truncated"] = True
    headers = {name: value for name, value in response.headers.items() if name != "Content-Type"}
    return bytes_response(response.status, json.dumps(tree).encode(), response.headers["Content-Type"], headers)
