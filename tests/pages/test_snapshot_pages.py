"""The snapshot pages: the app as Airflow mounts it, on a real store with published snapshots."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pytest
import requests

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.plan import RUNS, run_folder
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.index import INDEX, INDEX_PAGE, update_index
from cxr_snapshot.publication.loading import snippets
from cxr_snapshot.publication.marks import Mark, write_mark
from cxr_snapshot.shown import line
from cxr_snapshot.store.client import CLIENT_CONFIG
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed
from cxr_snapshot.tables import CLASSES, MANIFEST_SCHEMA
from support.hostile import PIECES
from support.paths import ROOT
from support.requests_made import requests_to
from support.snapshot_pages import NEW, OLD, PREFIX, Elements, copied
from support.upstreams import FEW
from support.waiting import PATIENCE

NIGHTS = "covid_cxr_snapshot_nights"
DRAFT = run_folder("second").removeprefix(RUNS)
HOSTILE = (
    "".join(piece for piece in PIECES if piece.isprintable() and len(piece) < 100)
    + "' onclick='x\x1b]52;c;eA==\x07\u202e"
)


@pytest.fixture
def airflow_runs(migrated: None) -> Iterator[Callable[..., None]]:
    """Let Airflow know of runs of a DAG that nothing else has, and of what became of their task ``verify``."""
    from airflow.models import DagRun, TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import delete, insert

    def add(day: int, state: str, verify: str) -> None:
        run = {"dag_id": NIGHTS, "run_id": f"night {day}"}
        started = datetime(2026, 11, day, 3, tzinfo=UTC)
        with create_session() as session:
            session.execute(
                insert(DagRun).values(**run, run_type="scheduled", state=state, start_date=started, run_after=started)
            )
            session.execute(
                insert(TaskInstance).values(**run, task_id="verify", state=verify, pool="default_pool", map_index=-1)
            )

    yield add
    with create_session() as session:
        for table in (TaskInstance, DagRun):
            session.execute(delete(table).where(table.dag_id == NIGHTS))


def read_json(store: Store, name: str) -> dict[str, Any]:
    return json.loads(store.get(name))


class TestPlugin:
    def test_airflow_loads_it_and_nothing_else_from_the_folder(self, mounted):
        from airflow.plugins_manager import get_import_errors, get_plugin_info

        assert get_import_errors() == {}
        loaded = [
            plugin for plugin in get_plugin_info() if plugin["source"].__class__.__name__ == "PluginsDirectorySource"
        ]
        assert [plugin["name"] for plugin in loaded] == ["snapshot_pages"]

    def test_is_in_the_menu_and_on_the_dag(self, mounted):
        from airflow.plugins_manager import get_plugin_info

        (plugin,) = [plugin for plugin in get_plugin_info() if plugin["name"] == "snapshot_pages"]
        places = {view["destination"]: view for view in plugin["external_views"]}
        assert places["nav"]["category"] == "browse"
        assert set(places) == {"nav", "dag"}
        assert places["nav"]["href"] == f"{PREFIX[1:]}/"
        assert places["dag"]["href"] == PREFIX[1:] + "/dags/{DAG_ID}"

    def test_tasks_that_load_plugins_do_not_pay_for_the_app(self):
        code = "import sys, snapshot_pages; print({name.split('.')[0] for name in sys.modules})"
        command = [sys.executable, "-c", code]
        loaded = subprocess.run(command, cwd=ROOT / "plugins", capture_output=True, text=True, check=True).stdout
        assert "'snapshot_pages'" in loaded
        assert "'snapshot_pages_app'" not in loaded


class TestAccess:
    def test_every_route_refuses_anonymous_requests(self, anonymous, published):
        anonymous.use(published)
        assert len(anonymous.addresses(NEW)) >= 6
        for address in anonymous.addresses(NEW):
            page = anonymous.get(address, 401)
            assert "Please sign in" in page
            assert NEW not in page

    def test_every_route_refuses_a_forged_token(self, anonymous, published):
        anonymous.use(published)
        for address in anonymous.addresses(NEW):
            anonymous.get(address, 403, Authorization="Bearer forged")

    def test_every_route_refuses_who_may_not_read_the_dag(self, anonymous, published):
        anonymous.use(published)
        anonymous.sign_in(None)
        for address in anonymous.addresses(NEW):
            assert "You may not see this" in anonymous.get(address, 403)

    def test_refuses_before_it_looks_at_the_address(self, anonymous):
        anonymous.get("/?page=nonsense", 401)

    def test_every_answer_forbids_foreign_frames_and_scripts_but_our_own(self, pages):
        (script,) = re.findall("<script>(.*?)</script>", pages.get("/"), re.DOTALL)
        ours = f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for address in [*pages.addresses(NEW), "/nowhere", "/?page=0"]:
            headers = pages.client.get(PREFIX + address).headers
            policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == "'self'"
            assert policy.get("script-src") == (None if "sandbox" in policy else ours)
            assert headers["x-content-type-options"] == "nosniff"


class TestPages:
    def test_list_shows_what_was_published(self, pages, published):
        text = Elements(pages.get("/")).text
        newest = read_json(published, f"{NEW}/snapshot.json")
        assert text.index("2026-11-24 incomplete") < text.index(f"{NEW} latest") < text.index(f"{OLD} complete")
        assert f"{NEW} latest 2026-11-23 03:00 UTC " + " ".join(str(newest["counts"][name]) for name in CLASSES) in text
        assert f"commit {newest['revisions']['covid'][:10]}" in text

    def test_list_says_which_edition_it_is_and_which_settings_are_not_the_default(self, pages):
        text = Elements(pages.get("/")).text
        assert f"default max_per_class {FEW + 1}" in text
        assert f"default max_per_class {FEW} " in text

    @pytest.mark.parametrize(("verify", "words"), [("skipped", ", nothing published."), ("success", ".")])
    def test_list_says_when_the_dag_last_ended_well(self, pages, published, airflow_runs, verify, words):
        store = copied(published)
        for name in ("snapshot.json", SUCCESS):
            store.copy(f"{NEW}/{name}", f"editions/nights/{NEW}/{name}")
        pages.use(store)
        assert f"<p>Last news: {NEW} 03:00 UTC.</p>" in pages.get("/editions/nights/")
        airflow_runs(24, "success", verify)
        airflow_runs(25, "failed", "upstream_failed")
        airflow_runs(21, "success", "success")
        said = f"<p>Last run: 2026-11-24 03:00 UTC{words} Last news: {NEW} 03:00 UTC.</p>"
        assert said in pages.get("/editions/nights/")
        assert "Last run: 2026-11-24" not in pages.get("/")

    def test_tab_of_a_dag_leads_to_what_it_publishes(self, pages, published):
        store = copied(published)
        store.copy("latest.json", "editions/adults/latest.json")
        pages.use(store)
        for dag, list_page in (("covid_cxr_snapshot", "/"), ("covid_cxr_snapshot_adults", "/editions/adults/")):
            answer = pages.client.get(f"{PREFIX}/dags/{dag}")
            assert (answer.status_code, answer.headers["location"]) == (303, PREFIX + list_page)
        assert "There is no snapshot yet" in pages.get("/dags/covid_cxr_snapshot_new", 404)
        for other in ("covid_cxr_predictor", "covid_cxr_snapshot_", "covid_cxr_snapshot_default", "somebody%3Ci%3E"):
            assert "This DAG publishes no snapshots" in pages.get(f"/dags/{other}", 404)

    def test_list_links_to_complete_snapshots_only(self, pages):
        links = [link["href"] for link in Elements(pages.get("/")).named("a")]
        assert f"{PREFIX}/snapshots/{NEW}" in links
        assert f"{PREFIX}/snapshots/2026-11-24" not in links

    @pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
    def test_list_takes_few_requests_however_many_snapshots_there_are(self, anonymous, published, count):
        from snapshot_pages_app.reading import PER_PAGE

        store = copied(published)
        facts = store.get(f"{NEW}/snapshot.json")
        for number in range(count):
            version = f"{2020 + number // 300}-{number % 300 // 28 + 1:02}-{number % 28 + 1:02}"
            for name, body in (("snapshot.json", facts), (SUCCESS, b"")):
                store.put(f"{version}/{name}", body)
        anonymous.sign_in("VIEWER")
        anonymous.use(store)
        with requests_to(store) as asked:
            page = Elements(anonymous.get("/?page=3"))
        assert len([link for link in page.named("a") if "/snapshots/" in str(link["href"])]) == PER_PAGE
        assert len(asked) <= 55

    def test_list_reads_no_snapshot_that_the_catalogue_names(self, pages, published):
        with requests_to(published) as asked:
            text = Elements(pages.get("/")).text
        assert f"{NEW} latest" in text and f"{OLD} complete" in text
        assert not [request for request in asked if NEW in request.url or OLD in request.url]

    def test_list_marks_what_was_taken_back_with_and_without_the_catalogue(self, anonymous, published):
        store = copied(published)
        write_mark(store, OLD, Mark(images={"a": {"reason": "r", "erased": False}}), None)
        update_index(store, anew=True)
        anonymous.sign_in("VIEWER")
        anonymous.use(store)
        for _ in range(2):
            assert f"{OLD} complete withdrawn" in Elements(anonymous.get("/")).text
            store.delete([INDEX])

    @pytest.mark.parametrize("body", [b"no JSON", b"[]", b"{}", b'{"created": 5, "counts": [], "revisions": null}'])
    def test_list_shows_a_bad_snapshot_as_bad(self, anonymous, published, body):
        store = copied(published)
        store.delete([INDEX])  # which says what it was
        store.put(f"{OLD}/snapshot.json", body)
        anonymous.sign_in("VIEWER")
        anonymous.use(store)
        text = Elements(anonymous.get("/")).text
        assert f"{OLD} damaged Damaged: its snapshot.json is missing or makes no sense." in text
        assert f"{NEW} latest" in text

    def test_generated_data_has_a_banner_on_every_page(self, anonymous, published):
        anonymous.sign_in("VIEWER")
        addresses = ["/", f"/snapshots/{NEW}", "/compare"]
        anonymous.use(published)
        assert not [address for address in addresses if SYNTHETIC in Elements(anonymous.get(address)).text]
        store = copied(published)
        store.delete([INDEX])
        for version in (OLD, NEW):
            store.put_json(
                f"{version}/snapshot.json", read_json(store, f"{version}/snapshot.json") | {"synthetic": True}
            )
        anonymous.use(store)
        for address in addresses:
            text = Elements(anonymous.get(address)).text
            assert SYNTHETIC in text, address
            assert "children" not in text, address
        assert f"{NEW} latest synthetic" in Elements(anonymous.get("/")).text

    def test_changes_of_an_older_snapshot_are_shown(self, anonymous, published):
        store = copied(published)
        changes = read_json(store, f"{NEW}/changes.json")
        del changes["replaced"]
        store.put_json(f"{NEW}/changes.json", changes)
        anonymous.sign_in("VIEWER")
        anonymous.use(store)
        assert f"Compared with {OLD}." in Elements(anonymous.get(f"/snapshots/{NEW}")).text

    def test_another_edition_has_pages_of_its_own_that_lead_to_each_other(self, pages, published):
        store = copied(published)
        for name in published.list(f"{NEW}/"):
            store.copy(name, f"editions/adults/{name}")
        store.copy("latest.json", "editions/adults/latest.json")
        pages.use(store)
        choices = [link["href"] for link in Elements(pages.get("/")).named("a")]
        assert {f"{PREFIX}/", f"{PREFIX}/editions/adults/"} <= set(choices)
        assert f"{PREFIX}/snapshots/{OLD}" in choices
        other = Elements(pages.get("/editions/adults/"))
        assert "edition adults" in other.text and OLD not in other.text
        for path in ("/", f"/snapshots/{NEW}", "/compare", "/snapshots/2020-01-01"):
            page = Elements(pages.get(f"/editions/adults{path}", 404 if "2020" in path else 200))
            links = [link["href"] for link in page.named("a") if not link["href"].startswith("#")]
            assert links
            others = {link for link in links if not link.startswith(f"{PREFIX}/editions/adults/")}
            assert others <= {f"{PREFIX}/", f"{PREFIX}/editions"}
            assert f"{PREFIX}/editions/adults/style.css" in [link["href"] for link in page.named("link")]
        assert pages.get("/editions/adults/style.css")
        assert "The editions are: default, adults." in pages.get("/editions/none/", 404)
        assert "holds no edition" in pages.get("/editions/No/", 404)
        assert "editions/adults" not in pages.get(f"/snapshots/{NEW}")

    def test_editions_stand_side_by_side(self, pages, published):
        store = copied(published)
        for name in published.list(f"{OLD}/"):
            store.copy(name, f"editions/adults/{name}")
        store.edition("adults").put_json("latest.json", {"version": OLD})
        store.put("editions/begun/2026-11-24/manifest.csv", b"")
        pages.use(store)
        page = Elements(pages.get("/editions"))
        links = {link["href"] for link in page.named("a")}
        assert {f"{PREFIX}/snapshots/{NEW}", f"{PREFIX}/editions/adults/snapshots/{OLD}"} <= links
        assert "begun" not in page.text
        assert f"Version {NEW} {OLD}" in " ".join(page.text.split())

    def test_page_after_the_last_leads_back(self, pages):
        assert "There is only 1 page." in pages.get("/?page=2")

    def test_snapshot_counts_are_those_of_its_files(self, pages, published):
        text = Elements(pages.get(f"/snapshots/{NEW}")).text
        facts = read_json(published, f"{NEW}/snapshot.json")
        manifest = published.get_table(f"{NEW}/manifest.parquet")
        for name in CLASSES:
            assert f"{name} {facts['counts'][name]} of {facts['candidates'][name]} candidates" in text
        for rule, count in facts["excluded"].items():
            assert f"{rule} : {count}" in text
        for view, count in manifest.loc[manifest["class"].eq("COVID"), "view"].value_counts().items():
            assert f"{view} {count}" in text
        assert facts["content_digest"] in text
        assert f"aws s3 sync {facts['uri']}" in text
        for way in snippets(facts["uri"], NEW, facts["splits"]):
            assert " ".join(f"{way.title} ( pip install {way.packages} )".split()) in text
            assert " ".join(way.code.split()) in text

    def test_snapshot_lists_changes_and_leads_to_the_comparison(self, pages, published):
        page = Elements(pages.get(f"/snapshots/{NEW}"))
        changes = read_json(published, f"{NEW}/changes.json")
        assert changes["counts"]["added"] > 0
        assert f"Added: {changes['counts']['added']}" in page.text
        assert f"{PREFIX}/compare?from={OLD}&to={NEW}" in [link["href"] for link in page.named("a")]

    def test_other_names_since_schema_version_2_are_a_list_of_their_own(self, pages, published):
        renamed = read_json(published, f"{NEW}/changes.json")["renamed"]
        older = set(published.get_table(f"{OLD}/manifest.parquet")["file"])
        assert 0 < len(renamed) == len(older & {entry["old_file"] for entry in renamed})
        for path in (f"/snapshots/{NEW}", f"/compare?from={OLD}&to={NEW}"):
            text = Elements(pages.get(path)).text
            assert f"Renamed: {len(renamed)}" in text
            assert f"{renamed[0]['file']} {renamed[0]['split']} file was {renamed[0]['old_file']}" in text

    def test_latest_stands_for_the_newest(self, pages):
        assert pages.get("/snapshots/latest") == pages.get(f"/snapshots/{NEW}")

    def test_first_snapshot_says_that_it_is_the_first(self, pages):
        assert "This is the first snapshot" in pages.get(f"/snapshots/{OLD}")

    def test_preview_comes_through_the_app(self, pages, published):
        answer = pages.client.get(f"{PREFIX}/snapshots/{NEW}/preview.jpg")
        assert answer.content == published.get(f"{NEW}/preview.jpg")
        assert answer.headers["content-type"] == "image/jpeg"

    def test_draft_of_a_run_shows_its_audit_without_any_script(self, pages, published):
        answer = pages.client.get(f"{PREFIX}/drafts/{DRAFT}/audit.html")
        assert answer.content == published.get(f"{RUNS}{DRAFT}/audit.html")
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")

    def test_pictures_of_what_a_run_would_lose_are_shown_only_if_they_are_what_it_wrote(self, pages, published):
        store, name = copied(published), f"{RUNS}{DRAFT}/lost.jpg"
        pages.use(store)
        put_sealed(store, name, b"a picture")
        answer = pages.client.get(f"{PREFIX}/drafts/{DRAFT}/lost.jpg")
        assert (answer.content, answer.headers["content-type"]) == (b"a picture", "image/jpeg")
        store.put(name, b"another one")
        assert "is damaged" in pages.get(f"/drafts/{DRAFT}/lost.jpg", 502)

    def test_every_listed_file_can_be_fetched(self, pages):
        links = [str(link["href"]) for link in Elements(pages.get(f"/snapshots/{NEW}")).named("a")]
        files = [link for link in links if "/files/" in link]
        assert len(files) > 10
        assert {pages.client.get(link).status_code for link in files} == {303}

    @pytest.mark.parametrize(
        "path",
        [
            "/snapshots/2026-11-24",  # not complete
            "/snapshots/2020-01-01",
            "/snapshots/_work",
            "/snapshots/2026-11-24/preview.jpg",
            f"/snapshots/{NEW}/files/no-such-file",
            f"/snapshots/{NEW}/files/../../latest.json",
            "/snapshots/_work/files/conditional-write-probe",
            "/drafts/second/audit.html",  # no name of a run's folder
            "/drafts/../drafts/audit.html",
            "/drafts/..%2fblobs/audit.html",
            "/drafts/none-0123456789ab/audit.html",
            "/drafts/none-0123456789ab/balanced.parquet",
            f"/drafts/{DRAFT}/balanced.parquet",
            f"/drafts/{DRAFT}/lost.jpg",  # nobody was asked
            f"/compare?from={OLD}&to=2026-11-24",
            "/nowhere",
        ],
    )
    def test_what_is_not_there_is_a_page_that_leads_back(self, pages, path):
        assert f'href="{PREFIX}/"' in pages.get(path, 404)

    def test_comparison_is_the_same_in_both_orders_and_by_default(self, pages, published):
        page = pages.get(f"/compare?from={OLD}&to={NEW}")
        assert pages.get(f"/compare?from={NEW}&to={OLD}") == page
        assert pages.get("/compare") == page
        old, new = (read_json(published, f"{version}/snapshot.json") for version in (OLD, NEW))
        text = Elements(page).text
        for name in CLASSES:
            before, after = old["counts"][name], new["counts"][name]
            change = f"+{after - before}" if after > before else "0"
            assert f"{name} {before} {after} {change}" in text
        changes = read_json(published, f"{NEW}/changes.json")["counts"]
        assert f"Added: {changes['added']}" in text

    def test_comparison_shows_what_is_lost_and_new(self, pages, published):
        changes = read_json(published, f"{NEW}/changes.json")
        page = Elements(pages.get(f"/compare?from={OLD}&to={NEW}"))
        shown = {image["src"]: image["alt"] for image in page.named("img")}
        links = {link["href"] for link in page.named("a")}
        assert 0 < len(changes["added"]) <= 8 * len(CLASSES)
        for kind, version in (("removed", OLD), ("added", NEW)):
            for file in (PurePosixPath(entry["file"]).name for entry in changes[kind]):
                assert shown.pop(f"{PREFIX}/snapshots/{version}/thumbnails/{file}.png") == file
                assert f"{PREFIX}/snapshots/{version}/images/{file}" in links
                picture = pages.client.get(f"{PREFIX}/snapshots/{version}/thumbnails/{file}.png")
                assert picture.content.startswith(b"\x89PNG"), picture.text
                assert file in pages.get(f"/snapshots/{version}/images/{file}")
        assert not shown

    def test_comparison_shows_a_bounded_number_of_pictures(self, pages, published, monkeypatch):
        from snapshot_pages_app import app

        images = [
            {"file": f"images/NORMAL/a-{n}.png", "class": "NORMAL", "split": "train", "sha256": str(n)}
            for n in range(1200)
        ]
        found = app.compare_snapshots(published, OLD, NEW)
        found.found["added"] = images
        monkeypatch.setattr(app, "compare_snapshots", lambda *_: found)
        page = Elements(pages.get("/compare"))
        assert "Added, NORMAL: 1,200 and 1,192 more" in page.text
        assert len([image for image in page.named("img") if "a-" in str(image["src"])]) == 8

    def test_comparison_of_snapshots_of_other_collections(self, pages, published):
        store = copied(published)
        pages.use(store)
        facts = read_json(store, f"{NEW}/snapshot.json")
        pins = {"covid": facts["revisions"]["covid"], "nih": "4"}
        store.put_json(f"{NEW}/snapshot.json", facts | {"revisions": pins})
        text = Elements(pages.get("/compare")).text
        assert "Source pneumonia version 1 none other" in text
        assert "Source nih none version 4 other" in text

    def test_comparison_with_itself_asks_for_another(self, pages):
        assert "Choose two different snapshots" in pages.get(f"/compare?from={NEW}&to={NEW}")

    def test_airflow_may_live_under_a_path(self, pages, mounted):
        from fastapi.testclient import TestClient

        page = TestClient(mounted, root_path="/airflow").get(f"/airflow{PREFIX}/").text
        assert f'href="/airflow{PREFIX}/snapshots/{NEW}"' in page

    def test_audit_is_summed_up_and_linked(self, pages, published):
        text = Elements(pages.get(f"/snapshots/{NEW}"))
        report = read_json(published, f"{NEW}/audit.json")
        assert report["verdict"]["headline"] in text.text
        assert report["checks"][0]["description"] in text.text
        assert {"href": f"{PREFIX}/snapshots/{NEW}/audit.html"} in text.named("a")
        answer = pages.client.get(f"{PREFIX}/snapshots/{NEW}/audit.html")
        assert answer.content == published.get(f"{NEW}/audit.html")
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'", "form-action 'none'"} <= set(policy)

    def test_what_was_overridden_is_shown_with_who_did_it(self, pages, published, store):
        for name in published.list(f"{NEW}/"):
            store.put(name, published.get(name))
        override = {"finding": "COVID lost 40 %.", "how": "approval", "run": "r1", "user": "reviewer", "time": "10:00"}
        facts, report = read_json(published, f"{NEW}/snapshot.json"), read_json(published, f"{NEW}/audit.json")
        store.put_json(f"{NEW}/snapshot.json", facts | {"overrides": [override]})
        report["checks"][0] |= {"passed": False, "accepted_by": "reviewer"}
        store.put_json(f"{NEW}/audit.json", report)
        assert "overridden" not in pages.get(f"/snapshots/{NEW}")
        pages.use(store)
        page = pages.get(f"/snapshots/{NEW}")
        assert "overridden.</strong> COVID lost 40 %. Accepted by reviewer in run r1 at 10:00.</p>" in page
        assert "failed</span> accepted by reviewer</td>" in page

    def test_a_snapshot_of_an_earlier_release_is_shown(self, pages, published, store):
        for name in published.list(f"{NEW}/"):
            store.put(name, published.get(name))
        facts, report = read_json(published, f"{NEW}/snapshot.json"), read_json(published, f"{NEW}/audit.json")
        store.put_json(f"{NEW}/snapshot.json", {name: value for name, value in facts.items() if name != "overrides"})
        for check in report["checks"]:
            del check["accepted_by"]
        store.put_json(f"{NEW}/audit.json", report)
        pages.use(store)
        assert report["checks"][0]["description"] in pages.get(f"/snapshots/{NEW}")

    def test_pages_are_built_for_everybody(self, pages):
        for path in ("/", "/compare", f"/snapshots/{NEW}", "/nowhere"):
            page = Elements(pages.client.get(PREFIX + path).text)
            assert len(page.named("h1")) == len(page.named("main")) == len(page.named("header")) == 1
            assert page.named("html") == [{"lang": "en"}]
            assert all("scope" in cell for cell in page.named("th"))
            assert all(image.get("alt") for image in page.named("img"))


class TestHostileContent:
    @pytest.fixture
    def hostile(self, published: Store, store: Store) -> Store:
        """A copy of the two snapshots in which every text that is free to choose is hostile."""
        for name in published.list(""):
            if not name.startswith(("_work/", "2026-11-24")):
                store.put(name, published.get(name))
        for version in (OLD, NEW):
            for name in ("snapshot.json", "changes.json", "audit.json"):
                kept = {"version": version, "previous": OLD if version == NEW else None, "uri": "s3://x/y/"}
                poisoned = _poison(read_json(published, f"{version}/{name}"))
                store.put_json(f"{version}/{name}", poisoned | {key: kept[key] for key in kept if key in poisoned})
            manifest = published.get_table(f"{version}/manifest.parquet")
            free = ("view", "split", "source", "path", "finding", "url", "license", "patient_id", "file")
            for column in free:
                manifest[column] = manifest[column].fillna("") + (HOSTILE + version)
            store.put_table(f"{version}/manifest.parquet", manifest, MANIFEST_SCHEMA)
            excluded = pd.read_csv(io.BytesIO(published.get(f"{version}/excluded.csv")), dtype=str).fillna("")
            changed = excluded.map(lambda text: text + HOSTILE)
            changed["sha256"] = excluded["sha256"]
            store.put(f"{version}/excluded.csv", changed.to_csv(index=False).encode())
            names = sorted(store.list(f"{version}/").keys() - {f"{version}/{name}" for name in (SUMS, SUCCESS)})
            sums = sums_bytes({name.partition("/")[2]: store.sha256(name) for name in names})
            store.put(f"{version}/{SUMS}", sums)
            store.put(f"{version}/{SUCCESS}", hashlib.sha256(sums).hexdigest().encode())
        update_index(store, anew=True)
        return store

    def test_the_catalogue_shows_it_as_text(self, hostile):
        found = Elements(hostile.get(INDEX_PAGE).decode())
        assert line(HOSTILE) in "".join(found.words)
        assert not found.named("script")
        assert len(found.named("img")) == 2
        assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]

    def test_is_shown_and_does_nothing(self, pages, hostile):
        pages.use(hostile)
        for path in ("/", f"/snapshots/{NEW}", f"/snapshots/{OLD}", "/compare"):
            page = pages.get(path)
            found = Elements(page)
            assert line(HOSTILE) in "".join(found.words)
            assert line(page.replace("\n", "")) == page.replace("\n", "")
            assert found.named("script") == [{}]  # ours
            assert len(found.named("img")) == path.startswith("/snapshots") or path == "/compare"
            for tag, attributes in found.tags:
                assert not [name for name in attributes if name.startswith("on")]
                for name in ("href", "src", "action"):
                    assert str(attributes.get(name, "#")).startswith((f"{PREFIX}/", "#")), tag


def _poison(value: Any) -> Any:
    """Return JSON data in which every text is hostile."""
    if isinstance(value, dict):
        return {name: _poison(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_poison(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


class TestEmptyAndErrors:
    def test_empty_store_says_how_to_get_the_first_snapshot(self, pages, store):
        pages.use(store)
        text = Elements(pages.get("/")).text
        assert "There is no snapshot yet" in text
        assert "covid_cxr_snapshot" in text
        assert "Trigger" in text
        assert store.uri("") in text

    def test_comparison_needs_two(self, pages, store):
        pages.use(store)
        assert "This needs two complete snapshots" in pages.get("/compare")

    def test_store_that_does_not_answer(self, pages):
        import boto3

        from local_stack.processes import free_port

        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{free_port()}",
            aws_access_key_id="test",
            aws_secret_access_key="test-secret",
            region_name="us-east-1",
            config=CLIENT_CONFIG.merge(boto3.session.Config(retries={"total_max_attempts": 1})),
        )
        pages.use(Store(client, "some-bucket", "covid-cxr"))
        for path in ("/", f"/snapshots/{NEW}", f"/snapshots/{NEW}/preview.jpg", "/compare"):
            text = Elements(pages.get(path, 503)).text
            assert "The store does not answer" in text
            assert "Check that the store runs" in text

    def test_bucket_that_does_not_exist(self, pages, s3_client):
        pages.use(Store(s3_client, "no-such-bucket", "covid-cxr"))
        text = Elements(pages.get("/", 502)).text
        assert "bucket no-such-bucket does not exist. Create it or set CXR_BUCKET." in text

    def test_pointer_that_is_damaged(self, pages, published):
        store = copied(published)
        pages.use(store)
        store.put("latest.json", b"<b>not JSON</b>")
        assert NEW in Elements(pages.get("/")).text
        text = Elements(pages.get("/snapshots/latest", 404)).text
        assert "latest.json names nothing. Nothing was published yet, or a run mends it." in text


class TestStoreOfTheWebServer:
    """The store is found as the tasks find it: in Airflow's variable and connection, else in the environment."""

    def test_without_a_bucket_the_page_says_where_to_set_it(self, anonymous):
        anonymous.sign_in("VIEWER")
        text = Elements(anonymous.get("/", 503)).text
        assert "no bucket: set CXR_BUCKET" in text
        assert "Airflow variable cxr_snapshot" in text

    def test_variable_and_connection_are_used(self, anonymous, published, monkeypatch):
        extra = {"endpoint_url": published.client.meta.endpoint_url, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "test", "password": "test-secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", json.dumps({"bucket": published.bucket}))
        monkeypatch.setenv("AIRFLOW_CONN_CXR_S3", json.dumps(connection))
        anonymous.sign_in("VIEWER")
        assert NEW in anonymous.get("/")

    def test_a_login_in_the_address_of_the_store_is_refused_and_not_shown(self, anonymous, published, monkeypatch):
        extra = {"endpoint_url": "http://me:SECRET@127.0.0.1:9", "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "test", "password": "test-secret", "extra": extra}
        monkeypatch.setenv("AIRFLOW_VAR_CXR_SNAPSHOT", json.dumps({"bucket": published.bucket}))
        monkeypatch.setenv("AIRFLOW_CONN_CXR_S3", json.dumps(connection))
        anonymous.sign_in("VIEWER")
        for path in ("/", f"/snapshots/{NEW}", f"/snapshots/{NEW}/files/manifest.csv"):
            page = anonymous.get(path, 503)
            assert "holds a user or a password" in page
            assert "SECRET" not in page

    def test_environment_is_used_and_files_are_saved_by_a_signed_address(self, anonymous, published, monkeypatch):
        monkeypatch.setenv("CXR_BUCKET", published.bucket)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", published.client.meta.endpoint_url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        anonymous.sign_in("VIEWER")
        links = [link["href"] for link in Elements(anonymous.get(f"/snapshots/{NEW}")).named("a")]
        (link,) = [link for link in links if link and link.endswith("/files/manifest.csv")]
        answer = anonymous.client.get(link)
        assert answer.status_code == 303
        assert "X-Amz-Signature=" in answer.headers["location"]
        saved = requests.get(answer.headers["location"], timeout=PATIENCE)
        assert saved.text == published.get(f"{NEW}/manifest.csv").decode()
        assert saved.headers["content-disposition"] == 'attachment; filename="manifest.csv"'
