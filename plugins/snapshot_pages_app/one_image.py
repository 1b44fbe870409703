"""What the page of one image shows, and the pictures on all pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlencode

from cxr_snapshot.catalog.images import Card, Images
from cxr_snapshot.catalog.left_out import copies_of
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError
from cxr_snapshot.publication.dictionary import MANIFEST, Column
from cxr_snapshot.publication.versions import is_version, version_key
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from snapshot_pages_app.gallery import KEPT
from snapshot_pages_app.reading import load_facts

NEIGHBOURS = 24  # of the same group that are shown
COPIES = 20  # left out because they are copies, that are listed
VERSIONS = 20  # the newest other snapshots, in which the image is looked for; each takes about five requests

# What every browser shows; no other form is published.
SHOWN_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}

_KNOWN = {column.name: column for column in MANIFEST}


@dataclass(frozen=True)
class Neighbour:
    """An image of the same group; ``patient`` says whether it is of the same patient, as far as that is stated."""

    card: Card
    patient: bool


@dataclass(frozen=True)
class Elsewhere:
    """What another snapshot has of an image: its ``name`` below ``images/``, class and split; all empty if nothing."""

    version: str
    name: str = ""
    kind: str = ""
    split: str = ""
    damaged: bool = False


@dataclass(frozen=True)
class OneImage:
    """All that the page of one image shows.

    Attributes:
        facts: the snapshot's ``snapshot.json``.
        card: the image itself.
        row: its row of the manifest.
        filled: the columns of it that say something, with their cells.
        empty: the columns that do not.
        shown: whether a browser can show the file.
        neighbours: others of its group, at most ``NEIGHBOURS``.
        neighbours_total: how many there are.
        copies: what was left out as a copy of it, at most ``COPIES``.
        elsewhere: of the newest other snapshots, the newest first.
        all_versions: whether those are all.
    """

    facts: dict[str, Any]
    card: Card
    row: dict[str, Any]
    filled: Sequence[tuple[Column, Any]]
    empty: Sequence[Column]
    shown: bool
    neighbours: Sequence[Neighbour]
    neighbours_total: int
    copies: Sequence[dict[str, str]]
    elsewhere: Sequence[Elsewhere]
    all_versions: bool


def load_image(store: Store, version: str, name: str) -> OneImage:
    """Return what the page of one image shows.

    Args:
        store: where it is.
        version: a complete snapshot, or ``latest``.
        name: the path of the image below ``images/``.

    Raises:
        MissingObjectError: there is no such snapshot or image.
    """
    images = Images(store, version, KEPT)
    number = images.row_of(name)
    row, (own,) = images.cells(number), images.cards([number])
    members = images.of_group(row["group"])
    cards = images.cards(members[: NEIGHBOURS + 1])
    patients = images.patients(members[: NEIGHBOURS + 1])
    others = [
        Neighbour(card, patient is not None and patient == row["patient_id"])
        for card, patient in zip(cards, patients, strict=True)
        if card != own
    ]
    elsewhere, all_versions = _elsewhere(images, row)
    columns = [(_KNOWN.get(each, Column(each, "")), value) for each, value in row.items()]
    return OneImage(
        facts=load_facts(store, images.version),
        card=own,
        row=row,
        filled=[(column, value) for column, value in columns if value is not None],
        empty=[column for column, value in columns if value is None],
        shown=PurePosixPath(name).suffix in SHOWN_TYPES,
        neighbours=others[:NEIGHBOURS],
        neighbours_total=len(members) - 1,
        copies=copies_of(store, images.version, row["source"], row["path"], COPIES),
        elsewhere=elsewhere,
        all_versions=all_versions,
    )


def load_picture(store: Store, version: str, name: str) -> bytes:
    """Return the small picture of an image, a PNG; arguments and errors as :func:`load_image`."""
    return Images(store, version, KEPT).picture(name)


def load_original(store: Store, version: str, name: str) -> tuple[str, int, Iterator[bytes]]:
    """Return type, size and bytes of the file of an image; arguments as :func:`load_image`.

    Raises:
        MissingObjectError: there is no such snapshot or image, or it was taken back, or no browser shows such a file.
    """
    images = Images(store, version, KEPT)
    kind = SHOWN_TYPES.get(PurePosixPath(name).suffix)
    (card,) = images.cards([images.row_of(name)])  # no other object of the store is handed out
    if kind is None or card.withdrawn:
        raise MissingObjectError(f"The image {name} of {images.version} was withdrawn, or is of no form to be shown.")
    return kind, *store.pieces(f"{images.version}/{card.file}")


def find_image(store: Store, version: str, source: str, path: str) -> str:
    """Return the address, below ``snapshots/``, of the image at a path of a collection.

    Where it is not in, that of the page which says why.
    """
    images = Images(store, version, KEPT)
    file = images.file_of(source, path)
    return f"{images.version}/{quote(file) if file else 'excluded?' + urlencode({'path': path})}"


def _elsewhere(images: Images, row: dict[str, Any]) -> tuple[list[Elsewhere], bool]:
    """Look for an image in the newest other snapshots; return what they have, and whether those are all."""
    names = sorted(filter(is_version, images.store.folders()), key=version_key, reverse=True)
    others = [name for name in names if name != images.version]
    source = row.get("source_sha256") or row["sha256"]
    found = bounded_map(
        lambda name: _in_version(images.store, name, source, row["split"]), others[:VERSIONS], threads=8
    )
    return [each for _, each in found if each is not None], len(others) <= VERSIONS


def _in_version(store: Store, version: str, source: str, split: str) -> Elsewhere | None:
    """Return what another snapshot has of an image, ``None`` where it is not complete."""
    try:
        images = Images(store, version, KEPT)
    except MissingObjectError:
        return None
    try:
        found = images.by_content(source, split)
    except DamagedObjectError:
        return Elsewhere(version, damaged=True)
    if found is None:
        return Elsewhere(version)
    return Elsewhere(version, found["file"].removeprefix("images/"), found["class"], found["split"])
