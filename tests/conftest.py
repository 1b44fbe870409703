"""Fixtures for all tests: a real S3 server process, upstreams to serve, and a store to write to."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import support.airflow_environment  # noqa: F401 - before Airflow
from cxr_snapshot.store.objects import Store
from local_stack.stack import ministack
from support.paths import ROOT
from support.stores import client_of
from support.upstreams import ServedUpstream
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME, write_sample
from upstream_simulator.server import UpstreamSimulator

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the S3 server that `make run` uses, on data of its own."""
    folder = tmp_path_factory.mktemp("s3")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)} | keys
    with ministack(ROOT, folder / "data", folder / "log", environ) as address:
        yield address


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> S3Client:
    return client_of(s3_endpoint)


@pytest.fixture
def store(s3_client: S3Client) -> Store:
    """An empty bucket."""
    bucket = f"test-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=bucket)
    return Store(s3_client, bucket, "covid-cxr")


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated sample, made once; copy it before changing it."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture
def sample(sample_folder: Path, tmp_path: Path) -> Iterator[ServedUpstream]:
    """The generated sample, at its first commit."""
    folder = tmp_path / "sample"
    shutil.copytree(sample_folder, folder)
    with UpstreamSimulator(git_dir=folder / GIT_NAME, kaggle_dir=folder / KAGGLE_NAME) as simulator:
        yield ServedUpstream(simulator, folder / GIT_NAME, folder / KAGGLE_NAME)
