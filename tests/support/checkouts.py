"""A checkout of its own, in which the commands of the local stack run as `make` starts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

PREFIX = "covid-cxr-sample"
UNIFORM = "uniform"  # an edition

# Publishes an edition whose files all have one form: python -c PUBLISH_UNIFORM CHECKOUT
PUBLISH_UNIFORM = f"""
import sys
from pathlib import Path
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.client import open_store
from local_stack import stack
from support.stages import run_stages
with stack.services(Path(sys.argv[1]), "sample"):
    settings = Settings.load({{"files": "uniform"}})
    pipeline = Pipeline(settings, open_store(settings), build_sources(settings), {{}})
    assert run_stages(pipeline, "uniform", edition="{UNIFORM}").snapshot
"""


def bare_checkout(root: Path) -> None:
    """Do in ``root`` what a fresh clone does, and what `make` installs."""
    for name in ("dags", "include", "plugins"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / ".local").mkdir()
    (root / ".local/ministack-venv").symlink_to(ROOT / ".local/ministack-venv")


def environ_of(root: Path) -> dict[str, str]:
    """Return the environment of commands in the checkout ``root``."""
    return {"PATH": os.environ["PATH"], "HOME": str(root), "PYTHONPATH": f"{root}/include:{ROOT}/tests"}


def sampled_checkout(root: Path) -> None:
    """Do in ``root`` what a fresh clone, `make run` and `make download` do; then publish and download `UNIFORM`."""
    bare_checkout(root)
    environ = environ_of(root)
    for command in (
        ["-m", "local_stack", "run"],
        ["-m", "local_stack", "download"],
        ["-c", PUBLISH_UNIFORM, str(root)],
        ["-m", "local_stack", "download", "--edition", UNIFORM],
    ):
        done = subprocess.run(
            [sys.executable, *command], cwd=root, env=environ, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"


def downloaded(root: Path, edition: str = "") -> Path:
    """Return the folder that `make download` made, of the default edition or another one."""
    place = root / ".local/snapshots" / PREFIX / (f"editions/{edition}" if edition else "")
    (folder,) = place.glob("20*")
    return folder
