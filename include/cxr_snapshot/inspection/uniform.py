"""The uniform files of blobs, which are published in place of the upstreams' own. Each is made once, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

import pandas as pd
import pyarrow as pa
from PIL import Image

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.progress import Progress
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.seals import find_sealed, find_sealed_table, put_sealed, put_sealed_table

KEPT = "_work/normalised/"  # earlier releases kept the pictures of the shards there, too

_SCHEMA = pa.schema(
    [
        ("source_sha256", pa.string()),  # of the blob
        ("sha256", pa.string()),  # of the file that was made of it
    ]
)


class UniformFiles(Pictures):
    """The uniform files of blobs: those that were kept, and the others made and kept as they are asked for.

    Args:
        store: holds the blobs and the files that were kept.
        form: of the files.
    """

    def __init__(self, store: Store, form: Form) -> None:
        super().__init__(store, form)
        self._kept = set(list_uniform(store, form))

    def keep(self, sha256: str, image: Image.Image) -> bytes:
        """Return the file of one blob, whose pixels are ``image``; if it was not kept yet, it is from now on."""
        if (kept := self._find(sha256)) is not None:
            return kept
        file = self.form.make(image)
        put_sealed(self.store, uniform_name(sha256, self.form), file)
        self._kept.add(sha256)
        return file

    def is_kept(self, sha256: str) -> bool:
        """Say whether the file of a blob was kept, by the store's listing."""
        return sha256 in self._kept

    def _make(self, sha256: str) -> bytes:
        if (kept := self._find(sha256)) is not None:
            return kept
        with decoded(self._blobs.get(sha256)) as image:
            return self.keep(sha256, image)

    def _find(self, sha256: str) -> bytes | None:
        """Return a file that was kept; one that is damaged is forgotten."""
        if sha256 not in self._kept:
            return None
        file, _ = find_sealed(self.store, uniform_name(sha256, self.form))
        if file is None:
            self._kept.discard(sha256)
        return file


def list_uniform(store: Store, form: Form) -> dict[str, StoredObject]:
    """Return what the store's listing says of each uniform file, by SHA-256 of its blob."""
    return {PurePosixPath(name).stem: item for name, item in store.scan(f"{KEPT}{form.recipe}/")}


def uniform_name(sha256: str, form: Form) -> str:
    """Return the name in the store of the uniform file made from the blob with these bytes."""
    return f"{KEPT}{form.recipe}/{sha256[:2]}/{sha256}.png"


def make_files(files: UniformFiles, sha256s: Collection[str]) -> pd.DataFrame:
    """Return what the uniform files of blobs are; those that were not made yet are made and kept.

    Args:
        files: of one form.
        sha256s: of the blobs.

    Returns:
        By ``source_sha256`` of the blob: ``sha256``, ``bytes``, ``format``, ``mode``, ``width`` and ``height`` of the
        file, as in the manifest.

    Raises:
        LostBlobError: a blob is missing or damaged.
    """
    known = _load(files.store, files.form)
    missing = [each for each in sorted(set(sha256s)) if each not in known or not files.is_kept(each)]
    found = _hash(files, missing)
    if found:
        known |= found
        _save(files, known)
    made = pd.DataFrame({"sha256": {each: known[each] for each in sha256s}}, dtype="string")
    return made.assign(**files.form.facts).rename_axis("source_sha256")


def check_files(files: UniformFiles, made: pd.DataFrame) -> None:
    """Read uniform files before they are published. A damaged one is made again.

    Args:
        files: of one form.
        made: some of what :func:`make_files` returned.

    Raises:
        DamagedObjectError: one has other bytes now, as another version of Pillow makes them; this is remembered.
        LostBlobError: as above.
    """
    expected: dict[str, str] = dict(zip(made.index, made["sha256"], strict=True))
    found = _hash(files, expected)
    wrong = [each for each, sha256 in expected.items() if found[each] != sha256]
    if wrong:
        _save(files, _load(files.store, files.form) | found)
        raise DamagedObjectError(
            f"{files.store.uri(uniform_name(wrong[0], files.form))} was damaged, and is made of other bytes now "
            "than before, by another version of Pillow. Clear the task audit and run again."
        )


def _hash(files: UniformFiles, sha256s: Collection[str]) -> dict[str, str]:
    progress, found = Progress("uniform files made or read", len(sha256s)), {}
    for sha256, file in zip(sha256s, files.load(sha256s), strict=True):
        found[sha256] = hashlib.sha256(file).hexdigest()
        progress.advance()
    return found


def _load(store: Store, form: Form) -> dict[str, str]:
    table = find_sealed_table(store, _name(form))
    return {} if table is None else dict(zip(table["source_sha256"], table["sha256"], strict=True))


def _save(files: UniformFiles, known: dict[str, str]) -> None:
    """Remember the hashes of files that are kept. If two runs do so at once, those of one are only found again."""
    rows: Iterable[tuple[str, str]] = ((each, known[each]) for each in sorted(known) if files.is_kept(each))
    put_sealed_table(files.store, _name(files.form), pd.DataFrame(rows, columns=_SCHEMA.names), _SCHEMA)


def _name(form: Form) -> str:
    return f"_work/uniform/{form.recipe}.parquet"
