"""Hostile names and cells, from the lists of files and the table of metadata to what people read."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import pandas as pd

from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.publication.cards import attribution, dataset_card
from cxr_snapshot.publication.changes import changes_markdown, changes_report, compare
from cxr_snapshot.selection.manifest import build_manifest, excluded_records
from cxr_snapshot.selection.rules import filter_records, warnings_of
from cxr_snapshot.selection.splits import assign_splits
from cxr_snapshot.sources.covid import METADATA, covid_records, read_metadata
from cxr_snapshot.sources.github import listed_blobs
from cxr_snapshot.sources.identities import rule_of_file, spelt_out
from cxr_snapshot.sources.pneumonia import pneumonia_records
from cxr_snapshot.store.encoding import csv_bytes, json_bytes
from cxr_snapshot.tables import INSPECTION_SCHEMA, INVENTORY_SCHEMA, conform
from support.hostile import PIECES
from support.ledgers import AUDIT, FACTS
from support.rendered import active

SECONDS = 60.0  # of processor time, the most that all names and cells of one call may take

_HEADER = (
    "patientid",
    "sex",
    "age",
    "finding",
    "view",
    "modality",
    "folder",
    "filename",
    "license",
    "url",
    "doi",
    "location",
)
_ROW = {
    **{"patientid": "p{}", "sex": "M", "age": "50", "finding": "COVID-19", "view": "PA", "modality": "X-ray"},
    **{"folder": "images", "filename": "{}.jpg", "license": "CC BY", "url": "https://example.org/{}", "doi": "10.1/{}"},
}  # fmt: skip
_NAMED = FACTS | {"version": "2026-11-23", "uri": "s3://b/p/", "previous": None}
_NAMED |= {"audit": AUDIT, "pictures": SMALL.description, "overrides": []}


def check(randoms: Sequence[Random]) -> list[str]:
    """Publish records that hold a hostile name or cell each; return for each whether it is in or by which rule out.

    Raises:
        AssertionError: a record was lost, a text changed in a table, or something works where it is shown.
    """
    ledger = _ledger([_case(number, random) for number, random in enumerate(randoms)])
    manifest, excluded = build_manifest(ledger), excluded_records(ledger)
    for table in (manifest, excluded, attribution(manifest)):
        _check_table(table)
    licence = "".join(randoms[0].choices(PIECES, k=3))
    card = dataset_card(manifest, _NAMED | {"licences": {"covid": licence, "pneumonia": None}}).decode()
    assert _but_for_counts(active(card)) <= _harmless_links()
    older = manifest.assign(finding="word", license="word", file=manifest["file"] + "x").iloc[:-1]
    found = compare(older, excluded[["sha256", "rule"]], manifest.iloc[1:], excluded)
    report = changes_report(found, {"version": "2026-11-22", "revisions": {}}, {"covid": "1" * 40})
    json_bytes(report)
    assert not active(changes_markdown(report, []))
    json.dumps(warnings_of(ledger)).encode()
    images = ledger[ledger["source"].eq("covid") & ledger["in_upstream"]]
    return list(images["rule"].fillna("in"))


def _case(number: int, random: Random) -> tuple[str, dict[str, str]]:
    """Return a path within an upstream, and cells of its row, one of which is hostile."""
    text = "".join(random.choices(PIECES, k=random.choice((1, 1, 2, 4))))
    row = {name: cell.format(number) for name, cell in _ROW.items()}
    name = random.choice([*_ROW, "filename", "path"])
    path = f"images/{number}.jpg"
    if name == "filename":
        row["filename"], path = f"{number}{text}.jpg", f"images/{number}{text}.jpg"
    elif name == "path":
        path = f"images/{number}{text}"
    else:
        row[name] = text
    return path, row


def _ledger(cases: list[tuple[str, dict[str, str]]]) -> pd.DataFrame:
    tree = [
        {"path": path, "type": "blob", "sha": f"{number:040x}", "size": 100} for number, (path, _) in enumerate(cases)
    ]
    blobs = listed_blobs(json.loads(json.dumps({"tree": tree, "truncated": False})))
    files = [(blob.path, rule_of_file(blob.path, blob.size), blob.sha) for blob in blobs]
    covid = covid_records(_inventory([*files, (METADATA, None, "m")]), _metadata([row for _, row in cases]))
    zipped = [(f"chest_xray/train/NORMAL/{path[7:]}", None, f"z{number}") for number, (path, _) in enumerate(cases)]
    kaggle = pneumonia_records(_inventory([(path, rule_of_file(path, 100), sha) for path, _, sha in zipped]))
    records = pd.concat([covid.assign(revision="1" * 40), kaggle.assign(revision="2")], ignore_index=True)
    assert covid["in_upstream"].sum() == len(kaggle) == len(cases)
    ledger = filter_records(records, _inspections(records), views="frontal", licences="any", controls="kaggle")
    assert len(ledger) == len(records)
    return assign_splits(ledger, "salt")


def _inventory(files: list[tuple[str, str | None, str]]) -> pd.DataFrame:
    rows = [{"path": spelt_out(path), "bytes": 100, "upstream_hash": sha, "ignored": rule} for path, rule, sha in files]
    table = pd.DataFrame(rows)
    table["sha256"] = table["upstream_hash"].map(_sha256).where(table["ignored"].isna())
    return conform(table, INVENTORY_SCHEMA)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(rows: list[dict[str, str]]) -> pd.DataFrame:
    sheet = io.StringIO()
    writer = csv.DictWriter(sheet, _HEADER, restval="")
    writer.writeheader()
    writer.writerows({name: cell.replace("\0", "") for name, cell in row.items()} for row in rows)
    return read_metadata(sheet.getvalue().encode("utf-8", "replace"))


def _inspections(records: pd.DataFrame) -> pd.DataFrame:
    shas = records["sha256"].dropna().unique()
    facts: dict[str, Any] = {"format": "JPEG", "mode": "L", "width": 500, "height": 400}
    rows = [{"sha256": sha, "pixel_sha256": sha, "phash": f"{n:064x}"} | facts for n, sha in enumerate(shas)]
    return conform(pd.DataFrame(rows), INSPECTION_SCHEMA)


def _check_table(table: pd.DataFrame) -> None:
    """Check that CSV gives back every text as it is."""
    text = csv_bytes(table).decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    wanted = table.astype(object).where(table.notna(), "").astype(str)
    assert rows[1:] == wanted.to_numpy().tolist()


@functools.cache
def _harmless_links() -> set[tuple[str, str]]:
    rows = [(f"images/{n}.jpg", {name: cell.format(n) for name, cell in _ROW.items()}) for n in range(3)]
    return _but_for_counts(active(dataset_card(build_manifest(_ledger(rows)), _NAMED | {"licences": {}}).decode()))


def _but_for_counts(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return what is active in a card, without the numbers in it: the card folds its columns under a line of counts."""
    return {(kind, re.sub(r"[\d,]+ cells", "cells", text)) for kind, text in found}
