"""What runs the predictor in its own environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cxr_predictor.environment import predictor_python, variables
from cxr_predictor.published import snapshots_of
from cxr_snapshot.store.objects import Store
from support.paths import ROOT
from support.patients import publish_patients
from support.stores import new_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

RunPredictor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def patients(s3_client: S3Client) -> Store:
    """A store with a snapshot that is large enough, and editions with too few and with other patients."""
    store = new_store(s3_client)
    publish_patients(store)
    publish_patients(snapshots_of(store, "small"), "2026-11-23", {"train": 2, "test": 1})
    publish_patients(snapshots_of(store, "adults"), "2026-11-24", {"test": 4}, first=100, source="nih", age=50.0)
    return store


@pytest.fixture(scope="session")
def environ(s3_endpoint: str, patients: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the predictor's process sees: the store, and no home folder. What JAX compiles is kept for the next one."""
    home = tmp_path_factory.mktemp("home")
    return variables(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "JAX_COMPILATION_CACHE_DIR": str(home / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
            "AWS_ENDPOINT_URL_S3": s3_endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "CXR_BUCKET": patients.bucket,
            "CXR_PREFIX": patients.prefix,
        }
    )


@pytest.fixture(scope="session")
def predictor(environ: dict[str, str]) -> RunPredictor:
    """Return what runs ``python -m cxr_predictor``, or a script of this folder."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        program = [] if str(arguments[0]).endswith(".py") else ["-m", "cxr_predictor"]
        command = [str(predictor_python({})), *program, *map(str, arguments)]
        return subprocess.run(command, env=environ, cwd=ROOT, check=False, capture_output=True, text=True)

    return run


@pytest.fixture(scope="session")
def model(predictor: RunPredictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a folder, with a judge."""
    folder = tmp_path_factory.mktemp("models") / "one"
    done = predictor("train", "2026-11-22", "--judges", "adults/2026-11-24", "--out", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder
