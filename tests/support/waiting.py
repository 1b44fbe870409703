"""Waiting for what will come, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0  # seconds; whatever takes so long hangs


def eventually(look: Callable[[], Any], what: str = "what was waited for") -> Any:
    """Return what ``look()`` returns, once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (result := look()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)
    return result
