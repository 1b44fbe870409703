"""What a person does with the images of a snapshot: choose some, look at one, go on, ask why one is not in."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect

from cxr_snapshot.store.objects import Store
from local_stack.processes import free_port
from support.browser import assert_sound, new_context
from support.paths import ROOT
from support.snapshot_pages import NEW, OLD, PREFIX
from support.stages import run_stages
from support.stores import copied_bucket, new_store, read_csv
from support.upstreams import served_sample
from support.waiting import PATIENCE, eventually
from support.withdrawers import take_back

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.long

SCREENSHOTS = ROOT / ".local/screenshots"
PER_PAGE = 36

expect.set_options(timeout=PATIENCE * 1000)  # milliseconds


@pytest.fixture(scope="module")
def published(s3_client: S3Client, sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A small snapshot of the generated sample, and one of all that is in it."""
    store, folder = new_store(s3_client), tmp_path_factory.mktemp("upstream")
    with served_sample(sample_folder, folder, synthetic=True) as upstream:
        run_stages(upstream.pipeline(store, folder / "scratch"), "first", f"{OLD}T03:00:00+00:00")
        upstream.move_to_step(5)
        whole = upstream.pipeline(store, folder / "scratch", max_per_class=None)
        run_stages(whole, "second", f"{NEW}T03:00:00+00:00", accept_shrink=True)
    return store


@dataclass
class Site:
    """The address of the pages, and the store that they show; a test may show another."""

    url: str
    store: Store


@pytest.fixture(scope="module")
def site(migrated: None, published: Store) -> Iterator[Site]:
    """The pages as a person sees them who may read the DAG."""
    import uvicorn
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user

    from support.pages import mounted_plugins

    server, port = mounted_plugins(), free_port()
    from snapshot_pages_app import app as pages  # in Airflow's import path once Airflow is loaded

    site = Site(f"http://127.0.0.1:{port}{PREFIX}", published)
    pages.app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="somebody", role="VIEWER")
    pages.app.dependency_overrides[pages.open_store] = lambda: site.store
    running = uvicorn.Server(uvicorn.Config(server, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    eventually(lambda: running.started, "the start of the server")
    yield site
    running.should_exit = True
    thread.join()
    pages.app.dependency_overrides.clear()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with new_context(browser) as context:
        yield context.new_page()


def keep(page: Page, name: str) -> None:
    """Keep a screenshot for people to look at."""
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def wait_for_pictures(page: Page) -> int:
    """Wait until all pictures of the page are there, as far down as they are; return how many."""
    pictures = page.locator("main img")
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", value=True)
        assert picture.evaluate("image => image.naturalWidth") > 0
    page.evaluate("window.scrollTo(0, 0)")
    return pictures.count()


def test_a_person_chooses_looks_and_goes_on(site: Site, page: Page, published: Store) -> None:
    manifest = published.get_table(f"{NEW}/manifest.parquet")
    page.goto(f"{site.url}/snapshots/{NEW}")
    page.get_by_role("link", name="All images").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Images of {NEW}")
    expect(page.get_by_text(f"{len(manifest)} images; here are 1 to {PER_PAGE}.")).to_be_visible()
    assert wait_for_pictures(page) == PER_PAGE
    keep(page, "images-1280")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text(f"here are {PER_PAGE + 1} to {2 * PER_PAGE}.")).to_be_visible()

    page.get_by_label("Class").select_option("COVID")
    page.get_by_label("Split").select_option("train")
    page.get_by_role("button", name="Show").click()
    wanted = manifest[manifest["class"].eq("COVID") & manifest["split"].eq("train")]
    expect(page.locator(".gallery li")).to_have_count(len(wanted))
    expect(page.get_by_label("Class")).to_have_value("COVID")

    groups = wanted.groupby("group")["file"].transform("size")
    row = wanted.loc[groups.idxmax()]
    assert groups.max() > 1
    name = row["file"].rpartition("/")[2]
    page.get_by_role("link", name=re.compile(name)).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("row", name=re.compile(f"^sha256 {row['sha256']}"))).to_be_visible()
    wait_for_pictures(page)
    keep(page, "one-image-1280")

    other = page.locator(".gallery a").first
    label = other.locator("img").get_attribute("alt") or ""
    other.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(label.removeprefix("Drawing "))


def test_a_person_asks_why_something_was_left_out(site: Site, page: Page, published: Store) -> None:
    excluded = read_csv(published, f"{NEW}/excluded.csv")
    copies = excluded[excluded["rule"].eq("duplicate_image")]
    page.goto(f"{site.url}/snapshots/{NEW}")
    page.locator("summary", has_text="duplicate_image").first.click()
    page.get_by_role("link", name="All left out by duplicate_image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Left out of {NEW}")
    expect(page.locator("tbody tr")).to_have_count(len(copies))
    keep(page, "left-out-1280")
    page.get_by_role("link", name=re.compile("^Show ")).first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto(f"{site.url}/snapshots/{NEW}/excluded")
    page.get_by_label("Part of a path or of the evidence").fill("nothing has this")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("Nothing that was left out fits.")).to_be_visible()
    page.get_by_role("link", name="All that was left out").click()
    expect(page.get_by_text(re.compile(f"^{len(excluded)} records"))).to_be_visible()


def test_what_was_taken_back_is_marked_and_not_shown(site: Site, page: Page, published: Store) -> None:
    site.store = copied_bucket(published)
    row = published.get_table(f"{NEW}/manifest.parquet").iloc[0]
    take_back(site.store, "image", row["sha256"], erase=True)
    try:
        page.goto(f"{site.url}/snapshots/{NEW}/images")
        expect(page.get_by_text("Images were withdrawn.")).to_be_visible()
        assert wait_for_pictures(page) == PER_PAGE - 1
        keep(page, "images-withdrawn-1280")
        page.get_by_role("link", name="Withdrawn").click()
        expect(page.get_by_text("This image was taken back. Do not use it.")).to_be_visible()
        expect(page.locator(f"img[src*='{row['file'].rpartition('/')[2]}']")).to_have_count(0)
        keep(page, "one-image-withdrawn-1280")
    finally:
        site.store = published


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(site: Site, browser: Browser, published: Store, scheme: str, width: int) -> None:
    name = published.get_table(f"{NEW}/manifest.parquet")["file"][0].removeprefix("images/")
    paths = {"images": "images", "one-image": f"images/{name}", "left-out": "excluded", "none": "images?view=none"}
    titles = {"images": f"Images of {NEW}", "one-image": name.rpartition("/")[2], "left-out": f"Left out of {NEW}"}
    viewport = {"width": width, "height": 900}
    with browser.new_context(color_scheme=scheme, viewport=viewport, bypass_csp=True) as context:
        page = context.new_page()
        for title, path in paths.items():
            page.goto(f"{site.url}/snapshots/{NEW}/{path}")
            expect(page.get_by_role("heading", level=1)).to_have_text(titles.get(title, titles["images"]))
            wait_for_pictures(page)
            keep(page, f"{title}-{scheme}-{width}")
            assert_sound(page, title, fewest_passes=15)
