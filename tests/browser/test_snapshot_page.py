"""What a person does in the browser: trigger a run, look at the new snapshot, compare it, decide when a guard trips."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page, expect

from cxr_snapshot.tables import CLASSES
from snapshot_pages_app.app import app
from support.browser import RunningAirflow, assert_sound, new_context
from support.paths import ROOT
from support.waiting import PATIENCE, eventually

pytestmark = pytest.mark.long

DAG = "covid_cxr_snapshot"
PREFIX = "/covid-cxr-snapshots"
BEFORE, AFTER = "5", "1"  # steps of the sample's replay between which COVID shrinks
SCREENSHOTS = ROOT / ".local/screenshots"

expect.set_options(timeout=PATIENCE * 1000)  # milliseconds


def picture(page: Page, name: str, **options: Any) -> None:
    """Keep a screenshot for people to look at."""
    page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)


def open_form(airflow: RunningAirflow, page: Page) -> Locator:
    page.goto(f"{airflow.url}/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    return page.get_by_role("dialog")


def submit(page: Page, form: Locator) -> Any:
    """Press the form's button and return the answer of Airflow's API."""
    with page.expect_response(
        lambda answer: answer.url.endswith("/dagRuns") and answer.request.method == "POST"
    ) as sent:
        form.get_by_role("button", name="Trigger").click()
    return sent.value


def wait_for_runs(airflow: RunningAirflow, page: Page) -> dict[str, str]:
    """Wait until no run of the DAG is active; return the state of each."""

    def ended() -> dict[str, str]:
        runs = page.request.get(f"{airflow.url}/api/v2/dags/{DAG}/dagRuns").json()["dag_runs"]
        states = {run["dag_run_id"]: run["state"] for run in runs}
        return states if set(states.values()) <= {"success", "failed"} else {}

    found: dict[str, str] = eventually(ended, "the end of all runs")
    return found


def git(airflow: RunningAirflow, *command: str) -> str:
    """Run git on the sample's repository."""
    run = ["git", "--git-dir", str(airflow.git_dir), *command]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()


def places(nodes: Locator) -> list[Any]:
    """Return where the nodes are that can be seen."""
    return [box for box in (node.bounding_box() for node in nodes.all()) if box]


def inner(page: Page) -> FrameLocator:
    """Return the frame in which Airflow shows the pages."""
    return page.frame_locator("iframe")


@pytest.fixture(scope="module")
def versions(airflow: RunningAirflow, browser: Browser, signed_in: Path) -> tuple[str, str]:
    """The snapshot of the nightly run, and the one of a run triggered in the form when upstream had more images."""
    with new_context(browser, signed_in) as context:
        page = context.new_page()
        page.goto(airflow.url)
        wait_for_runs(airflow, page)  # the scheduled run of last night
        first = airflow.store.get_json("latest.json")
        git(airflow, "update-ref", "refs/heads/master", f"refs/replay/step-{BEFORE}")
        answer = submit(page, open_form(airflow, page))
        assert answer.status == 200, answer.text()
        assert wait_for_runs(airflow, page)[answer.json()["dag_run_id"]] == "success"
        second = airflow.store.get_json("latest.json")
        assert first
        assert second
        return str(first["version"]), str(second["version"])


def test_form_speaks_in_words_and_says_what_is_configured(airflow: RunningAirflow, context: BrowserContext) -> None:
    page = context.new_page()
    form = open_form(airflow, page)
    expect(form.get_by_text("As configured: frontal (default)")).to_be_visible()
    expect(form.get_by_text("null", exact=True)).to_have_count(0)
    expect(form.locator("[name=element_as_of]")).to_have_attribute("type", "date")
    page.set_viewport_size({"width": 1280, "height": 2200})
    picture(page, "trigger-form")
    form.locator("[id=element_views] input").first.click()
    page.get_by_role("option", name="Frontal and lateral images").click()
    expect(form.get_by_text("Frontal and lateral images", exact=True)).to_be_visible()
    picture(page, "trigger-form-chosen")


def test_form_refuses_a_bad_parameter_with_a_message(airflow: RunningAirflow, context: BrowserContext) -> None:
    page = context.new_page()
    form = open_form(airflow, page)
    form.locator("[name=element_covid_commit]").fill("nonsense")
    answer = submit(page, form)
    assert answer.status == 400
    assert "Invalid input for param covid_commit: 'nonsense'" in answer.json()["detail"]
    expect(page.get_by_role("status").filter(has_text="Failed to Trigger Dag").first).to_be_visible()
    picture(page, "trigger-refused")


