"""The images of one snapshot, a few at a time: found, chosen and shown without reading all that is said of them.

``manifest.parquet`` is sorted by ``file`` and has row groups of 10,000 images; the shards are sorted by the SHA-256 of
the upstream's file and have row groups of 100. Both note the lowest and the highest text of each row group, so that to
find one image takes one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cxr_snapshot.catalog.reading import resolve
from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.publication.checksums import SUCCESS
from cxr_snapshot.publication.marks import MARK, UNMARKED, Mark, read_mark
from cxr_snapshot.publication.versions import is_version
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.ranges import Kept, RangedTable
from cxr_snapshot.tables import CLASSES

FACETS = ("class", "split", "source", "view")  # columns by which images are chosen
NOT_STATED = "not stated"  # stands for an empty cell in them

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Card:
    """What is shown of one image among others.

    Attributes:
        file: its path within the snapshot.
        facets: its values of ``FACETS``.
        withdrawn: why it was taken back; empty for most.
    """

    file: str
    facets: Mapping[str, str]
    withdrawn: str

    @property
    def name(self) -> str:
        """Its path below ``images/``."""
        return self.file.removeprefix("images/")


@dataclass(frozen=True)
class _Facet:
    """One column of all images: what is in it, and the position of each image's value among that."""

    values: tuple[str, ...]
    codes: npt.NDArray[np.int32]


