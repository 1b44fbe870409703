"""The manifest: one row for each published image, made from the ledger; and what a snapshot is before it has a name."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.tables import EXCLUDED_COLUMNS, MANIFEST_COLUMNS, MANIFEST_SCHEMA, PROVENANCE_COLUMNS, conform

_EXTENSIONS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}  # the formats of inspection.FORMATS


_DIGEST_ROWS = 10_000


def build_manifest(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the records that are in, with the name of their file in the snapshot, sorted by it.

    A name is ``images/<class>/<source>__<stem>.<extension of the true format>``. Where two candidates would get the
    same name on a file system that ignores case, both get the first twelve digits of their SHA-256 as well.
    """
    named = ["rule", "source", "path", "class", "sha256", "format"]
    candidates = ledger.loc[ledger["rule"].isna() | ledger["rule"].eq("not_drawn"), named]
    stems = candidates["source"] + "__" + candidates["path"].map(_safe_stem)
    clash = (candidates["class"] + "/" + stems.str.lower()).duplicated(keep=False)
    stems = stems.mask(clash, stems + "__" + candidates["sha256"].str[:12])
    names = "images/" + candidates["class"] + "/" + stems + "." + candidates["format"].map(_EXTENSIONS)
    files = names[candidates["rule"].isna()].sort_values()
    columns = [name for name in MANIFEST_COLUMNS if name != "file"]
    return conform(ledger.loc[files.index, columns].assign(file=files), MANIFEST_SCHEMA)


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


def _safe_stem(path: str) -> str:
    """Return the file's name without image extension, in characters that every file system and URL takes."""
    name = PurePosixPath(path).name.strip()
    stem = re.sub(r"(\.(jpe?g|png|webp|gif|bmp|tiff?))+$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._") or "image"
