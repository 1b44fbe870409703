"""What several tests use."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_simulator.server import UpstreamSimulator

if TYPE_CHECKING:
    from airflow.models import DagRun

RunDag = Callable[..., "DagRun"]


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


def states(run: DagRun) -> dict[str, str]:
    """Return the state of each task, of mapped ones the set of states."""
    found: dict[str, set[str]] = {}
    for instance in run.get_task_instances():
        found.setdefault(instance.task_id, set()).add(str(instance.state))
    return {task: "/".join(sorted(all_states)) for task, all_states in found.items()}


def xcom(run: DagRun, task_id: str) -> Any:
    """Return what a task returned."""
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)
