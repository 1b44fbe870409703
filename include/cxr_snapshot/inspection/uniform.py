"""The uniform files of blobs, which are published in place of the upstreams' own. Each is made once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

import pandas as pd
import pyarrow as pa

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.pictures import Pictures, picture_name
from cxr_snapshot.progress import Progress
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table

_SCHEMA = pa.schema(
    [
        ("source_sha256", pa.string()),  # of the blob
        ("sha256", pa.string()),  # of the file that was made of it
    ]
)


def make_files(pictures: Pictures, sha256s: Collection[str]) -> pd.DataFrame:
    """Return what the uniform files of blobs are; those that were not made yet are made and kept.

    Args:
        pictures: of the form of the files.
        sha256s: of the blobs.

    Returns:
        By ``source_sha256`` of the blob: ``sha256``, ``bytes``, ``format``, ``mode``, ``width`` and ``height`` of the
        file, as in the manifest.

    Raises:
        LostBlobError: a blob is missing or damaged.
    """
    known = _load(pictures.store, pictures.form)
    missing = [each for each in sorted(set(sha256s)) if each not in known or not pictures.is_kept(each)]
    found = _hash(pictures, missing)
    if found:
        known |= found
        _save(pictures, known)
    files = pd.DataFrame({"sha256": {each: known[each] for each in sha256s}}, dtype="string")
    return files.assign(**pictures.form.facts).rename_axis("source_sha256")


def check_files(pictures: Pictures, files: pd.DataFrame) -> None:
    """Read uniform files before they are published. A damaged one is made again.

    Args:
        pictures: of the form of the files.
        files: some of what :func:`make_files` returned.

    Raises:
        DamagedObjectError: one has other bytes now, as another version of Pillow makes them; this is remembered.
        LostBlobError: as above.
    """
    expected: dict[str, str] = dict(zip(files.index, files["sha256"], strict=True))
    found = _hash(pictures, expected)
    wrong = [each for each, sha256 in expected.items() if found[each] != sha256]
    if wrong:
        _save(pictures, _load(pictures.store, pictures.form) | found)
        raise DamagedObjectError(
            f"{pictures.store.uri(picture_name(wrong[0], pictures.form))} was damaged, and is made of other bytes now "
            "than before, by another version of Pillow. Clear the task audit and run again."
        )


def _hash(pictures: Pictures, sha256s: Collection[str]) -> dict[str, str]:
    progress, found = Progress("uniform files made or read", len(sha256s)), {}
    for sha256, file in pictures.load_kept(sha256s):
        found[sha256] = hashlib.sha256(file).hexdigest()
        progress.advance()
    return found


def _load(store: Store, form: Form) -> dict[str, str]:
    table = find_sealed_table(store, _name(form))
    return {} if table is None else dict(zip(table["source_sha256"], table["sha256"], strict=True))


def _save(pictures: Pictures, known: dict[str, str]) -> None:
    """Remember the hashes of files that are kept. If two runs do so at once, those of one are only found again."""
    rows: Iterable[tuple[str, str]] = ((each, known[each]) for each in sorted(known) if pictures.is_kept(each))
    put_sealed_table(pictures.store, _name(pictures.form), pd.DataFrame(rows, columns=_SCHEMA.names), _SCHEMA)


def _name(form: Form) -> str:
    return f"_work/uniform/{form.recipe}.parquet"