class Images:
    """The images of a complete snapshot.

    Args:
        store: where it is.
        version: its name, or ``latest``.
        kept: remembers footers, the columns ``FACETS``, and what was read of a row group lately.

    Attributes:
        version: its name.
        files: what is directly in its folder, by name.

    Raises:
        MissingObjectError: there is no such snapshot, or it is not complete.
    """

    def __init__(self, store: Store, version: str, kept: Kept) -> None:
        files = store.files(f"{version}/") if is_version(version) else {}
        if f"{version}/{SUCCESS}" not in files:
            version = resolve(store, version)
            files = store.files(f"{version}/")
        self.store, self.version, self.files, self._kept = store, version, files, kept

    @cached_property
    def mark(self) -> Mark:
        """What was taken back of it."""
        return read_mark(self.store, self.version)[0] if f"{self.version}/{MARK}" in self.files else UNMARKED

    @cached_property
    def manifest(self) -> RangedTable:
        """Its manifest."""
        return self._table("manifest.parquet", self.files)

    @property
    def total(self) -> int:
        """How many images it has."""
        return sum(self.manifest.rows_of_groups)

    def choices(self) -> dict[str, tuple[str, ...]]:
        """Return the values that each of ``FACETS`` has in this snapshot, sorted."""
        return {name: facet.values for name, facet in self._facets.items()}

    def chosen(self, wanted: Mapping[str, str]) -> Numbers:
        """Return the numbers of the rows that have these values of ``FACETS``; an empty one stands for any."""
        fits = np.ones(self.total, dtype=bool)
        for name, value in wanted.items():
            if value:
                facet = self._facets[name]
                fits &= facet.codes == (facet.values.index(value) if value in facet.values else -1)
        return np.flatnonzero(fits)

    def cards(self, rows: Sequence[int] | Numbers) -> list[Card]:
        """Return what is shown of the images in these rows of the manifest, in their order."""
        files = [part["file"] for part in self._read(rows)]
        told = {file: str(facts["reason"]) for file, facts in self.mark.images.items()}
        return [
            Card(file, {name: each.values[each.codes[row]] for name, each in self._facets.items()}, told.get(file, ""))
            for row, file in zip(rows, files, strict=True)
        ]

    def row_of(self, name: str) -> int:
        """Return the number of the row of the manifest that an image has.

        Args:
            name: its path below ``images/``; the class may be left out.

        Raises:
            MissingObjectError: there is no such image.
        """
        starts = list(accumulate(self.manifest.rows_of_groups, initial=0))
        for file in [f"images/{name}"] if "/" in name else [f"images/{kind}/{name}" for kind in CLASSES]:
            for group in self._groups_with(file):
                if (row := int(pc.index(self._part(group)["file"], file).as_py())) >= 0:
                    return starts[group] + row
        raise MissingObjectError(f"{self.version} has no image {name}. Choose one from the list of its images.")

    def cells(self, row: int) -> dict[str, Any]:
        """Return all cells of a row of the manifest, by column."""
        return self._read([row], self.manifest.columns)[0]

    def file_of(self, source: str, path: str) -> str | None:
        """Return the file of the image that is at a path of a collection, ``None`` where it is not in."""
        for group in range(self.manifest.footer.num_row_groups):
            table = self.manifest.read([group], ["file", "source", "path"])
            fits = pc.and_(pc.equal(table["source"], source), pc.equal(table["path"], path))
            if found := table.filter(fits)["file"].to_pylist():
                return str(found[0])
        return None

    def of_group(self, group: str) -> Numbers:
        """Return the numbers of the rows whose ``group`` this is."""
        groups = range(self.manifest.footer.num_row_groups)
        return np.flatnonzero(pc.equal(self.manifest.read(groups, ["group"])["group"], group).to_numpy())

    def patients(self, rows: Numbers) -> list[str | None]:
        """Return the patients of the images in these rows of the manifest."""
        return [part["patient_id"] for part in self._read(rows, ["patient_id"])]

    def picture(self, name: str) -> bytes:
        """Return the small picture of an image, a PNG, from the shard that has it.

        Args:
            name: as for :meth:`row_of`.

        Raises:
            MissingObjectError: there is no such image, or it was taken back.
        """
        (part,) = self._read([self.row_of(name)])
        place = None if part["file"] in self.mark.images else self._place(part["split"], part["source_sha256"])
        found = self._picture_in(*place, part["file"]) if place else None
        if found is None:
            raise MissingObjectError(f"{self.version} has no picture of {name}: it was taken back, or is damaged.")
        return found

    def by_content(self, sha256: str, split: str) -> dict[str, str] | None:
        """Return ``file``, ``class`` and ``split`` of the image that was made of an upstream's file.

        Args:
            sha256: of that file.
            split: in which it is looked for first.
        """
        splits = {name.split("-")[0]: None for name in self._shards}
        for each in sorted(splits, key=lambda name: name != split):
            if place := self._place(each, sha256):
                shard, group = place
                column = _source_column(shard)
                table = shard.read([group], [column, "file", "class", "split"])
                if found := table.filter(pc.equal(table[column], sha256)).to_pylist():
                    return {name: str(found[0][name]) for name in ("file", "class", "split")}
        return None

    @cached_property
    def _shards(self) -> dict[str, RangedTable]:
        """The shards by their names below ``data/``, in order."""
        folder = f"{self.version}/data/"
        listed = self.store.files(folder)
        return {name.removeprefix(folder): self._table(name.partition("/")[2], listed) for name in sorted(listed)}

    def _table(self, name: str, listed: Mapping[str, Any]) -> RangedTable:
        full = f"{self.version}/{name}"
        if full not in listed:
            raise MissingObjectError(f"{self.store.uri(full)} does not exist.")
        return RangedTable(self.store, full, listed[full], self._kept)

    @cached_property
    def _facets(self) -> dict[str, _Facet]:
        return self.manifest.keep(
            "facets", self._read_facets, lambda facets: sum(facet.codes.nbytes for facet in facets.values())
        )

    def _read_facets(self) -> dict[str, _Facet]:
        groups = range(self.manifest.footer.num_row_groups)
        table = self.manifest.read(groups, FACETS, coded=True).unify_dictionaries()
        return {name: _facet_of(table[name]) for name in FACETS}

    def _read(self, rows: Sequence[int] | Numbers, columns: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return some cells of these rows of the manifest; without columns, those that :meth:`_part` returns."""
        found: dict[int, dict[str, Any]] = {}
        for group, (start, end) in enumerate(pairwise(accumulate(self.manifest.rows_of_groups, initial=0))):
            if inside := [int(row) for row in rows if start <= row < end]:
                table = self.manifest.read([group], columns) if columns else self._part(group)
                cells = table.take([row - start for row in inside]).to_pylist()
                found |= dict(zip(inside, cells, strict=True))
        return [found[int(row)] for row in rows]

    def _groups_with(self, file: str) -> Iterator[int]:
        """Yield the row groups of the manifest in which a file can be."""
        for group, bounds in enumerate(self.manifest.bounds("file")):
            if bounds is None or bounds[0] <= file <= bounds[1]:
                yield group

    def _part(self, group: int) -> pa.Table:
        """Return ``file``, ``source_sha256`` and ``split`` of a row group of the manifest."""
        source = _source_column(self.manifest)

        def read() -> pa.Table:
            table = self.manifest.read([group], ["file", source, "split"]).select(["file", source, "split"])
            return table.rename_columns(["file", "source_sha256", "split"])

        return self.manifest.keep(("files", group), read, lambda table: table.nbytes)

    def _place(self, split: str, sha256: str) -> tuple[RangedTable, int] | None:
        """Return shard and row group in which the image of an upstream's file must be, ``None`` where it is nowhere.

        SHA-256 are spread evenly, so that the first guess is right or next to it.
        """
        shards = [table for name, table in self._shards.items() if name.startswith(f"{split}-")]
        number, before = int(sha256[:8], 16) * len(shards) >> 32, 0
        while 0 <= number < len(shards):
            side, group = _look(shards[number], sha256)
            if not side:
                return shards[number], group
            if side == -before:  # it would be between two shards
                return None
            number, before = number + side, side
        return None

    def _picture_in(self, shard: RangedTable, group: int, file: str) -> bytes | None:
        def read() -> pa.Table:
            image = shard.read([group], ["image.bytes", "image.path"])["image"].combine_chunks()
            return pa.table({name: pc.struct_field(image, name) for name in ("path", "bytes")})

        pictures = shard.keep(("pictures", group), read, lambda table: table.nbytes)
        row = pc.index(pictures["path"], file).as_py()
        return None if row < 0 else pictures["bytes"][row].as_py()


def _facet_of(column: pa.ChunkedArray) -> _Facet:
    """Return a column of dictionaries, all of them the same, as sorted values and the position of each row's."""
    known = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
    codes = [chunk.indices.fill_null(len(known)).to_numpy() for chunk in column.chunks]
    used, places = np.unique(np.concatenate(codes or [[]]).astype(np.int32), return_inverse=True)
    texts = [[*known, NOT_STATED][code] for code in used]
    values = sorted(set(texts))
    return _Facet(tuple(values), np.array([values.index(text) for text in texts], dtype=np.int32)[places])


def _source_column(table: RangedTable) -> str:
    """Return the column with the SHA-256 of the upstream's file."""
    return "source_sha256" if "source_sha256" in table.columns else "sha256"  # of an earlier release


def _look(shard: RangedTable, sha256: str) -> tuple[int, int]:
    """Say on which side of a shard a SHA-256 is: -1 before it, 1 after it, 0 in it; and then in which row group."""
    groups = [(number, each) for number, each in enumerate(shard.bounds(_source_column(shard))) if each is not None]
    for number, (_, last) in groups:
        if sha256 <= last:
            first_of_all = groups[0][1][0]
            return (-1 if sha256 < first_of_all else 0), number
    return 1, 0
