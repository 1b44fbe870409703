"""The simulator's answers have the form that GitHub describes for its REST API."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import requests

from support.waiting import PATIENCE
from upstream_simulator.faults import Fault
from upstream_simulator.server import UpstreamSimulator

DESCRIPTION = json.loads((Path(__file__).parent / "openapi" / "github.json").read_text())
COMMITS, COMMIT, TREE, ANY = (
    f"/repos/{{owner}}/{{repo}}{rest}" for rest in ("/commits", "/commits/{ref}", "/git/trees/{tree_sha}", "")
)
FORMATS = jsonschema.FormatChecker(formats=())


@FORMATS.checks("uri")
def is_uri(text: str) -> bool:
    return bool(urlsplit(text).scheme and urlsplit(text).netloc)


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


def strict(schema):
    """Forbid properties that are not described: a misspelt name must not pass."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return closed | {name: strict(part) for name, part in schema.items()}


def validate(response: requests.Response, path: str) -> None:
    described = DESCRIPTION["paths"][path][str(response.status_code)]
    schema = described["schema"] | {"components": DESCRIPTION["components"]}
    # Every error says its `status`, which the description leaves out of some.
    checked = strict(schema) if response.ok else schema
    jsonschema.Draft202012Validator(checked, format_checker=FORMATS).validate(response.json())
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    limit, remaining, used, reset = (
        int(response.headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "used", "reset")
    )
    assert (limit, limit - used) == (60, remaining)
    assert reset > 0
    assert response.headers["x-ratelimit-resource"] == "core"


def get(sim: UpstreamSimulator, rest: str, repository: str = "ann/covid", **options) -> requests.Response:
    url = f"{sim.url}/github-api/repos/{repository}/{rest}"
    return requests.get(url, timeout=PATIENCE, **options)


def test_commits(sim):
    response = get(sim, "commits")
    validate(response, COMMITS)
    assert len(response.json()) == 3
    assert response.headers["ETag"].startswith('W/"')
    assert "Link" not in response.headers, "one page holds all"


def test_pages_of_commits(sim, shas):
    assert DESCRIPTION["paths"][COMMITS]["200"]["headers"] == ["Link"]
    seen, response = [], get(sim, "commits?per_page=1&sha=master")
    while True:
        validate(response, COMMITS)
        seen += [commit["sha"] for commit in response.json()]
        if "next" not in response.links:
            break
        assert response.links["last"]["url"].endswith("per_page=1&sha=master&page=3")
        response = requests.get(response.links["next"]["url"], timeout=PATIENCE)
    assert seen == shas[::-1]
    assert set(response.links) == {"prev", "first"}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_commit(sim, shas, number):
    response = get(sim, f"commits/{shas[number]}")
    validate(response, COMMIT)
    changed = {
        file["filename"]: (file["status"], file["additions"], file["deletions"]) for file in response.json()["files"]
    }
    assert (
        changed
        == (
            {
                "empty": ("added", 0, 0),
                "images/a.jpg": ("added", 0, 0),
                "images/b #1%.jpg ": ("added", 1, 0),
                "images/é.png": ("added", 1, 0),
                "metadata.csv": ("added", 2, 0),
            },
            {"README.md": ("added", 1, 0)},
            {"metadata.csv": ("modified", 0, 1)},
        )[number]
    )
    stats = response.json()["stats"]
    assert stats["additions"] == sum(added for _, added, _ in changed.values())
    assert stats["total"] == stats["additions"] + stats["deletions"]


@pytest.mark.parametrize("query", ["", "?recursive=1"])
def test_tree(sim, shas, query):
    response = get(sim, f"git/trees/{shas[2]}{query}")
    validate(response, TREE)
    assert {entry["type"] for entry in response.json()["tree"]} == {"blob", "tree"}


@pytest.mark.parametrize(
    ("rest", "repository", "path", "status", "page"),
    [
        ("commits", "ann/nope", COMMITS, 404, "commits/commits#list-commits"),
        ("commits?sha=nope", "ann/covid", COMMITS, 404, "commits/commits#list-commits"),
        ("commits/master", "ann/nope", COMMIT, 404, "commits/commits#get-a-commit"),
        ("commits/nope", "ann/covid", COMMIT, 422, "commits/commits#get-a-commit"),
        ("git/trees/nope", "ann/covid", TREE, 404, "git/trees#get-a-tree"),
        ("commits", "ann/empty", COMMITS, 409, "commits/commits#list-commits"),
        ("commits/master", "ann/empty", COMMIT, 409, "commits/commits#get-a-commit"),
        ("git/trees/master", "ann/empty", TREE, 409, "git/trees#get-a-tree"),
        ("commits/master", "ann/older-name", ANY, 301, "guides/best-practices-for-using-the-rest-api#follow-redirects"),
    ],
)
def test_refusals(sim, rest, repository, path, status, page):
    response = get(sim, rest, repository, allow_redirects=False)
    assert response.status_code == status
    validate(response, path)
    assert set(response.json()) == {"message", "documentation_url", "url" if status == 301 else "status"}
    assert response.json()["documentation_url"] == f"https://docs.github.com/rest/{page}"
    if status == 409:
        assert response.json()["message"] == "Git Repository is empty."


@pytest.mark.parametrize(("kind", "path"), [("404", COMMIT), ("500", COMMIT)])
def test_faults_speak_as_the_api_does(sim, kind, path):
    sim.faults.add(Fault(kind, "/github-api/"))
    answer = get(sim, "commits/master").json()
    schema = DESCRIPTION["components"]["schemas"]["basic-error"]
    jsonschema.Draft202012Validator(strict(schema)).validate(answer)
    assert (answer["status"], answer["documentation_url"]) == (kind, "https://docs.github.com/rest")


def test_the_check_notices_what_is_wrong(sim, shas):
    """Of the validator itself: each of these slips is found."""
    answer = get(sim, f"commits/{shas[0]}").json()
    schema = DESCRIPTION["paths"][COMMIT]["200"]["schema"] | {"components": DESCRIPTION["components"]}
    validator = jsonschema.Draft202012Validator(strict(schema), format_checker=FORMATS)
    assert validator.is_valid(answer)
    author = answer["commit"]["author"]
    for slip in (
        {name: value for name, value in answer.items() if name != "node_id"},
        answer | {"html_uri": answer["html_url"]},
        answer | {"url": "commits/1"},
        answer | {"commit": answer["commit"] | {"author": author | {"date": "yesterday"}}},
        answer | {"files": [answer["files"][0] | {"status": "new"}]},
    ):
        assert not validator.is_valid(slip)
