"""How many requests a service answers in an hour."""

from __future__ import annotations

import threading
from collections.abc import Callable

_HOUR = 3600


class Budget:
    """Requests that are allowed in an hour, which begins with the first of them. Safe to use from any thread.

    Args:
        limit: how many.
        now: the time, in seconds since 1970.

    Attributes:
        limit: how many.
        used: how many were asked for in this hour.
        reset: when the hour ends, in seconds since 1970.
    """

    def __init__(self, limit: int, now: Callable[[], float]) -> None:
        self.limit, self.used, self.reset = limit, 0, 0
        self._now, self._lock = now, threading.Lock()

    def spend(self) -> bool:
        """Count a request, and say whether it is still allowed."""
        with self._lock:
            if self._now() >= self.reset:
                self.used, self.reset = 0, int(self._now()) + _HOUR
            self.used += 1
            return self.used <= self.limit
