"""``index.html`` shows what the entries say, whatever strangers wrote, and loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.publication.index_page import render_index, with_pictures
from cxr_snapshot.tables import CLASSES
from support.catalogue import sheet
from support.hostile import PIECES


def entry(version: str, edition: str = "default", **more: Any) -> dict[str, Any]:
    return {
        "version": version,
        "edition": edition,
        "path": f"{version}/" if edition == "default" else f"editions/{edition}/{version}/",
        "created": f"{version}T03:00:00+00:00",
        "counts": dict.fromkeys(CLASSES, 1200),
        "revisions": {"covid": "a" * 40},
        "latest": False,
        "synthetic": False,
        "withdrawn": None,
        "withdrawn_images": 0,
        "headline": "It teaches where an image is from.",
        "files": 90,
        "bytes": 2_901_901,
    } | more


class Tags(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_links_lead_to_the_files_beside_the_page() -> None:
    page = Tags(render_index([entry("2026-11-23"), entry("2026-11-23", "adults", withdrawn="erased")], {}))
    links = [attributes["href"] for tag, attributes in page.found if tag == "a"]
    names = ["README.md", "audit.html", "manifest.csv", "snapshot.json"]
    assert links == [
        *("index.json", "#default", "#adults"),
        *(f"2026-11-23/{name}" for name in names),
        *(f"editions/adults/2026-11-23/{name}" for name in [*names, "WITHDRAWN.json"]),
    ]


def test_nothing_is_loaded_from_elsewhere_and_no_script_can_run() -> None:
    page = Tags(render_index([entry("2026-11-23")], {"2026-11-23/": sheet(100)}))
    assert not {tag for tag, _ in page.found} & {"script", "link", "iframe", "object", "form", "base"}
    for _, attributes in page.found:
        assert (attributes.get("src") or "data:").startswith("data:image/jpeg;base64,") or "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    (policy,) = [attributes["content"] for tag, attributes in page.found if "http-equiv" in attributes]
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")


@pytest.mark.parametrize("text", [*PIECES, "".join(PIECES)])
def test_what_strangers_wrote_is_text(text: str) -> None:
    def written(word: str) -> Tags:
        facts = entry("2026-11-23", headline=word, revisions={word: word}, created=word)
        return Tags(render_index([facts], {"2026-11-23/": sheet(1)}))

    calm, page = written("word"), written(text)
    assert [tag for tag, _ in page.found] == [tag for tag, _ in calm.found]
    assert [set(attributes) for _, attributes in page.found] == [set(attributes) for _, attributes in calm.found]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\u2066]", page.text.replace("\n", ""))


def test_the_newest_of_each_edition_come_first_where_pictures_are_few() -> None:
    days = [f"2026-11-{day:02}" for day in range(1, 21)]
    entries = [entry(day) for day in days] + [entry(day, "adults") for day in days[:3]]
    shown = with_pictures(entries)
    assert [each["path"] for each in shown[:3]] == ["2026-11-20/", "editions/adults/2026-11-03/", "2026-11-19/"]
    assert len(shown) == 8
    page = render_index(entries, {each["path"]: sheet(100) for each in shown})
    assert page.count(b"<img ") == 8
    assert page.count(b"README.md") == len(entries), "the rest is text"
    assert len(page) < 400_000
    assert page.index(b">2026-11-20<") < page.index(b">2026-11-19<") < page.index(b">2026-11-01<")


def test_generated_data_is_called_so() -> None:
    plain, generated = (Tags(render_index([entry("2026-11-23", synthetic=how)], {})) for how in (False, True))
    assert SYNTHETIC in generated.text and "generated" in generated.text
    assert "generated" not in plain.text and SYNTHETIC not in plain.text


def test_an_empty_catalogue_says_so() -> None:
    assert "Nothing is published yet." in Tags(render_index([], {})).text


def test_equal_entries_give_equal_bytes() -> None:
    pages = {render_index([entry("2026-11-23")], {"2026-11-23/": sheet(100)}) for _ in range(2)}
    assert len(pages) == 1
