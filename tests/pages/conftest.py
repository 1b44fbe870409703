"""The app as Airflow mounts it, and a store with published snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cxr_snapshot.store.objects import Store
from support.older_names import schema_version_1
from support.snapshot_pages import NEW, OLD, PREFIX
from support.stages import run_stages
from support.stores import new_store
from support.upstreams import FEW, served_sample

if TYPE_CHECKING:
    from fastapi import FastAPI
    from mypy_boto3_s3 import S3Client

    from support.pages import Pages


@pytest.fixture(scope="session")
def published(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two snapshots of the sample, the older one of schema version 1, and the remains of a third."""
    store, folder = new_store(s3_client), tmp_path_factory.mktemp("upstream")
    with served_sample(small_sample, folder) as upstream:
        with schema_version_1():
            run_stages(upstream.pipeline(store, folder / "scratch"), "first", f"{OLD}T03:00:00+00:00")
        upstream.move_to_step(2)
        more = upstream.pipeline(store, folder / "scratch", max_per_class=FEW + 1)
        run_stages(more, "second", f"{NEW}T03:00:00+00:00")
    store.put("2026-11-24/manifest.csv", b"a publisher was stopped here")
    return store


@pytest.fixture(scope="session")
def mounted(migrated: None) -> FastAPI:
    """A server with the plugin's app."""
    from support.pages import mounted_plugins  # imports Airflow's web server, which not every worker needs

    return mounted_plugins()


@pytest.fixture
def anonymous(mounted: FastAPI) -> Iterator[Pages]:
    from snapshot_pages_app import app as pages  # in Airflow's import path once Airflow is loaded
    from support.pages import Pages

    yield Pages(mounted, pages, PREFIX)
    pages.app.dependency_overrides.clear()


@pytest.fixture
def pages(anonymous: Pages, published: Store) -> Pages:
    anonymous.sign_in("VIEWER")
    anonymous.use(published)
    return anonymous
