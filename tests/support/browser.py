"""A browser, and an Airflow for it to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page

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


def assert_sound(page: Page, name: str, *, fewest_passes: int) -> None:
    """Assert that a page scrolls down only, and that axe finds nothing amiss; its window must bypass the policy.

    Args:
        page: as it is shown.
        name: what an error calls it.
        fewest_passes: more rules of axe than this must have found something to look at.
    """
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, name
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run()")
    assert len(found["passes"]) > fewest_passes
    assert {(item["id"], item["impact"], item["nodes"][0]["html"]) for item in found["violations"]} == set()
