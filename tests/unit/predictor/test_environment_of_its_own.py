"""What the predictor imports is in its own lock file, which holds less than that of the pipeline."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support.paths import ROOT

# Imports modules as where only the packages of a lock file are.
ALONE = """
import importlib, sys
from importlib.metadata import packages_distributions
from unittest.mock import MagicMock
locked = set(sys.argv[1].split())
lacking = {
    name for name, owners in packages_distributions().items()
    if not locked & {owner.lower().replace("_", "-") for owner in owners}
}
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking:
            raise ModuleNotFoundError(f"No module named {name!r} in requirements-predictor.txt")
sys.meta_path.insert(0, Lacking())
sys.modules["keras"] = MagicMock()  # which is in that lock file, and not here
for module in sys.argv[2:]:
    importlib.import_module(module)
"""
MODULES = [f"cxr_predictor.{file.stem}" for file in sorted((ROOT / "include/cxr_predictor").glob("*.py"))]


def import_alone(*modules: str) -> subprocess.CompletedProcess[str]:
    lock = (ROOT / "requirements-predictor.txt").read_text()
    locked = " ".join(re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE))
    command = [sys.executable, "-c", ALONE, locked, *modules]
    return subprocess.run(command, env={"PYTHONPATH": "include"}, cwd=ROOT, check=False, capture_output=True, text=True)


def test_what_is_imported_is_in_its_lock_file() -> None:
    assert len(MODULES) > 10
    done = import_alone(*MODULES)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["airflow", "jinja2"])
def test_what_is_not_there_is_noticed(module: str) -> None:
    assert f"No module named '{module}' in requirements-predictor.txt" in import_alone(module).stderr
