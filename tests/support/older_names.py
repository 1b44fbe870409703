"""Snapshots of schema version 1, whose files have names like the upstream's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

import pandas as pd
import pytest

from cxr_snapshot.publication import draft, release
from cxr_snapshot.selection.manifest import build_manifest


def older(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a manifest as it was before schema version 2: ``images/<class>/<source>__<upstream's name>.<extension>``.

    Of two files with the same name, both have the first twelve digits of their SHA-256 as well.
    """
    stems = manifest["source"] + "__" + manifest["path"].map(lambda path: PurePosixPath(path).stem)
    clash = (manifest["class"] + stems).duplicated(keep=False)
    stems = stems.mask(clash, stems + "__" + manifest["sha256"].str[:12])
    extensions = manifest["file"].map(lambda file: PurePosixPath(file).suffix)
    files = ("images/" + manifest["class"] + "/" + stems + extensions).astype("string")
    return manifest.assign(file=files).sort_values("file", ignore_index=True)


@contextmanager
def schema_version_1() -> Iterator[None]:
    """Let what is published meanwhile be as it was before schema version 2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "build_manifest", lambda ledger, made=None: older(build_manifest(ledger, made)))
        patch.setattr(draft, "SCHEMA_VERSION", 1)
        yield
