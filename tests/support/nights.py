"""Night after night: the states of an upstream, one after the other, through all stages."""

from __future__ import annotations

import csv
import subprocess
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxr_snapshot.store.objects import Store
from support.stages import Outcome, run_stages
from support.stores import read_csv
from support.upstreams import ServedUpstream


@dataclass(frozen=True)
class Nights:
    """What was published of an upstream, with the outcome of each replay step; read only."""

    upstream: ServedUpstream
    store: Store
    outcomes: dict[int, Outcome]

    @property
    def versions(self) -> dict[int, str | None]:
        """The version that each step was published as."""
        return {step: done.snapshot["version"] if done.snapshot else None for step, done in self.outcomes.items()}

    def assert_ledgers_are_complete(self) -> None:
        """Count images and rows with git, zipfile and csv alone, and find each of them exactly once."""
        for step, version in self.versions.items():
            if version:
                _assert_ledger_is_complete(self.upstream, self.store, version, step)


def replay(upstream: ServedUpstream, store: Store, folder: Path, steps: Iterable[int]) -> Nights:
    """Run one night with all images for every step, and poll a second time to see that nothing is new."""
    outcomes = {}
    for step in steps:
        upstream.move_to_step(step)
        pipeline = upstream.pipeline(store, folder, max_per_class=None)
        outcomes[step] = run_stages(pipeline, f"night-{step}", f"2026-11-{step:02d}T03:00:00+00:00")
        assert run_stages(pipeline, f"again-{step}").plan is None, "seen states are not built again"
    return Nights(upstream, store, outcomes)


def _assert_ledger_is_complete(upstream: ServedUpstream, store: Store, version: str, step: int) -> None:
    manifest, excluded = read_csv(store, f"{version}/manifest.csv"), read_csv(store, f"{version}/excluded.csv")
    git = ["git", "--git-dir", str(upstream.git_dir)]
    command = [*git, "ls-tree", "-rz", "--name-only", f"refs/replay/step-{step}", "images/"]
    tree = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    images = {("covid", name) for name in tree.split("\0") if name}
    (archive,) = upstream.kaggle_dir.glob("*/*/*.zip")
    with zipfile.ZipFile(archive) as members:
        images |= {("pneumonia", item.filename) for item in members.infolist() if not item.is_dir()}
    both = pd.concat([manifest, excluded])
    listed = list(zip(both["source"], both["path"], strict=True))
    assert images <= set(listed)
    assert not both[both["path"].ne("")].duplicated(["source", "path", "metadata_line"]).any()
    metadata = subprocess.run([*git, "show", f"refs/replay/step-{step}:metadata.csv"], check=True, capture_output=True)
    rows = list(csv.reader(metadata.stdout.decode("latin-1").splitlines(keepends=True)))
    lines = both.loc[both["metadata_line"].ne(""), "metadata_line"]
    assert len(lines) == len(set(lines)) == len(rows) - 1
