"""A browser, and an Airflow for it to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext

from cxr_snapshot.store.objects import Store
from support.waiting import PATIENCE


@dataclass(frozen=True)
class RunningAirflow:
    """Airflow's address, the password of its user ``admin``, the store that its tasks write to, and the upstream.

    ``git_dir`` is the repository of the COVID sample; a test may move its branch.
    """

    url: str
    password: str
    store: Store
    git_dir: Path


def new_context(browser: Browser, cookies: Path | None = None) -> BrowserContext:
    """Return a window that waits for what will come."""
    context = browser.new_context(storage_state=cookies, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)  # milliseconds
    return context
