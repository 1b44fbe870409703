"""Log lines of long work: how much of it is done, how fast it goes, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from cxr_snapshot import shown

log = shown.logger(__name__)

EVERY = 5.0  # seconds between two lines


class Progress:
    """Counts what is done and logs it every few seconds, and when all is done.

    Args:
        what: what the items are and what happens to them, such as ``covid: files ingested``.
        total: how many items there are.
        clock: seconds, from any start.
    """

    def __init__(self, what: str, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.total, self.done = what, total, 0
        self._clock = clock
        self._started = self._logged = clock()

    def advance(self, items: int = 1) -> None:
        """Count so many more items."""
        self.done += items
        now = self._clock()
        if now - self._logged >= EVERY or self.done == self.total:
            self._logged = now
            log.info("%s", progress_line(self.what, self.done, self.total, now - self._started))


def progress_line(what: str, done: int, total: int, seconds: float) -> str:
    """Return a line such as ``covid: files ingested: 120 of 600, 12/s, 40 s left``.

    Args:
        what: as in :class:`Progress`.
        done: items so far, at least 1.
        total: items in all.
        seconds: time since the start.
    """
    rate = done / seconds if seconds > 0 else 0.0
    speed = f", {rate:,.{0 if rate >= 10 else 1}f}/s" if rate else ""
    rest = f", {duration((total - done) / rate)} left" if rate and done < total else ""
    return f"{what}: {done:,} of {total:,}{speed}{rest}"


def duration(seconds: float) -> str:
    """Return a time span in words, such as ``40 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listed(values: Mapping[str, object]) -> str:
    """Return names and values in one line, such as ``COVID 24, NORMAL 24``."""
    return ", ".join(f"{name} {value}" for name, value in values.items())
