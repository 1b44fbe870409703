"""What Markdown and HTML become when they are rendered: by real parsers, so that no test judges by looks."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.token import Token


@cache
def _renderer() -> MarkdownIt:
    """Return GitHub's dialect with all that can do harm switched on: raw HTML, and links of bare addresses."""
    return MarkdownIt("gfm-like", {"html": True})


def tokens(markdown: str) -> list[Token]:
    """Return all tokens, flat."""
    found: list[Token] = []
    for token in _renderer().parse(markdown):
        found += [token, *(token.children or [])]
    return found


def active(markdown: str) -> set[tuple[str, str]]:
    """Return links, images and raw HTML, each with where it leads or what it says."""
    places = {"link_open": "href", "image": "src"}
    found = {
        (token.type, str(token.attrs.get(places[token.type]))) for token in tokens(markdown) if token.type in places
    }
    return found | {(token.type, token.content) for token in tokens(markdown) if token.type.startswith("html_")}


def shape(markdown: str) -> list[str]:
    """Return the kinds of all tokens that are no plain text: two texts of the same shape differ in words alone."""
    plain = {"text", "text_special", "inline"}
    return [token.type for token in tokens(markdown) if token.type not in plain]


def words(markdown: str) -> str:
    """Return the text that a reader sees, each block's on a line."""
    blocks = ("".join(child.content for child in token.children or []) for token in tokens(markdown))
    return "\n".join(block for block in blocks if block)


class Page(HTMLParser):
    """Collects the elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", ((data, None),)))

    def handle_decl(self, decl: str) -> None:
        self.elements.append(("declaration", ((decl, None),)))

    def handle_data(self, data: str) -> None:
        self.text += data
