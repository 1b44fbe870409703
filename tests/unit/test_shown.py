"""What strangers wrote does nothing where it is shown, and is there to be read."""

from __future__ import annotations

import html
import json
import logging
import os
import re
import subprocess
import sys

import pytest
from hypothesis import example, given
from jinja2 import Environment
from markupsafe import Markup

from cxr_snapshot import shown
from cxr_snapshot.errors import GuardError, MissingObjectError, SnapshotError, UpstreamRefusedError
from support.hostile import texts
from support.paths import ROOT
from support.rendered import Page, active, shape, words

UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
TABLE = "| name |\n|---|\n| {} |\n"


@given(texts)
def test_a_line_is_one_line_of_what_can_be_seen(text: str) -> None:
    found = shown.line(text)
    assert not UNSEEN.search(found)
    assert found.splitlines() == [found] * bool(found)
    found.encode()
    assert shown.line(found) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Pneumonia/Viral/COVID-19 é 日本 \xa0 <b>", "Pneumonia/Viral/COVID-19 é 日本 \xa0 <b>"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x1b]52;c;eA==\x07", r"\x1b]52;c;eA==\x07"),
        ("gpj\u202e.exe\u200b\ud800", r"gpj\u202e.exe\u200b\ud800"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out_and_nothing_else(text: str, found: str) -> None:
    assert shown.line(text) == found


@given(texts)
def test_lines_keep_their_ends_alone(text: str) -> None:
    found = shown.lines(text)
    assert not UNSEEN.search(found.replace("\n", ""))
    assert found.count("\n") == text.count("\n")


@given(texts)
@example("www.evil.example")
@example("\\|")
@example("a\\")
def test_markdown_is_read_as_it_stands_there(text: str) -> None:
    escaped, read = shown.markdown(text) or "word", shown.line(" ".join(text.split())) or "word"
    for around in ("Said: {}.", TABLE, "- a {} b", "> **Bold.** {}"):
        page = around.format(escaped)
        assert active(page) == set()
        assert shape(page) == shape(around.format("word"))
        assert words(page) == words(around.format("word")).replace("word", read)


def test_markdown_escapes_no_more_than_it_must() -> None:
    text = "run manual__x of unknown_view by <img src=x> [a](http://b) `c` **d**\n# e & f, me@x www.a.b"
    assert shown.markdown(text) == (
        r"run manual\_\_x of unknown_view by \<img src=x\> \[a\](http\://b) \`c\` \*\*d\*\* \# e \& f, me\@x www\.a.b"
    )


@given(texts)
def test_html_holds_no_element_of_it(text: str) -> None:
    template = Environment(autoescape=True, finalize=shown.html).from_string('<p title="{{ text }}">{{ text }}</p>')
    page = Page(template.render(text=text))
    assert page.elements == [("p", (("title", shown.lines(text)),))]
    assert page.text == shown.lines(text)


def test_html_leaves_markup_and_numbers_of_our_own() -> None:
    assert shown.html(Markup("<b>\n</b>")) == "<b>\n</b>"
    assert shown.html(7) == 7


@given(texts)
def test_slack_reads_neither_links_nor_calls(text: str) -> None:
    found = shown.slack(text)
    assert not re.search("[<>]|&(?!amp;|lt;|gt;)", found)
    assert html.unescape(found.replace("&amp;", "&#38;")) == html.unescape(html.escape(shown.lines(text)))


@given(texts)
def test_json_is_equal_and_drives_no_terminal(text: str) -> None:
    found = shown.json_text({"name": text, text: ["é"]})
    assert json.loads(found) == {"name": text, text: ["é"]}
    assert not UNSEEN.search(found.replace("\n", ""))
    assert "é" in found


@given(texts)
def test_a_record_of_the_log_is_one_line(text: str) -> None:
    records: list[logging.LogRecord] = []
    logger = shown.logger("cxr_snapshot.test")
    logger.addFilter(lambda record: records.append(record) or False)
    try:
        logger.warning("%s in %d: %s", text, 7, text)
    finally:
        logger.filters.pop()
    assert records[0].getMessage() == f"{shown.line(text)} in 7: {shown.line(text)}"


@given(texts)
def test_an_error_is_one_line(text: str) -> None:
    for error in (
        GuardError(text),
        MissingObjectError(text),
        UpstreamRefusedError("covid", "https://x", text, "Help."),
    ):
        assert isinstance(error, SnapshotError)
        assert shown.line(text) in str(error)
        assert not UNSEEN.search(str(error))


@pytest.mark.parametrize("login", ["me:SECRET@", "SECRET@", "me:SE/CR#ET?@", "a@b:SECRET@", ":SECRET@"])
@pytest.mark.parametrize("scheme", ["https://", "HTTP://", "", "https:/", "//"])
def test_an_address_without_its_login(scheme: str, login: str) -> None:
    found = shown.without_login(f"{scheme}{login}host:9000/path")
    assert found == f"{scheme if scheme.endswith('://') else ''}host:9000/path"


@pytest.mark.parametrize("address", ["http://127.0.0.1:9000", "https://s3.example.org/a?b=c", "", "no address"])
def test_an_address_that_has_no_login(address: str) -> None:
    assert shown.without_login(address) == address


def test_a_terminal_gets_its_own_encoding_and_what_it_lacks_spelt_out() -> None:
    script = "from cxr_snapshot import shown; shown.on_any_terminal(); print('Zoë │ 中')"
    environ = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT / "include")}
    command = [sys.executable, "-X", "utf8", "-c", script]
    printed = subprocess.run(command, env=environ, capture_output=True, check=True).stdout
    assert printed == rb"Zo\xeb \u2502 \u4e2d" + b"\n"


def test_every_log_and_every_template_of_the_project_goes_through_it() -> None:
    sources = [file for folder in ("include", "plugins") for file in (ROOT / folder).rglob("*.py")]
    texts = {file.name: file.read_text() for file in sources if "upstream_simulator" not in file.parts}
    assert [name for name, text in texts.items() if "getLogger(__name__)" in text] == []
    with_templates = {name: text for name, text in texts.items() if "Environment(\n" in text}
    assert set(with_templates) == {"templates.py"}
    assert all("autoescape=True,\n        finalize=shown.html," in text for text in with_templates.values())
    pages = [file for folder in ("include", "plugins") for file in (ROOT / folder).rglob("*.html")]
    assert len(pages) >= 7
    assert [page.name for page in pages if re.search(r"\|\s*safe\b|autoescape", page.read_text())] == []
