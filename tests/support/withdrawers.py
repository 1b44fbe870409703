"""Who withdraws images, in a process that a test may kill."""

from __future__ import annotations

import io
from multiprocessing.connection import Connection
from typing import Any

import pyarrow.parquet as pq

from cxr_snapshot.catalog.withdrawal import plan_withdrawal, withdraw
from cxr_snapshot.publication.marks import read_mark
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import versions
from cxr_snapshot.store.objects import Store
from support.publishers import Task
from support.stores import client_of

ASKED = {"reason": "The patient asked for it.", "time": "2026-11-24T09:00:00+00:00", "by": "a person"}


def take_back(store: Store, kind: str, value: str, *, erase: bool) -> dict[str, int]:
    """Withdraw at a fixed time."""
    return withdraw(store, plan_withdrawal(store, kind, value, erase=erase, **ASKED))


def run_withdrawal(task: Task, orders: Connection) -> None:
    """Withdraw what each order says, a patient and whether to erase; end on ``None``."""
    store = Store(client_of(task.endpoint), task.bucket, task.prefix)
    while order := orders.recv():
        take_back(store, "patient", order[0], erase=order[1])


def sources_in_shards(store: Store, version: str) -> set[str]:
    """Return the SHA-256 of the upstream's file of each picture in the shards of a snapshot."""
    names = store.list(f"{version}/data/")
    tables = (pq.read_table(io.BytesIO(store.get(name)), columns=["source_sha256"]) for name in names)
    return {sha256 for table in tables for sha256 in table["source_sha256"].to_pylist()}


def assert_marks_are_true(store: Store, files: set[str], sources: set[str]) -> list[str]:
    """Check that each snapshot verifies, and that none which says so still has the images; return their states."""
    states = []
    for version in versions(store):
        verify(store, version, all_images=True)
        mark, etag = read_mark(store, version)
        states.append(mark.state if etag else "unmarked")
        if mark.state == "erased":
            assert not {name for name in files if store.exists(f"{version}/{name}")}
            assert not sources & sources_in_shards(store, version)
    return states


def contents(store: Store, folder: str) -> dict[str, str]:
    """Return the ETag of each object; equal ETags are equal bytes."""
    return {name: item.etag for name, item in store.list(folder).items()}


def published(store: Store, version: str) -> Any:
    """Return the manifest of a snapshot."""
    return store.get_table(f"{version}/manifest.parquet")
