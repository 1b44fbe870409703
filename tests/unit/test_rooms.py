"""The contracts of the rooms hold, and break where somebody imports upward."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

ORDER = "Rooms import only downward, in the order of the stages"
SOURCES = "Sources know nothing of the store"
ALONE = "The predictor needs no Airflow, and only what a snapshot is read with"
PURE = "The pipeline knows nothing of Airflow, nor of what surrounds it"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("include", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(checkout: Path) -> subprocess.CompletedProcess[str]:
    """Run what ``make lint`` runs."""
    program = Path(sys.executable).with_name("lint-imports")
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(checkout / name) for name in ("include", "plugins"))}
    command = [str(program), "--no-cache"]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)


def test_the_contracts_are_kept(checkout: Path) -> None:
    done = lint(checkout)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("include/cxr_snapshot/store/encoding.py", "import cxr_snapshot.publication.cards", ORDER),
        ("include/cxr_snapshot/selection/rules.py", "from cxr_snapshot.audit import gates", ORDER),
        ("include/cxr_snapshot/a_new_room.py", "", ORDER),  # a room whose place nobody named
        (
            "include/cxr_snapshot/sources/covid.py",
            "import cxr_snapshot.store.client",
            "Sources know nothing of the store",
        ),
        ("include/cxr_snapshot/progress.py", "import airflow.sdk", PURE),
        ("include/cxr_snapshot/pipeline.py", "import upstream_simulator.server", PURE),
        ("include/upstream_simulator/server.py", "import cxr_snapshot.errors", "The simulator stands alone"),
        ("plugins/snapshot_pages_app/app.py", "import local_stack.stack", "The pages need no local stack"),
        ("include/cxr_snapshot/pipeline.py", "import cxr_predictor.environment", PURE),
        ("include/cxr_predictor/metrics.py", "import cxr_predictor.card", "The predictor imports only downward"),
        ("include/cxr_predictor/task.py", "import airflow.sdk", ALONE),
    ],
)
def test_a_planted_import_breaks_one(checkout: Path, file: str, line: str, broken: str) -> None:
    with (checkout / file).open("a") as module:
        module.write(f"\n{line}\n")
    done = lint(checkout)
    assert done.returncode != 0
    assert f"{broken} BROKEN" in done.stdout or (not line and "a_new_room" in done.stdout), done.stdout
