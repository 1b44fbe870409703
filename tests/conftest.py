"""Fixtures for all tests: a real S3 server process, upstreams to serve, and a store to write to."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from cxr_snapshot.store.objects import Store
from support.airflow_environment import DATABASE, HOME, migrated_database  # before Airflow is imported
from support.publishers import Prepared, prepared_plans
from support.real_stores import chosen
from support.scheduling import OneWorkerForAirflow
from support.sharing import made_once
from support.stages import EARLIER, run_stages
from support.stores import client_of, new_store
from support.upstreams import ServedUpstream, served_sample, write_small_sample
from upstream_simulator.sample import write_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


# Else an eighth of the time goes into looking for garbage among what pandas and Airflow have loaded.
gc.set_threshold(50_000)

# A busy machine may be slow at everything. `make test` draws few examples, all else as many as hypothesis advises.
PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("few", PATIENT, max_examples=10)
hypothesis.settings.register_profile("many", PATIENT)
hypothesis.settings.load_profile("many")


@pytest.hookimpl(optionalhook=True)  # there is no xdist with `-p no:xdist`
def pytest_xdist_auto_num_workers() -> int:
    """Start a worker more than there are cores, since each waits for its S3 server now and then."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerForAirflow:
    return OneWorkerForAirflow(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect those tests to fail that ask for what the chosen S3 server lacks."""
    must_fail = chosen().must_fail
    for item in items:
        for part, why in must_fail.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=why, strict=True))


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the S3 server that ``TEST_STORE`` names, or the one that `make run` uses, on data of its own."""
    with chosen().run(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> S3Client:
    return client_of(s3_endpoint)


@pytest.fixture
def store(s3_client: S3Client) -> Store:
    """An empty bucket."""
    return new_store(s3_client)


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated sample; copy it before changing it."""
    return made_once(tmp_path_factory, "generated-sample", write_sample)


@pytest.fixture(scope="session")
def small_sample(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated sample with fewer of Kaggle's images, whose ingestion takes time; copy it before changing it."""
    return made_once(tmp_path_factory, "small-sample", partial(write_small_sample, sample_folder))


def snapshot_of(client: S3Client, sample: Path, folder: Path, step: int) -> Store:
    """Return a store with a snapshot of a replay step of a generated sample."""
    store = new_store(client)
    with served_sample(sample, folder) as upstream:
        upstream.move_to_step(step)
        assert run_stages(upstream.pipeline(store, folder / "scratch"), *EARLIER).snapshot is not None
    return store


@pytest.fixture(scope="session")
def first_state(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a snapshot of the small sample's first commit; copy it before changing it."""
    return snapshot_of(s3_client, small_sample, tmp_path_factory.mktemp("upstream"), 1)


@pytest.fixture(scope="session")
def last_state(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a snapshot of the small sample's last commit; copy it before changing it."""
    return snapshot_of(s3_client, small_sample, tmp_path_factory.mktemp("upstream"), 5)


@pytest.fixture(scope="session")
def two_plans(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """What it takes to publish two contents of the small sample's first commit."""
    store, folder = new_store(s3_client), tmp_path_factory.mktemp("upstream")
    with served_sample(small_sample, folder) as upstream:
        return Prepared(store, prepared_plans(upstream.pipeline(store, folder / "scratch"), 2))


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated Airflow database without content: a SQLite file, to be copied."""
    return made_once(tmp_path_factory, "airflow-database", migrated_database) / DATABASE


@pytest.fixture(scope="session")
def migrated(airflow_database: Path) -> None:
    """Let Airflow in this process have a migrated database."""
    if not (HOME / DATABASE).exists():
        shutil.copy(airflow_database, HOME)


@pytest.fixture
def sample(small_sample: Path, tmp_path: Path) -> Iterator[ServedUpstream]:
    """The generated sample with fewer of Kaggle's images, at its first commit."""
    with served_sample(small_sample, tmp_path / "sample") as served:
        yield served
