"""What the pages of many images show: those of a snapshot, and those that it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cxr_snapshot.catalog.images import FACETS, Card, Images
from cxr_snapshot.catalog.left_out import LeftOut, read_left_out
from cxr_snapshot.selection.duplicates import partners_in
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.ranges import Kept
from snapshot_pages_app.reading import load_facts

PER_PAGE = 36  # pictures; each is a request of the browser
ROWS_PER_PAGE = 50  # of what was left out
MOST_LINKS = 3  # from one record to images that show the same film

# What was read of snapshots lately, for all requests of this process: footers, columns to choose by, pictures.
KEPT = Kept(64 * 1024**2)


@dataclass(frozen=True)
class Part:
    """Which part of many things a page shows.

    Attributes:
        number: of the page, counted from 1.
        total: how many things there are on all pages.
        size: how many are on a page.
    """

    number: int
    total: int
    size: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(-(-self.total // self.size), 1)

    @property
    def first(self) -> int:
        """How many things are on the pages before."""
        return (self.number - 1) * self.size

    @property
    def last(self) -> int:
        """The number of the last thing on this page, counted from 1."""
        return min(self.first + self.size, self.total)


@dataclass(frozen=True)
class Gallery:
    """A page of images.

    Attributes:
        facts: the snapshot's ``snapshot.json``.
        withdrawn: what was taken back of it, in a sentence; empty for most.
        choices: by column all values, among which a person can choose.
        chosen: by column the value that was chosen; only columns where one was.
        part: which of the images that fit these are.
        cards: the images.
    """

    facts: dict[str, Any]
    withdrawn: str
    choices: Mapping[str, tuple[str, ...]]
    chosen: Mapping[str, str]
    part: Part
    cards: list[Card]


@dataclass(frozen=True)
class Excluded:
    """A page of what was left out.

    Attributes:
        facts: the snapshot's ``snapshot.json``.
        chosen: ``rule``, ``source`` and ``path`` as far as they were asked for.
        part: which of the records that fit these are.
        found: the records, and all rules and sources.
    """

    facts: dict[str, Any]
    chosen: Mapping[str, str]
    part: Part
    found: LeftOut


def load_gallery(store: Store, version: str, wanted: Mapping[str, str], page: int) -> Gallery:
    """Return page ``page``, counted from 1, of the images with these values of ``FACETS``; an empty one is any.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    images = Images(store, version, KEPT)
    rows = images.chosen(wanted)
    part = Part(page, len(rows), PER_PAGE)
    return Gallery(
        load_facts(store, images.version),
        images.mark.sentence if images.mark.images else "",
        images.choices(),
        {name: wanted[name] for name in FACETS if wanted[name]},
        part,
        images.cards(rows[part.first : part.last]),
    )


def load_excluded(store: Store, version: str, wanted: Mapping[str, str], page: int) -> Excluded:
    """Return page ``page``, counted from 1, of what a snapshot leaves out.

    Args:
        store: where it is.
        version: its name, or ``latest``.
        wanted: ``rule``, ``source`` and ``path``; see :func:`cxr_snapshot.catalog.left_out.read_left_out`.
        page: its number.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    name = Images(store, version, KEPT).version
    first = Part(page, 0, ROWS_PER_PAGE).first
    found = read_left_out(store, name, **wanted, first=first, most=ROWS_PER_PAGE)
    chosen = {column: value for column, value in wanted.items() if value}
    return Excluded(load_facts(store, name), chosen, Part(page, found.total, ROWS_PER_PAGE), found)


def partners(evidence: str) -> list[dict[str, str]]:
    """Return the first images that evidence names, as what the page that finds them asks for."""
    return [{"source": source, "path": path} for source, path in partners_in(evidence)[:MOST_LINKS]]
