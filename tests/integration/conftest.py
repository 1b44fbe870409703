"""The real upstream states, where they are at hand, and a small upstream for the clients."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.upstreams import ServedUpstream, served_real
from support.world import DATASET, FIRST, SECOND, THIRD, ZIPPED, World, start, write_commits, write_zip
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME
from upstream_simulator.server import UpstreamSimulator


@pytest.fixture
def real_upstream(tmp_path: Path) -> Iterator[ServedUpstream]:
    """The real upstream, at its last commit."""
    with served_real(tmp_path) as served:
        yield served


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upstream")
    write_commits(folder / GIT_NAME, (FIRST, SECOND, THIRD))
    write_zip(folder / KAGGLE_NAME / DATASET / "1.zip", ZIPPED)
    return folder


@pytest.fixture(scope="module")
def shared_sim(upstream: Path) -> Iterator[UpstreamSimulator]:
    with start(upstream) as sim:
        yield sim


@pytest.fixture
def world(upstream: Path, shared_sim: UpstreamSimulator, tmp_path: Path) -> World:
    """An upstream that every test leaves as it was."""
    shared_sim.faults.clear()
    shared_sim.requests.clear()
    return World(upstream, shared_sim, tmp_path / "scratch")


@pytest.fixture
def own_world(upstream: Path, tmp_path: Path) -> Iterator[World]:
    """An upstream that a test may change."""
    shutil.copytree(upstream, tmp_path / "upstream")
    with start(tmp_path / "upstream") as sim:
        yield World(tmp_path / "upstream", sim, tmp_path / "scratch")
