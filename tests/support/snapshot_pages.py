"""Where the snapshot pages are, which snapshots tests look at, and what is on a page."""

from __future__ import annotations

from html.parser import HTMLParser

from cxr_snapshot.store.objects import Store
from support.stores import copied_bucket

PREFIX = "/covid-cxr-snapshots"
OLD, NEW = "2026-11-22", "2026-11-23"
UNSEEN = tuple(f"_work/{name}" for name in ("blobs", "normalised", "inspections", "looks", "sources", "lookalikes"))


def copied(published: Store) -> Store:
    """Return a bucket of its own with all that a page can show or take back: not what only the stages read."""
    return copied_bucket(published, leave=UNSEEN)


class Elements(HTMLParser):
    """Collects the start tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
