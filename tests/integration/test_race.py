"""Publishers at once: one gets each version's name, nothing is mixed, and the others say so."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import newest_version
from cxr_snapshot.store.objects import Store
from support.publishers import Prepared, Task, prepared_plans, run_protocol, started
from support.stores import copy_objects, new_store
from support.upstreams import served_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROCESSES, ROUNDS = 8, 20
LOST = re.compile(
    r"another run is publishing other content as s3://\S+/2026-10-\d\d(\.\d)?/ since \d+ s\. Run the task publish again"
    r"|2026-10-\d\d(\.\d)? was published since this run compared its content with \S+\. Run the task publish again"
)


@pytest.fixture
def many_plans(s3_client: S3Client, small_sample: Path, tmp_path: Path) -> Prepared:
    store = new_store(s3_client)
    with served_sample(small_sample, tmp_path) as upstream:
        return Prepared(store, prepared_plans(upstream.pipeline(store, tmp_path / "scratch"), PROCESSES))


def race(orders: list[Any], date: str, previous: str | None) -> list[tuple[str, str]]:
    """Let all publish at once; return what each says."""
    for order in orders:
        order.send((date, previous))
    return [order.recv() for order in orders]


@pytest.mark.long
def test_different_contents(many_plans: Prepared) -> None:
    store, plans = many_plans.store, many_plans.plans
    endpoint = store.client.meta.endpoint_url
    with ExitStack() as stack:
        tasks = [Task(endpoint, store.bucket, store.prefix, plan) for plan in plans]
        orders = [stack.enter_context(started(task, run_protocol))[1] for task in tasks]
        digests = [order.recv() for order in orders]
        assert len(set(digests)) == PROCESSES
        for number in range(1, ROUNDS + 1):
            date = f"2026-10-{number:02d}"
            results = race(orders, date, newest_version(store, date))
            published = {text: digests[i] for i, (kind, text) in enumerate(results) if kind == "published"}
            lost = [text for kind, text in results if kind == "PublishConflictError"]
            assert len(published) == 1
            assert len(published) + len(lost) == PROCESSES, results
            assert all(LOST.search(text) for text in lost), lost
            assert {name for name in store.folders() if name.startswith(date)} == published.keys()
            for version, digest in published.items():
                verify(store, version, all_images=True)
                assert store.get_json(f"{version}/snapshot.json")["content_digest"] == digest
            assert newest_version(store, date) in published


def test_equal_contents_are_one_snapshot(two_plans: Prepared, store: Store) -> None:
    copy_objects(two_plans.store, store)
    plan = two_plans.plans[0]
    task = Task(store.client.meta.endpoint_url, store.bucket, store.prefix, plan)
    with ExitStack() as stack:
        orders = [stack.enter_context(started(task, run_protocol))[1] for _ in range(4)]
        assert len({order.recv() for order in orders}) == 1
        assert race(orders, "2026-10-01", None) == [("published", "2026-10-01")] * 4
    assert store.folders() == ("2026-10-01", "_work")
    verify(store, "2026-10-01", all_images=True)
