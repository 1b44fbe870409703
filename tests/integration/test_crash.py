"""SIGKILL at every request of a publisher: readers see the old snapshot or the new one, and a rerun ends the work."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxr_snapshot.pipeline import Plan
from cxr_snapshot.publication.index import INDEX, INDEX_PAGE, read_index
from cxr_snapshot.publication.protocol import SUCCESS
from cxr_snapshot.publication.versions import LATEST, read_latest
from cxr_snapshot.store.objects import Fetched, Store
from support.publishers import (
    Prepared,
    Task,
    forkserver,
    publish_and_verify,
    publisher,
    publisher_in,
    run_stage,
    started,
)
from support.s3_proxy import S3Proxy
from support.stores import copied_bucket, copy_objects
from support.waiting import PATIENCE

OLD, NEW = "2026-11-22", "2026-11-23"  # the plans' own date is NEW


def contents(store: Store, folder: str) -> dict[str, str]:
    """Return the ETag of each object; equal ETags are equal bytes."""
    return {name: item.etag for name, item in store.list(folder).items()}


def put_back(store: Store, before: dict[str, Fetched | None]) -> None:
    """Make the store what it was: ``before`` holds its names, and the bytes of those that may be changed."""
    store.delete(store.list("").keys() - before.keys())
    for name, found in before.items():
        if found is not None:
            store.put(name, found.body, notes=found.notes)


def assert_readers_see_whole_snapshots(store: Store, whole: dict[str, dict[str, str]]) -> None:
    latest, _ = read_latest(store)
    assert latest is not None
    assert latest["version"] in whole
    for version in (latest["version"], *whole):
        if store.exists(f"{version}/{SUCCESS}"):
            assert contents(store, f"{version}/") == whole[version]
        else:
            assert version != latest["version"]


def kill_and_rerun(store: Store, plan: Plan, numbers: Iterable[int]) -> int:
    """Kill a publisher after the n-th request for each of ``numbers``; end where it needs fewer.

    Returns:
        How many reruns there were.
    """
    before = {name: store.fetch(name) if name in (LATEST, INDEX, INDEX_PAGE) else None for name in store.list("")}
    left: dict[str, str] = {}
    reruns = 0
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        task = Task(proxy.url, store.bucket, store.prefix, plan)
        survivor = publisher(task)
        calm = publish_and_verify(survivor, plan)
        assert calm is not None
        assert calm["version"] == NEW
        whole = {version: contents(store, f"{version}/") for version in (OLD, NEW)}
        for number in numbers:
            put_back(store, before)
            with started(task, run_stage) as (process, orders):
                proxy.start_again(kill=process.pid, after=number)
                orders.send("publish")
                orders.send(None)
                process.join(PATIENCE)
            if process.exitcode == 0:
                return reruns
            assert process.exitcode == -signal.SIGKILL
            assert_readers_see_whole_snapshots(store, whole)
            if (now := contents(store, "")) == left:
                continue  # the requests since the last try only read: what follows was tried
            left = now

            proxy.start_again()
            assert publish_and_verify(survivor, plan) == calm, f"request {number}"
            assert contents(store, f"{NEW}/") == whole[NEW], f"request {number}"
            assert read_latest(store)[0] == calm
            assert [entry["version"] for entry in read_index(store) or []] == [OLD, NEW], f"request {number}"
            again = {r.key for r in proxy.requests if r.method == "PUT" and r.status == 200}
            repeated = again & {store.key(name) for name in left if name not in before}
            assert not repeated, f"request {number}"
            reruns += 1
    raise AssertionError("the numbers ended before the publisher did")


@pytest.mark.parametrize(("every", "lanes"), [(80, 1), pytest.param(1, 2, marks=pytest.mark.long)])
def test_killed_after_its_requests(two_plans: Prepared, store: Store, every: int, lanes: int) -> None:
    """The publisher is killed after each request whose number ``every`` divides."""
    copy_objects(two_plans.store, store)
    first, plan = two_plans.plans
    assert publish_and_verify(publisher_in(store), {**first, "date": OLD}) is not None
    stores = [store, *(copied_bucket(store) for _ in range(lanes - 1))]
    forkserver()
    with ThreadPoolExecutor(len(stores)) as pool:  # each takes its share of them, in a bucket of its own
        lanes = [
            pool.submit(kill_and_rerun, lane, plan, itertools.count(start * every, len(stores) * every))
            for start, lane in enumerate(stores, start=1)
        ]
        assert sum(lane.result() for lane in lanes) > 30 // every, "there are that many objects to write"
