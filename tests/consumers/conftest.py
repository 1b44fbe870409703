"""A published snapshot of the sample, its download, and what runs a consumer's tool in the environment of the tools."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cxr_snapshot.store.objects import Store
from support.checkouts import sampled_checkout
from support.paths import ROOT
from support.sharing import made_once
from support.stages import run_stages
from support.stores import new_store
from support.upstreams import served_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TOOLS = ROOT / ".local/consumers-venv/bin"
SCRIPTS = Path(__file__).parent / "scripts"

RunTool = Callable[..., Any]


@dataclass(frozen=True)
class Published:
    """The second of two snapshots: ``uri`` without a slash at its end, its ``snapshot.json`` and its manifest."""

    store: Store
    uri: str
    snapshot: dict[str, Any]
    manifest: pd.DataFrame


@pytest.fixture(scope="session")
def published(s3_client: S3Client, sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    store, folder = new_store(s3_client), tmp_path_factory.mktemp("upstream")
    with served_sample(sample_folder, folder) as upstream:
        for step in (1, 2):
            upstream.move_to_step(step)
            day = f"2026-11-2{step}T03:00:00+00:00"
            outcome = run_stages(upstream.pipeline(store, folder / "scratch", max_per_class=None), f"run-{step}", day)
    assert outcome.snapshot
    assert outcome.snapshot["previous"] == "2026-11-21"
    manifest = pd.read_csv(io.BytesIO(store.get("2026-11-22/manifest.csv")))
    return Published(store, store.uri("2026-11-22"), outcome.snapshot, manifest)


@pytest.fixture(scope="session")
def tool(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> RunTool:
    """Return what runs a program of the tools' environment, or one of the scripts, and gives back what it printed.

    A script prints one JSON value. The tools see the S3 server of the tests and no home folder, cache or hub.
    """
    home = tmp_path_factory.mktemp("home")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(home / "huggingface"),
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
    }

    def run(program: str, *arguments: object, python: str = str(TOOLS / "python")) -> Any:
        script = program.endswith(".py")
        command = [python, str(SCRIPTS / program)] if script else [str(TOOLS / program)]
        done = subprocess.run(
            [*command, *map(str, arguments)], env=environ, cwd=home, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout.splitlines()[-1]) if script else done.stdout

    return run


@pytest.fixture(scope="session")
def folder(published: Published, tool: RunTool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot as `aws s3 sync` brings it."""
    target = tmp_path_factory.mktemp("download") / "covid-cxr-2026-11-22"
    tool("aws", "s3", "sync", "--no-progress", f"{published.uri}/", target)
    return target


@pytest.fixture(scope="session")
def torchvision() -> str:
    """A Python that has torchvision and pandas; where there is none, CI fails and others are told what they miss."""
    command = ["-c", "import pandas, torchvision"]
    for python in filter(shutil.which, (str(TOOLS / "python"), "/usr/bin/python3")):
        if subprocess.run([python, *command], check=False, capture_output=True).returncode == 0:
            return python
    missing = "No Python here has torchvision, so it is NOT tried. Install it (Debian: apt-get install "
    missing += "python3-torchvision python3-pandas) and run the tests again."
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout after `make run` and `make download`, of the default edition and one of uniform files."""
    return made_once(tmp_path_factory, "sampled-checkout", sampled_checkout)
