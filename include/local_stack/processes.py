"""Starts child processes, waits until they answer, and stops them."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

GUARD = Path(__file__).with_name("guard.py")


class StackError(Exception):
    """The local stack cannot go on. The text says why and what to do."""


class Child:
    """A command that ends when this object is stopped, or when this process dies in whatever way.

    Args:
        name: what error texts call it.
        command: program and arguments.
        env: its whole environment.
        log: file that receives its output, emptied first; ``None`` passes the output on to ours.
        grace: seconds that it gets to end after an interrupt.
    """

    def __init__(
        self, name: str, command: list[str], *, env: Mapping[str, str], log: Path | None = None, grace: float = 5.0
    ) -> None:
        self.name, self.log = name, log
        guard = [sys.executable, "-I", str(GUARD), str(grace)]
        sink = log.open("wb") if log else None
        try:
            # A session of its own: Ctrl-C in the terminal reaches us only, and we stop the children in order.
            self._guard = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT if sink else None,
                env=dict(env),
                start_new_session=True,
            )
        finally:
            if sink:
                sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Return the id of the process that guards the command; the command is its child."""
        return self._guard.pid

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; ``subprocess.TimeoutExpired`` if it still runs after ``timeout`` seconds."""
        # Popen.communicate and Popen.__exit__ would close the pipe, which is the order to stop.
        return self._guard.wait(timeout)

    def status(self) -> int | None:
        """Return the exit status, or ``None`` while it runs."""
        return self._guard.poll()

    def stop(self) -> None:
        """Interrupt the command and wait for it; does nothing once it has ended."""
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready()`` is true.

        Raises:
            StackError: the command ended, or is not ready after ``seconds``; quotes the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            status = self._guard.poll()
            if status is not None:
                raise StackError(f"{self.name} ended with exit status {status} before it was ready.{self.quote()}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {seconds:.0f} seconds.{self.quote()}")
            time.sleep(0.1)

    def quote(self) -> str:
        """Return the end of its log, for an error's text."""
        return f" The end of {self.log}:\n{tail(self.log)}" if self.log else ""


def unwind_on_signals() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into exceptions, so that every ``with`` block is left in order."""
    # SIGINT too: a shell starts background jobs with it ignored, and children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one, such as `make` passes on, must not disturb the end
    sys.exit(128 + number)


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log, indented."""
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text) or "    (empty)"


def fetch(url: str) -> bytes | None:
    """Return what a local URL answers with status 200, or ``None``."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return None


def free_port(preferred: int = 0) -> int:
    """Return ``preferred`` if that TCP port is free on 127.0.0.1, else any free one."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        return int(probe.getsockname()[1])
