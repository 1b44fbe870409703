"""Real patients from elsewhere judge a model that was trained on real images of the default collections."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cxr_snapshot.store.objects import Store
from support.paths import REAL_ADULTS, REAL_DATA
from support.stages import run_stages
from support.upstreams import HANNOVER_NAME, NIH_NAME, served_real

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not REAL_DATA.exists() or not REAL_ADULTS.exists(), reason="the real upstream states are not at hand"
    ),
]


def test_a_model_that_was_trained_on_the_default_fails_elsewhere(store: Store, tmp_path: Path) -> None:
    """Its classes are of adults and of children, from many papers and from one hospital."""
    with served_real(tmp_path) as upstream:
        (tmp_path / NIH_NAME).parent.mkdir(parents=True)
        (tmp_path / NIH_NAME).symlink_to(REAL_ADULTS / "nih-chest-xrays-sample.zip")
        shutil.copytree(REAL_ADULTS / "covid-19-image-repository.git", tmp_path / HANNOVER_NAME)
        subprocess.run(["chmod", "-R", "u+w", tmp_path / HANNOVER_NAME], check=True)
        pipeline = upstream.pipeline(store, tmp_path / "scratch", max_per_class=None, judges="nih,hannover")
        snapshot = run_stages(pipeline, "run").snapshot
    assert snapshot is not None
    external = snapshot["audit"]["external"]
    assert external["level"] == "fails"
    assert external["called_covid"]["low"] > 0.8
    assert external["auc_inside"]["low"] > 0.9
    assert external["auc_outside"]["high"] < 0.6
    assert snapshot["audit"]["headline"].startswith("A model trained on this fails elsewhere: of 100 healthy adults, ")
