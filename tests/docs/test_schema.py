"""docs/schema.md must name every column and every key that is published."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from cxr_snapshot.publication.cards import ATTRIBUTION_COLUMNS
from cxr_snapshot.publication.changes import KINDS
from cxr_snapshot.publication.draft import SCHEMA_VERSION, build_draft, finish
from cxr_snapshot.publication.index import update_index
from cxr_snapshot.publication.marks import MARK, Mark, write_mark
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import EXCLUDED_COLUMNS, MANIFEST_COLUMNS
from support.catalogue import put_snapshot
from support.ledgers import FACTS, REPORT, parted, small_ledger
from support.schema_doc import DOCUMENT, UPDATE, with_tables

if os.environ.get("UPDATE_DOCS"):
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
TEXT = DOCUMENT.read_text(encoding="utf-8")


def first_cells(title: str) -> list[str]:
    """Return the names in the first column of the tables of one section."""
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert section, title
    cells = re.findall(r"^\| (`[^|]*) \|", section[1], flags=re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("`manifest.csv`, `manifest.parquet`", MANIFEST_COLUMNS),
        ("`excluded.csv`", EXCLUDED_COLUMNS),
        ("`data/*.parquet`", ("image", "label")),
        ("`ATTRIBUTION.csv`", (*ATTRIBUTION_COLUMNS, "change")),
        ("`changes.json`", tuple(KINDS)),
    ],
)
def test_every_column_is_described_once_and_in_order(title, names):
    assert first_cells(title) == list(names)


def test_the_tables_of_columns_are_written_from_the_code():
    assert with_tables(TEXT) == TEXT, f"docs/schema.md is out of date: {UPDATE}"


def test_the_version_is_the_one_in_the_code():
    assert f"This is schema version {SCHEMA_VERSION}," in TEXT


def test_the_keys_of_snapshot_json_are_described(store: Store):
    more: dict[str, Any] = {"synthetic": True, "edition": "adults", "equal_to": "2026-11-20", "unknown_ages": {}}
    more |= {"withdrawn": {"COVID": 1}}
    more |= {"fingerprint": "f", "code_version": "1", "licences": {"covid": None, "pneumonia": "other"}}
    more["settings"] = FACTS["settings"] | {"files": "uniform"}
    draft = build_draft(
        store, *parted(small_ledger(store)), FACTS | more, previous=None, folder="_work/runs/one", report=REPORT
    )
    snapshot = json.loads(finish(draft, "2026-11-23", "2026-11-23T03:00:00+00:00", "s3://b/", None)["snapshot.json"])
    assert sorted(first_cells("`snapshot.json`")) == sorted(snapshot)


def test_the_keys_of_the_mark_are_described(store: Store):
    write_mark(store, "2026-11-23", Mark(), None)
    mark = store.get_json(f"2026-11-23/{MARK}")
    assert mark is not None
    assert sorted(first_cells("`WITHDRAWN.json`")) == sorted(mark)


def test_the_keys_of_the_index_are_described(store: Store):
    put_snapshot(store, "2026-11-23")
    (entry,) = update_index(store)
    assert sorted(first_cells("`index.json`")) == sorted(entry)
