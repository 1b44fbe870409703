"""Airflow with its web pages on a copy of the checkout, and a browser."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from cxr_snapshot.settings import Settings
from cxr_snapshot.store.objects import Store
from local_stack import airflow_home, stack
from local_stack.airflow_ui import airflow_ui
from local_stack.processes import free_port
from support.browser import RunningAirflow, new_context
from support.paths import ROOT
from upstream_simulator.sample import GIT_NAME

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of the browser's program; where there is none, CI fails and others are told what they miss."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing = (
            "There is no Chromium, so the snapshot pages are NOT tested in a browser. Install it (Debian: apt-get "
        )
        missing += "install chromium) and run the tests again."
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="module")
def airflow(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAirflow]:
    """Run the store, the sample upstream and Airflow, as ``make ui`` does, away from the checkout's own data."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("dags", "include", "plugins"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    home = root / ".local/airflow"
    home.mkdir(parents=True)
    (root / ".local/ministack-venv").symlink_to(ROOT / ".local/ministack-venv")
    keys = airflow_home.load_secrets(root / ".local/secrets.json")
    airflow_home.write_private(home / "passwords.json", json.dumps({"admin": keys["admin_password"]}))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    before = dict(os.environ)
    try:
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with stack.services(root, "sample"):
            environ = dict(os.environ) | airflow_home.variables(root, home, keys, port) | {"CXR_APPROVAL": "on"}
            settings = Settings.load()
            client = boto3.Session().client("s3")  # not the default session, which remembers the keys of the first one
            with airflow_ui(url, environ, stack.log_file(root, "airflow").parent):
                store = Store(client, settings.bucket, settings.prefix)
                yield RunningAirflow(url, keys["admin_password"], store, root / ".local/upstream" / GIT_NAME)
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())


@pytest.fixture(scope="module")
def signed_in(airflow: RunningAirflow, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the cookies of a person who has signed in through Airflow's own page."""
    context = new_context(browser)
    page = context.new_page()
    page.goto(f"{airflow.url}/dags/covid_cxr_snapshot")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(airflow.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dags/covid_cxr_snapshot")
    file = tmp_path_factory.mktemp("browser") / "cookies.json"
    context.storage_state(path=file)
    context.close()
    return file


@pytest.fixture
def context(browser: Browser, signed_in: Path) -> Iterator[BrowserContext]:
    with new_context(browser, signed_in) as context:
        yield context
