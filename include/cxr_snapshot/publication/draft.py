"""Assembles everything that a snapshot holds."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cxr_snapshot.audit import REPORT, summary
from cxr_snapshot.inspection.forms import form_of_files, form_of_pictures
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.inspection.uniform import UniformFiles, uniform_name
from cxr_snapshot.publication.cards import attribution, dataset_card, limits, split_counts, titled
from cxr_snapshot.publication.changes import changes_markdown, changes_report, compare
from cxr_snapshot.publication.checksums import read_file, read_sums, read_table
from cxr_snapshot.publication.croissant import DescribedFile, croissant
from cxr_snapshot.publication.dictionary import DICTIONARY, PREVIEW, data_dictionary
from cxr_snapshot.publication.parts import Copy, Draft
from cxr_snapshot.publication.preview import choose, draw_preview
from cxr_snapshot.publication.shards import write_shards
from cxr_snapshot.store.encoding import csv_bytes, json_bytes, parquet_bytes
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.tables import MANIFEST_COLUMNS, MANIFEST_SCHEMA

SCHEMA_VERSION = 2


def build_draft(
    store: Store,
    manifest: pd.DataFrame,
    excluded: pd.DataFrame,
    facts: dict[str, Any],
    *,
    previous: dict[str, Any] | None,
    folder: str,
    report: Mapping[str, bytes],
) -> Draft:
    """Make what the snapshot holds, as far as it does not depend on its name.

    Args:
        store: holds the blobs and the previous snapshot; receives the large files that are made here.
        manifest: columns of ``MANIFEST_SCHEMA``.
        excluded: columns of ``EXCLUDED_COLUMNS``.
        facts: revisions, settings, counts and content digest for ``snapshot.json``.
        previous: ``snapshot.json`` of the snapshot to compare with, or ``None`` for the first one.
        folder: the run's folder in the store, for the large files.
        report: what the audit found, ``audit.json`` and ``audit.html``.
    """
    audit = json.loads(report[REPORT])
    files, form = form_of_files(facts["settings"]), form_of_pictures(facts["settings"])
    earlier = previous["version"] if previous and previous["pictures"] == form.description else None
    pictures = UniformFiles(store, form) if form == files else Pictures(store, form, folder)
    # Takes much memory, so while there are no tables yet.
    chosen = choose(manifest)
    shown = {sha256 for sha256s in chosen.values() for sha256 in sha256s}
    shards, found = write_shards(store, pictures, manifest, folder, earlier, shown=shown)
    preview = {name: [found[sha256] for sha256 in sha256s] for name, sha256s in chosen.items()}
    synthetic = facts.get("synthetic", False)
    attributed, splits = attribution(manifest, files, synthetic=synthetic), split_counts(manifest)
    changed = compare(*_earlier_tables(store, previous), manifest, excluded)
    changes = changes_report(changed, previous, facts["revisions"])
    changes_text, changes_json = changes_markdown(changes, audit["overrides"], synthetic=synthetic), json_bytes(changes)
    del changed, changes  # a first snapshot has an entry for each image
    manifest_csv = csv_bytes(manifest[list(MANIFEST_COLUMNS)])
    tables = {
        "manifest.csv": manifest_csv,
        "manifest.parquet": parquet_bytes(manifest, MANIFEST_SCHEMA),
        "excluded.csv": csv_bytes(excluded),
        "ATTRIBUTION.csv": csv_bytes(attributed),
        DICTIONARY: csv_bytes(data_dictionary(facts["settings"], facts["revisions"], synthetic=synthetic)),
        "changes.json": changes_json,
        **report,
    }
    made = {
        "manifest_sha256": _sha256(manifest_csv),
        "schema_version": SCHEMA_VERSION,
        "splits": splits,
        "pictures": form.description,
        "audit": summary(audit),
        "overrides": audit["overrides"],
    }
    made |= {"files": files.description} if files else {}
    images = tuple(
        Copy(blob_name(source) if files is None else uniform_name(source, files), file, sha256, size)
        for source, file, sha256, size in manifest[["source_sha256", "file", "sha256", "bytes"]].itertuples(
            index=False, name=None
        )
    )
    return Draft(manifest, images + shards, tables, facts | made, changes_text, preview)


def finish(draft: Draft, version: str, created: str, uri: str, previous: str | None) -> dict[str, bytes]:
    """Return the files that name the snapshot itself; equal arguments give equal bytes.

    Args:
        draft: all the rest of the snapshot.
        version: its name.
        created: ISO 8601 time.
        uri: address of its folder, with a slash at its end.
        previous: version of the snapshot that was the latest before, or ``None``.
    """
    snapshot = draft.facts | {"version": version, "uri": uri, "created": created, "previous": previous}
    synthetic = snapshot.get("synthetic", False)
    preview = draw_preview(draft.preview, snapshot)
    tables = draft.tables | {PREVIEW: preview}
    described = [DescribedFile(name, len(body), _sha256(body)) for name, body in tables.items()]
    described += [DescribedFile(copy.target, copy.size, copy.sha256) for copy in draft.copies if _is_shard(copy)]
    described.sort(key=lambda file: file.name)
    warning = limits(draft.manifest, synthetic=synthetic, uniform="files" in snapshot)
    again = f"The content is that of {snapshot['equal_to']}.\n\n" if "equal_to" in snapshot else ""
    return {
        "CHANGES.md": f"# Changes in {titled(snapshot)}\n\n{again}{draft.changes}".encode(),
        "README.md": dataset_card(draft.manifest, snapshot),
        "croissant.json": json_bytes(croissant(described, draft.manifest, warning, snapshot)),
        PREVIEW: preview,
        "snapshot.json": json_bytes(snapshot),
    }


def _earlier_tables(
    store: Store, previous: Mapping[str, Any] | None
) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return manifest and excluded records of the previous snapshot.

    Raises:
        VerificationError: one is missing or damaged.
    """
    if previous is None:
        return None, None
    version = previous["version"]
    sums = read_sums(store, version)
    manifest = read_table(store, version, "manifest.parquet", sums)
    return manifest, pd.read_csv(io.BytesIO(read_file(store, version, "excluded.csv", sums)), dtype=str)


def _is_shard(copy: Copy) -> bool:
    return copy.target.startswith("data/")


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