def test_new_snapshot_is_in_the_menu_with_equal_counts(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    page.goto(airflow.url)
    page.get_by_role("button", name="Browse").click()
    page.get_by_text("CXR snapshots").click()
    page.wait_for_url(f"**{PREFIX}/")
    row = inner(page).get_by_role("row").filter(has=page.get_by_text("latest", exact=True))
    expect(row.get_by_role("rowheader")).to_have_text(versions[1])
    published = airflow.store.get_json(f"{versions[1]}/snapshot.json")
    assert published
    assert {name: row.locator(f"[data-name={name}]").inner_text() for name in CLASSES} == {
        name: str(count) for name, count in published["counts"].items()
    }
    picture(page, "list-in-airflow")
    inner(page).get_by_role("link", name=versions[1], exact=True).click()
    page.wait_for_url(f"**/snapshots/{versions[1]}")  # the address in the browser follows, so it can be shared
    expect(inner(page).get_by_role("heading", level=1)).to_contain_text(f"Snapshot {versions[1]}")
    expect(inner(page).locator("img")).to_have_js_property("complete", value=True)
    assert inner(page).locator("img").evaluate("image => image.naturalWidth") > 0


def test_snapshot_page_is_pictured_for_the_readme(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    page.goto(f"{airflow.url}/plugin{PREFIX}{PREFIX}/snapshots/{versions[0]}")
    expect(inner(page).locator("img")).to_have_js_property("complete", value=True)
    picture(page, "snapshot-page")
    page.set_viewport_size({"width": 1500, "height": 700})
    page.goto(f"{airflow.url}/dags/{DAG}/runs/{next(iter(wait_for_runs(airflow, page)))}")
    page.get_by_label("Show Graph").click()
    page.get_by_label("Collapse Details Panel").click()
    nodes = page.locator(".react-flow__node")
    expect(nodes.filter(has_text="Verify")).to_be_visible()
    page.get_by_label("Fit View").click()
    boxes, before = places(nodes), None
    while boxes != before:  # the graph moves into place
        time.sleep(0.5)
        boxes, before = places(nodes), boxes
    left, top = min(box["x"] for box in boxes) - 20, min(box["y"] for box in boxes) - 40
    right = max(box["x"] + box["width"] for box in boxes) + 20
    bottom = max(box["y"] + box["height"] for box in boxes) + 20
    picture(page, "dag-graph", clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


def test_tab_on_the_dag_shows_the_list(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    page.goto(f"{airflow.url}/dags/{DAG}")
    page.get_by_role("link", name="Snapshots").click()
    page.wait_for_url(f"**/dags/{DAG}/plugin/snapshots")
    for version in versions:
        expect(inner(page).get_by_role("link", name=version, exact=True)).to_be_visible()
    page.goto(f"{airflow.url}/dags/{DAG}_adults/plugin/snapshots")
    expect(inner(page).get_by_text(f"The first run of {DAG}_adults that succeeds makes it.")).to_be_visible()
    page.goto(f"{airflow.url}/dags/covid_cxr_withdraw/plugin/snapshots")
    expect(inner(page).get_by_role("heading", level=1)).to_have_text("This DAG publishes no snapshots")
    inner(page).get_by_role("link", name="To the list of snapshots").click()
    expect(inner(page).get_by_role("link", name=versions[1], exact=True)).to_be_visible()


def test_list_says_when_the_dag_last_ran(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    runs = page.request.get(f"{airflow.url}/api/v2/dags/{DAG}/dagRuns?order_by=start_date").json()["dag_runs"]
    created = (airflow.store.get_json(f"{versions[1]}/snapshot.json") or {})["created"]
    last, news = (text[:16].replace("T", " ") for text in (runs[-1]["start_date"], created))
    page.goto(f"{airflow.url}{PREFIX}/")
    expect(page.get_by_text("Last run: ")).to_have_text(f"Last run: {last} UTC. Last news: {news} UTC.")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_pages_follow_the_dark_mode_that_is_chosen_in_airflow(
    airflow: RunningAirflow, browser: Browser, signed_in: Path, versions: tuple[str, str], system: str
) -> None:
    with browser.new_context(storage_state=signed_in, color_scheme=system) as context:
        page = context.new_page()
        page.goto(f"{airflow.url}/dags/{DAG}/plugin/snapshots")
        dark, light = ("rgb(20, 23, 28)", "rgb(255, 255, 255)")
        expect(inner(page).locator("body")).to_have_css("background-color", dark if system == "dark" else light)
        for mode, colour in (("Dark Mode", dark), ("Light Mode", light)):
            page.get_by_role("button", name="User").click()
            page.get_by_role("menuitem", name="Appearance").click()
            page.get_by_text(mode, exact=True).click()
            expect(inner(page).locator("body")).to_have_css("background-color", colour)
            picture(page, f"tab-{mode.partition(' ')[0].lower()}-by-airflow-on-{system}-system")
        inner(page).get_by_role("link", name=versions[1], exact=True).click()
        expect(inner(page).get_by_role("heading", level=1)).to_contain_text(versions[1])
        expect(inner(page).locator("body")).to_have_css("background-color", light)


def test_keyboard_alone_leads_from_the_list_to_a_snapshot_and_its_comparison(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()

    def tab_to(name: str) -> None:
        """Press Tab until the link of this name has the focus, and is seen to have it."""
        for _ in range(100):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            outline, width = focused.evaluate("node => [getComputedStyle(node).outlineStyle, node.offsetWidth]")
            assert (outline, width > 0) == ("solid", True), focused.evaluate("node => node.outerHTML")
            if focused.inner_text() == name:
                return
        raise AssertionError(f"{name} is not reached")

    page.goto(f"{airflow.url}{PREFIX}/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    picture(page, "skip-link")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.locator(":focus").evaluate("node => Boolean(node.closest('main'))")
    page.goto(f"{airflow.url}{PREFIX}/")
    tab_to(versions[1])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/snapshots/{versions[1]}")
    tab_to("Both side by side")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{versions[0]} and {versions[1]}")
    tab_to("Snapshots")


def test_comparison_opens_from_the_snapshot(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    page.goto(f"{airflow.url}{PREFIX}/snapshots/{versions[1]}")
    page.get_by_role("link", name="Both side by side").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{versions[0]} and {versions[1]}")
    facts = [airflow.store.get_json(f"{version}/snapshot.json") or {} for version in versions]
    for name in CLASSES:
        row = page.get_by_role("row", name=re.compile(rf"^{name} \d"))
        assert row.get_by_role("cell").all_inner_texts()[:2] == [str(each["counts"][name]) for each in facts]
    found = airflow.store.get_json(f"{versions[1]}/changes.json") or {}
    for kind in ("removed", "added"):
        for name in CLASSES:
            count = sum(entry["class"] == name for entry in found[kind])
            pictures = page.get_by_role("list", name=f"{kind.capitalize()}, {name}: {count}", exact=True)
            expect(pictures.get_by_role("img")).to_have_count(min(count, 8))
            for image in pictures.get_by_role("img").all():
                image.scroll_into_view_if_needed()  # it is loaded when it is looked at
                expect(image).to_have_js_property("complete", value=True)
                assert image.evaluate("image => image.naturalWidth") > 0
            expect(pictures.get_by_text(f"and {count - 8} more")).to_have_count(int(count > 8))
    page.get_by_text("Added:").click()
    expect(page.get_by_role("group", name="added images")).to_contain_text("images/COVID/")
    page.get_by_label("Later").select_option(versions[0])
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Choose two different snapshots.")).to_be_visible()


def test_file_is_saved_from_within_airflow(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    page.goto(f"{airflow.url}/plugin{PREFIX}{PREFIX}/snapshots/{versions[1]}")
    with page.expect_download() as started:
        inner(page).get_by_role("link", name="manifest.csv").click()
    assert started.value.suggested_filename == "manifest.csv"
    assert Path(started.value.path()).read_bytes() == airflow.store.get(f"{versions[1]}/manifest.csv")


def test_every_route_refuses_anonymous_requests(airflow: RunningAirflow, versions: tuple[str, str]) -> None:
    addresses = [route.path for route in app.routes]
    assert len(addresses) >= 6
    for address in addresses:
        path = address.replace("{name:path}", "manifest.csv").replace("{version}", versions[1])
        path = path.replace("{edition}", "default").replace("{dag}", DAG)
        answer = requests.get(f"{airflow.url}{PREFIX}{path}", allow_redirects=False, timeout=PATIENCE)
        assert answer.status_code in (401, 403), path
        assert versions[1] not in answer.text


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(
    airflow: RunningAirflow, browser: Browser, signed_in: Path, versions: tuple[str, str], scheme: str, width: int
) -> None:
    pages = {"list": "/", "snapshot": "/snapshots/latest", "compare": "/compare", "missing": "/snapshots/2020-01-01"}
    pages |= {"audit": "/snapshots/latest/audit.html", "editions": "/editions", "other-dag": "/dags/covid_cxr_withdraw"}
    viewport = {"width": width, "height": 900}
    # The sandbox of the audit's page would keep out what looks at it here, too.
    with browser.new_context(
        storage_state=signed_in, color_scheme=scheme, viewport=viewport, bypass_csp=True
    ) as context:
        page = context.new_page()
        for name, path in pages.items():
            page.goto(f"{airflow.url}{PREFIX}{path}")
            if page.locator("summary").count():
                page.locator("summary").first.click()
            picture(page, f"{name}-{scheme}-{width}", full_page=True)
            assert_sound(page, name, fewest_passes=20)


def test_a_button_on_the_tasks_of_a_run_leads_to_its_snapshot(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    runs = page.request.get(f"{airflow.url}/api/v2/dags/{DAG}/dagRuns?order_by=id").json()["dag_runs"]
    page.goto(f"{airflow.url}/dags/{DAG}/runs/{runs[-1]['dag_run_id']}/tasks/publish/details")
    expect(page.get_by_role("link", name="Open snapshot")).to_be_visible()
    picture(page, "open-snapshot")
    page.goto(f"{airflow.url}/dags/{DAG}/runs/{runs[-1]['dag_run_id']}/tasks/verify/details")
    page.get_by_role("link", name="Open snapshot").click()
    page.wait_for_url(f"**/snapshots/{versions[1]}")
    expect(inner(page).get_by_role("heading", level=1)).to_contain_text(f"Snapshot {versions[1]}")


def test_who_is_asked_sees_what_is_lost_and_the_draft_audit(
    airflow: RunningAirflow, context: BrowserContext, versions: tuple[str, str]
) -> None:
    page = context.new_page()
    form = open_form(airflow, page)
    form.locator("[name=element_covid_commit]").fill(git(airflow, "rev-parse", f"refs/replay/step-{AFTER}"))
    run = submit(page, form).json()["dag_run_id"]
    address = f"{airflow.url}/api/v2/dags/{DAG}/dagRuns/{run}/taskInstances/approve"
    eventually(lambda: page.request.get(address).json()["state"] == "awaiting_input", "the question")
    page.goto(f"{airflow.url}/dags/{DAG}/runs/{run}/tasks/approve/required_actions")
    expect(page.get_by_text("Publish although COVID fell from 40 to 24 candidates (40 % lost)?")).to_be_visible()
    expect(page.get_by_role("row", name="COVID 40 24 -40 %")).to_be_visible()
    said = " ".join(page.locator("body").inner_text().split())
    for sentence in (
        f"the last snapshot with these settings, {versions[1]}, had 40: 40 % lost, the limit is 10 %.",
        "Approve publishes it. Your name, the time and what was found go into snapshot.json",
        "Reject ends the run and publishes nothing; the latest snapshot stays the latest.",
    ):
        assert sentence in said, said
    told = re.search(rf"COVID candidates of {versions[1]} that are none any more: (\d+) images, and (\d+) new", said)
    assert told, said
    gone, new = map(int, told.groups())
    assert 40 - gone + new == 24
    manifest = airflow.store.get_table(f"{versions[1]}/manifest.parquet")
    had = set(manifest.loc[manifest["class"].eq("COVID"), "path"])
    listed = [text.removeprefix("covid: ") for text in page.get_by_role("cell", name="covid: ").all_inner_texts()]
    assert len(listed) == gone
    there = set(git(airflow, "ls-tree", "-r", "--name-only", f"refs/replay/step-{AFTER}").splitlines())
    assert had - there <= set(listed) <= had
    lost = page.get_by_role("img", name="Pictures of what is lost")
    expect(lost).to_have_js_property("complete", value=True)
    assert lost.evaluate("image => image.naturalWidth") > 0
    page.set_viewport_size({"width": 1280, "height": 2000})
    picture(page, "approval")
    link = page.get_by_role("link", name="audit of what would be published").get_attribute("href")
    audit = context.new_page()
    audit.goto(f"{airflow.url}{link}")
    expect(audit.get_by_role("heading", level=1)).to_be_visible()
    picture(audit, "draft-audit")
    page.get_by_role("button", name="Reject").click()
    assert wait_for_runs(airflow, page)[run] == "success"
    latest = airflow.store.get_json("latest.json")
    assert latest
    assert latest["version"] == versions[1]
