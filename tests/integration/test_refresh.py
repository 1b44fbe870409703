"""What a night costs: requests to the upstreams, writes to the store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.stores import client_of, copy_objects, store_in
from support.upstreams import ServedUpstream


@pytest.fixture
def first_night(first_state: Store, store: Store) -> None:
    """Let the store have a snapshot of what upstream has."""
    copy_objects(first_state, store)


def counted(store: Store) -> tuple[Store, Counter[str]]:
    """Return the same store through a client of its own that counts its requests."""

    endpoint = store.client.meta.endpoint_url
    client = client_of(endpoint)
    requests: Counter[str] = Counter()
    client.meta.events.register("before-send.s3", lambda request, **_: requests.update([request.method]))
    return store_in(client, store.bucket, store.prefix), requests


def upstream_paths(sample: ServedUpstream) -> list[str]:
    return [f"{request.method} {request.path}" for request in sample.simulator.requests]


def test_quiet_night_makes_one_request_to_each_upstream_and_writes_nothing(
    first_state: Store, sample: ServedUpstream, tmp_path: Path
) -> None:
    store, before = first_state, first_state.list("")
    seen = len(sample.simulator.requests)
    counting, requests = counted(store)
    settings = Settings.load(sample.settings(tmp_path, bucket=store.bucket), environ={})
    assert Pipeline(settings, counting, build_sources(settings)).poll("quiet", "2026-11-24T03:00:00+00:00") is None
    assert upstream_paths(sample)[seen:] == [
        "GET /github-api/repos/ieee8023/covid-chestxray-dataset/commits/master",
        "POST /kaggle-api/v1/datasets.DatasetApiService/GetDataset",
    ]
    assert sample.simulator.requests[-2].status == 304, "the commit is asked for by ETag"
    assert set(requests) == {"GET"}
    assert store.list("") == before


def test_refresh_fetches_only_new_blobs(
    first_night: None, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    blobs = set(store.list("_work/blobs/"))
    seen = len(sample.simulator.requests)
    sample.move_to_step(2)
    outcome = run_stages(sample.pipeline(store, tmp_path), "second")
    raw = [path for path in upstream_paths(sample)[seen:] if "/github-raw/" in path]
    new = set(store.list("_work/blobs/")) - blobs
    assert len(raw) == outcome.ingested["covid"]["fetched"] == len(set(raw))
    assert outcome.ingested["covid"]["uploaded"] == len(new)
    assert outcome.ingested["pneumonia"]["fetched"] == 0
    assert 0 < len(new) <= len(raw) < len(blobs)
    others = [path for path in upstream_paths(sample)[seen:] if "/github-raw/" not in path]
    assert [path.split("?")[0].rsplit("/", 2)[1] for path in others] == [
        "commits",
        "datasets.DatasetApiService",
        "trees",
    ]


def test_unchanged_images_are_not_decoded_again(
    first_night: None, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    pipeline = sample.pipeline(store, tmp_path)
    plan: Any = pipeline.poll("forced", "2026-11-24T03:00:00+00:00", force=True)
    assert plan is not None
    assert [pipeline.ingest(plan, source)["fetched"] for source in pipeline.sources] == [0, 0]
    assert [pipeline.inspect(plan, shard)["new"] for shard in range(4)] == [0, 0, 0, 0]
