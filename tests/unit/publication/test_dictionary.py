"""What is said of columns fits the tables that are published."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from cxr_snapshot.publication.dictionary import (
    DICTIONARY,
    DICTIONARY_COLUMNS,
    MANIFEST,
    NEVER,
    Column,
    data_dictionary,
    described_files,
    tables,
)
from cxr_snapshot.publication.draft import build_draft, finish
from cxr_snapshot.publication.shards import SHARD_SCHEMA
from cxr_snapshot.sources import SOURCES, about
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import LEDGER_SCHEMA, MANIFEST_SCHEMA
from support.ledgers import FACTS, REPORT, parted, small_ledger

KINDS = {"string": "text", "int64": "whole number", "double": "number"}


def published(store: Store, **settings: str) -> dict[str, bytes]:
    facts = FACTS | {"settings": FACTS["settings"] | settings}
    draft = build_draft(
        store, *parted(small_ledger(store)), facts, previous=None, folder="_work/runs/one", report=REPORT
    )
    return draft.tables | finish(draft, "2026-11-23", "2026-11-23T03:00:00+00:00", "s3://b/", None)


def test_the_columns_are_those_of_the_tables_with_their_types():
    assert [(each.name, each.kind) for each in MANIFEST] == [
        (field.name, KINDS[str(field.type)]) for field in MANIFEST_SCHEMA
    ]
    assert [each.name for each in tables({})["data/*.parquet"]] == SHARD_SCHEMA.names
    for each in tables({})["excluded.csv"]:
        assert each.kind == KINDS[str(LEDGER_SCHEMA.field(each.name).type)]


@pytest.mark.parametrize("settings", [{}, {"files": "uniform"}], ids=["original", "uniform"])
def test_every_table_has_the_columns_that_it_is_said_to_have(store: Store, settings: dict[str, str]):
    files = published(store, **settings)
    for names, columns in tables(settings).items():
        if names.startswith("data/"):
            continue
        found = pd.read_csv(io.BytesIO(files[names.split(", ")[0]]), dtype=str)
        assert list(found) == [each.name for each in columns], names
        never_empty = [each.name for each in columns if each.null == NEVER]
        assert found[never_empty].notna().all(axis=None), names


def test_every_file_is_described(store: Store):
    named = {name for names in described_files({}) for name in names.split(", ")}
    assert set(published(store)) | {"SHA256SUMS"} == {name for name in named if "/" not in name} | {"README.md"}


def test_it_is_known_where_every_column_comes_from():
    assert [each.name for each in MANIFEST if not each.stated_by(SOURCES)] == []
    for source in SOURCES:
        filled = about(source).columns
        assert filled.keys() <= {each.name for each in MANIFEST if not each.origin}, source
        assert filled.keys() >= {"class", "revision", "patient_id", "finding", "license", "url"}, source


def test_collections_that_say_the_same_are_named_together():
    assert Column("revision", "").stated_by(["covid", "nih", "hannover"]) == (
        "`covid`, `hannover`: commit SHA-1; `nih`: version number"
    )


def test_a_snapshot_holds_its_own_dictionary(store: Store):
    found = pd.read_csv(io.BytesIO(published(store)[DICTIONARY]), dtype=str, keep_default_na=False)
    assert list(found) == list(DICTIONARY_COLUMNS)
    age = found[found["table"].eq("manifest.csv, manifest.parquet") & found["column"].eq("age")].iloc[0]
    assert age[["type", "unit", "from"]].tolist() == ["number", "years", "covid: age"]
    assert found.loc[found["column"].eq(""), "table"].tolist() == list(described_files({}))
    assert not found.apply(lambda column: column.str.contains("nih|hannover|`")).any(axis=None)


def test_of_generated_data_nothing_is_said_that_is_true_of_the_collections():
    found = data_dictionary({}, ["covid", "pneumonia"], synthetic=True)
    assert set(found.loc[found["column"].isin(["finding", "license", "view"]), "from"]) == {"made up by a program"}
    assert not found["from"].str.contains("Kermany|covid").any()
