"""The manifest: one row for each published image, made from the ledger; and what a snapshot is before it has a name."""

from __future__ import annotations

import hashlib

import pandas as pd

from cxr_snapshot.errors import GuardError
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.tables import (
    EXCLUDED_COLUMNS,
    MADE_HERE,
    MANIFEST_COLUMNS,
    MANIFEST_SCHEMA,
    PROVENANCE_COLUMNS,
    conform,
)

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}  # the formats of inspection.FORMATS

NAME_DIGITS = 16  # that two among a million images agree in them has a chance of 1 in 37 million

_DIGEST_ROWS = 10_000


def build_manifest(ledger: pd.DataFrame, made: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the records that are in, with the name of their file in the snapshot, sorted by it.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
        made: by SHA-256 of an upstream's file what the file is that is published in place of it, in the manifest's
            columns; see :func:`cxr_snapshot.inspection.uniform.make_files`.

    Raises:
        GuardError: two of them would get the same name.
    """
    published = ledger.loc[ledger["rule"].isna(), [name for name in MANIFEST_COLUMNS if name not in MADE_HERE]]
    published["source_sha256"] = published["sha256"]
    for name, column in () if made is None else made.items():
        published[name] = published["source_sha256"].map(column)
    named = published[["class", "source", "sha256", "format"]]
    names = [file_name(*facts) for facts in named.itertuples(index=False, name=None)]
    files = pd.Series(names, index=named.index, dtype="string").sort_values()
    if files.duplicated().any():
        raise GuardError(_clash(published, files[files.duplicated(keep=False)]))
    return conform(published.loc[files.index].assign(file=files), MANIFEST_SCHEMA)


def file_name(kind: str, source: str, sha256: str, image_format: str) -> str:
    """Return where an image lies in every snapshot that has it: ``images/<CLASS>/<source>-<16 digits>.<extension>``.

    Nothing of it comes from upstream's own name, which may have any length, collide with another one, or hold words
    such as ``train`` in which a loader reads a split.

    Args:
        kind: its class.
        source: name of the collection.
        sha256: of its bytes, in hex; the name has the first ``NAME_DIGITS`` of them.
        image_format: as inspected, such as ``JPEG``; gives the extension.
    """
    return f"images/{kind}/{source}-{sha256[:NAME_DIGITS]}.{_EXTENSIONS[image_format]}"


def upstream_files(manifest: pd.DataFrame) -> pd.Series:
    """Return the SHA-256 of the upstream's file of each image; in earlier snapshots that of what was published."""
    return manifest["source_sha256" if "source_sha256" in manifest else "sha256"]


def named_by_content(file: str, sha256: str) -> bool:
    """Say whether ``file`` is a name as above; before schema version 2, names were made of upstream's."""
    return f"-{sha256[:NAME_DIGITS]}." in file


def _clash(ledger: pd.DataFrame, files: pd.Series) -> str:
    """Say which records would share the first of ``files``, all of which occur more than once."""
    same = ledger.loc[files.index[files.eq(files.iloc[0])], ["source", "path", "sha256"]]
    two = " and ".join(
        f"{source}:{path[:100]!r} (SHA-256 {sha256})"
        for source, path, sha256 in same.head(2).itertuples(index=False, name=None)
    )
    return (
        f"{files.iloc[0]} would be the name of {len(same)} images, such as {two}. Nothing is published; the previous "
        "snapshot stays the latest. Report this with the run's balanced.parquet."
    )


def excluded_records(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the records that are left out, columns of ``EXCLUDED_COLUMNS``, sorted by source, path and line."""
    left_out = ledger.loc[ledger["rule"].notna(), list(EXCLUDED_COLUMNS)]
    return left_out.sort_values(["source", "path", "metadata_line"], na_position="last", ignore_index=True)


def content_digest(manifest: pd.DataFrame) -> str:
    """Return the SHA-256 of what a consumer would notice: image hashes, classes and published columns.

    Where a record was found (commit, line number) does not count; it changes with every upstream commit.
    """
    columns = [name for name in manifest if name not in PROVENANCE_COLUMNS]
    digest = hashlib.sha256()
    for start in range(0, len(manifest), _DIGEST_ROWS):  # in pieces, because the whole text takes much memory
        rows = manifest[columns].iloc[start : start + _DIGEST_ROWS]
        digest.update(csv_bytes(rows, header=start == 0))
    return digest.hexdigest()
