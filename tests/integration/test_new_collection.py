"""A new collection is one file and one line; a deployment names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_snapshot.sources import SOURCES
from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.stores import read_csv
from support.third_collection import IMAGES
from support.upstreams import ServedUpstream


def test_a_third_collection_needs_one_file_and_one_line(
    sample: ServedUpstream, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "third", "support.third_collection:ThirdCollection")
    snapshot = run_stages(sample.pipeline(store, tmp_path, sources="covid,pneumonia,third"), "run").snapshot
    assert snapshot is not None
    assert snapshot["revisions"]["third"] == "7"
    version = snapshot["version"]
    ledger = [read_csv(store, f"{version}/{name}") for name in ("manifest.csv", "excluded.csv")]
    found = {path for table in ledger for path in table.loc[table["source"].eq("third"), "path"]}
    assert found == set(IMAGES)
    card = store.get(f"{version}/README.md").decode()
    for text in ("A Third Collection, https://example.org/third", "is made up", "are CC0", "@misc{third2026"):
        assert text in card, text
    assert "A Third Collection" in store.get(f"{version}/croissant.json").decode()
