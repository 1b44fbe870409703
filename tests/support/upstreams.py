"""Upstreams on loopback ports, which a test may change."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.objects import Store
from upstream_simulator.server import UpstreamSimulator


@dataclass
class ServedUpstream:
    """An upstream on a loopback port that a test may change."""

    simulator: UpstreamSimulator
    git_dir: Path
    kaggle_dir: Path

    def move_to_step(self, step: int) -> str:
        """Let the branch ``master`` point at replay step ``step``; return the commit."""
        git = ["git", "--git-dir", str(self.git_dir)]
        subprocess.run([*git, "update-ref", "refs/heads/master", f"refs/replay/step-{step}"], check=True)
        return subprocess.run([*git, "rev-parse", "master"], check=True, capture_output=True, text=True).stdout.strip()

    def settings(self, folder: Path, **others: object) -> dict[str, object]:
        """Return settings that lead to this upstream and wait for nothing."""
        fast = {"scratch_dir": folder, "http_timeout": 5, "http_max_wait": 1}
        return {**self.simulator.settings(), **fast, **others}

    def pipeline(self, store: Store, folder: Path, **others: object) -> Pipeline:
        """Return a pipeline from this upstream into ``store``, with a memory of nothing."""
        settings = Settings.load(self.settings(folder, bucket=store.bucket, prefix=store.prefix, **others), environ={})
        return Pipeline(settings, store, build_sources(settings))
