"""The real upstream states, where they are at hand."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.paths import REAL_DATA
from support.upstreams import ServedUpstream
from upstream_simulator.server import UpstreamSimulator


@pytest.fixture
def real_upstream(tmp_path: Path) -> Iterator[ServedUpstream]:
    """Eight states of the real COVID collection, and real Kaggle images in a zip of Kaggle's layout."""
    git_dir, kaggle_dir = tmp_path / "real.git", tmp_path / "kaggle"
    shutil.copytree(REAL_DATA / "covid-chestxray-dataset.git", git_dir)
    subprocess.run(["chmod", "-R", "u+w", git_dir], check=True)
    folder = kaggle_dir / "paultimothymooney/chest-xray-pneumonia"
    folder.mkdir(parents=True)
    (folder / "2.zip").symlink_to(REAL_DATA / "chest-xray-pneumonia.zip")
    with UpstreamSimulator(git_dir=git_dir, kaggle_dir=kaggle_dir) as simulator:
        yield ServedUpstream(simulator, git_dir, kaggle_dir)
