"""What an upstream states for the whole of its collection is recorded, and a change is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.upstreams import ServedUpstream
from upstream_simulator import kaggle


@pytest.mark.long
def test_it_is_in_the_snapshot_and_on_its_card_and_a_change_is_warned_of(
    sample: ServedUpstream,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    pipeline = sample.pipeline(store, tmp_path)
    first = run_stages(pipeline, "first", "2026-11-22T03:00:00+00:00").snapshot
    assert first is not None
    assert first["licences"] == {"covid": None, "pneumonia": kaggle.LICENSE_NAME}
    card = store.get(f"{first['version']}/README.md").decode()
    assert "For the whole of `pneumonia`, its host states: Attribution 4.0 International (CC BY 4.0)." in card
    assert "another licence" not in caplog.text
    monkeypatch.setattr(kaggle, "LICENSE_NAME", "Other (specified in description)")
    sample.move_to_step(2)
    second = run_stages(pipeline, "second", "2026-11-23T03:00:00+00:00").snapshot
    assert second is not None
    assert second["licences"]["pneumonia"] == "Other (specified in description)"
    assert "pneumonia: the upstream states another licence for the whole: 'Other (specified in desc" in caplog.text
