"""What a source is: a name, two questions to the upstream, and how to read what it delivered."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class About:
    """What people must know of a collection; the dataset card says it.

    Attributes:
        title: its name.
        url: where it is published.
        shows: whom its images show and where they are from; ends a sentence that begins with "The images show".
        licence: a sentence on how its images may be used.
        limit: a sentence on what is known to be wrong with it.
        citation: how to cite it, in BibTeX.
        licence_url: address of the licence, where there is one for the whole.
        of_children: whether all of its images are of children, though no age may be stated.
        columns: by name of a column of the manifest, where its cells come from, in Markdown; for those that it fills.
    """

    title: str
    url: str
    shows: str
    licence: str
    limit: str
    citation: str
    licence_url: str | None = None
    of_children: bool = False
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def reference(self) -> str:
        """Title and address, where there is one."""
        return f"{self.title}, {self.url}" if self.url else self.title


UNKNOWN = About(
    title="A collection that this version does not know",
    url="",
    shows="what this version does not know",
    licence="The licence of some images is not known to this version.",
    limit="",
    citation="",
)

# Of any collection that says of itself that it is generated.
GENERATED = About(
    title="Generated sample, drawn by a program",
    url="",
    shows="drawings",
    licence="All pictures are drawings made by a program; what the column `license` says of them is made up.",
    limit="",
    citation="",
)

# An upstream that sends this header says that all its data is generated. The simulator does; no real one knows it.
SYNTHETIC_HEADER = "X-Synthetic-Data"


@dataclass(frozen=True)
class Revision:
    """One pinned state of a source.

    Attributes:
        source: name of the source, such as ``covid``.
        id: what pins it: a commit SHA-1, or a dataset's version number as text.
        license: the licence that the upstream states for the whole, or ``None``.
        synthetic: whether the upstream says that its data is generated.
    """

    source: str
    id: str
    license: str | None = None
    synthetic: bool = False


@dataclass(frozen=True)
class UpstreamFile:
    """One file of a revision.

    Attributes:
        path: path within the upstream, with ``/``.
        size: length in bytes.
        upstream_hash: what the upstream itself calls these bytes (git blob SHA-1, zip CRC-32); compared only
            with other hashes of the same source.
        body: the bytes, or ``None`` where ``upstream_hash`` was already known or the file is ignored.
        ignored: rule by which the source drops this file (``nested_copy``, ``mac_metadata``), else ``None``.
    """

    path: str
    size: int
    upstream_hash: str
    body: bytes | None = None
    ignored: str | None = None


@dataclass(frozen=True)
class Listing:
    """The files of one revision: how many there are, and the files one by one, so that memory stays flat."""

    total: int
    files: Iterator[UpstreamFile]


class Source(Protocol):
    """A place from which images come.

    Attributes:
        name: short name; begins the names of its images and patients.
        about: what people must know of it.
        metadata_path: of the file that is no image but a table with a row for each, or ``None``.
        search_crops: whether its images may be crops of one another. To look for them takes 13 KB and some 8 ms for
            each image, once; copies that are not cropped are found in any case.
        republishes: names of other collections whose files it has too, under the same name but for the ending; such
            files are one film, whatever was done to the picture.
    """

    name: str
    about: About
    metadata_path: str | None
    search_crops: bool
    republishes: tuple[str, ...]

    def resolve(self, *, pin: str | None = None, last_seen: str | None = None) -> Revision:
        """Say which revision is current, in one request.

        Args:
            pin: a revision to use in place of the current one.
            last_seen: the id that the caller knows; lets the upstream answer "unchanged" cheaply.

        Raises:
            SourceError: the upstream cannot be asked, or does not know ``pin``.
        """
        ...

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        """List every file of ``revision``; those whose hash is in ``known`` come without body and are not fetched.

        Raises:
            SourceError: the upstream cannot be read, or its bytes do not match their checksums.
        """
        ...

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        """Turn an ingested revision into ledger rows, without asking the upstream.

        Args:
            inventory: the revision's files, columns of ``INVENTORY_SCHEMA``.
            read: returns the stored bytes of a path of the inventory.

        Returns:
            Columns of ``LEDGER_SCHEMA``: one row for every file, and one for every metadata row without a file.

        Raises:
            MetadataError: the revision's metadata cannot be read.
        """
        ...
