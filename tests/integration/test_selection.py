"""The settings that decide what is in reach the stages."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cxr_snapshot.sources.words import licence_kind
from cxr_snapshot.store.objects import Store
from support.stages import balanced_plan
from support.upstreams import ServedUpstream


def balanced(sample: ServedUpstream, store: Store, folder: Path, **settings: object) -> pd.DataFrame:
    """Run the stages up to balance on the newest state of the sample and return the ledger."""
    sample.move_to_step(5)
    pipeline = sample.pipeline(store, folder, **settings)
    plan = balanced_plan(pipeline)
    assert plan["settings"].items() >= settings.items()
    return store.get_table(f"{plan['folder']}/balanced.parquet")


@pytest.mark.long
def test_controls(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    for controls in ("kaggle", "prefer-upstream"):
        ledger = balanced(sample, store, tmp_path, controls=controls, max_per_class=5)
        drawn = ledger[ledger["rule"].isna()]
        assert drawn["class"].value_counts().to_dict() == {"COVID": 5, "NORMAL": 5, "PNEUMONIA": 5}
        upstream = drawn.loc[drawn["source"].eq("covid") & drawn["class"].ne("COVID"), "finding"]
        wanted = {"No Finding", "Pneumonia/Viral/SARS", "Pneumonia/Bacterial/Streptococcus"}
        assert set(upstream) == (wanted if controls == "prefer-upstream" else set())


@pytest.mark.long
def test_licences(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    kinds = {
        "any": {None, "derivatives", "no-derivatives"},
        "no-NoDerivatives": {None, "derivatives"},
        "known-only": {"derivatives"},
    }
    for licences, allowed in kinds.items():
        ledger = balanced(sample, store, tmp_path, licences=licences, max_per_class=None)
        drawn = ledger.loc[ledger["rule"].isna(), "license"]
        assert {licence_kind(None if pd.isna(text) else text) for text in drawn} == allowed
        assert ledger["rule"].eq("licence_not_allowed").any() == (licences != "any")
