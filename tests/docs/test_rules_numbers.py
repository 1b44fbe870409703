"""The numbers of docs/rules.md are those of a replay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store
from support.paths import REAL_DATA
from support.rules_doc import DOCUMENT, STEPS, UPDATE, with_table
from support.upstreams import ServedUpstream


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")
def test_numbers_are_those_of_a_replay(real_upstream: ServedUpstream, store: Store, tmp_path: Path) -> None:
    excluded: dict[str, list[int]] = {}
    candidates: dict[str, list[int]] = {}
    for step in range(STEPS):
        real_upstream.move_to_step(step + 1)
        pipeline = real_upstream.pipeline(store, tmp_path)
        plan = pipeline.poll(f"step-{step}", "2026-11-23T00:00:00+00:00")
        assert plan is not None
        for source in pipeline.sources:
            pipeline.ingest(plan, source)
        for shard in range(INSPECT_SHARDS):
            pipeline.inspect(plan, shard)
        filtered, balanced = pipeline.filter(plan), pipeline.balance(plan)
        for counts, found in ((excluded, balanced["excluded"]), (candidates, filtered["counts"])):
            for name, count in found.items():
                counts.setdefault(name, [0] * STEPS)[step] = count
    page = with_table(DOCUMENT.read_text(encoding="utf-8"), excluded, candidates)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(page, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == page, f"docs/rules.md is out of date: {UPDATE}"
