"""Where the predictor's own environment is. This module needs nothing of what is in there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

INCLUDE = Path(__file__).parents[1]
VARIABLE = "CXR_PREDICTOR_PYTHON"
TOO_FEW = 3  # exit status where a snapshot is too small to train on


def predictor_python(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the Python of the predictor's environment, whether it is there or not."""
    return Path(environ.get(VARIABLE) or INCLUDE.parent / ".local/predictor-venv/bin/python")


def remedy(python: Path) -> str:
    """Say that there is no such environment, and what to do about it."""
    return (
        f"the predictor's environment is not there: {python} does not exist. Run `make predictor` in the checkout, or "
        f"install requirements-predictor.txt elsewhere and set {VARIABLE} to its Python."
    )


def variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment in which it runs."""
    return {**environ, "PYTHONPATH": str(INCLUDE)}
