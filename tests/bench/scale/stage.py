"""Runs one stage in this process and prints as JSON what it returned and what it cost."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from unittest import mock

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.publication import protocol as publishing
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.client import open_store
from support.bench import peak_mb

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Counted:
    """Counts the requests of a client by operation, tries again included, and the bytes of both directions."""

    def __init__(self, client: S3Client) -> None:
        self.requests: Counter[str] = Counter()
        self.sent = self.received = 0
        self.lock = threading.Lock()
        client.meta.events.register("before-send.s3", self._sent)
        client.meta.events.register("after-call.s3", self._received)

    def _sent(self, request: Any, event_name: str, **_: object) -> None:
        with self.lock:
            self.requests[event_name.rsplit(".", 1)[1]] += 1
            self.sent += int(request.headers.get("Content-Length", 0))

    def _received(self, http_response: Any, **_: object) -> None:
        with self.lock:
            self.received += int(http_response.headers.get("Content-Length", 0))


class Timed:
    """Stands in for a function and adds up the CPU seconds of the process while it runs."""

    def __init__(self, work: Callable[..., object]) -> None:
        self.work, self.cpu = work, 0.0

    def __call__(self, *values: object) -> object:
        started = time.process_time()
        result = self.work(*values)
        self.cpu += time.process_time() - started
        return result


def run(stage: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run one task; return its result, and what this process cost so far."""
    settings = Settings.load()
    store = open_store(settings)
    counted, copies = Counted(store.client), Timed(publishing._copy_all)
    pipeline = Pipeline(settings, store, build_sources(settings))
    started = time.process_time()
    with mock.patch.object(publishing, "_copy_all", copies):
        result = getattr(pipeline, stage)(**arguments)
    costs = {
        "cpu": time.process_time(),
        "start_cpu": started,
        "copy_cpu": copies.cpu,
        "peak_mb": peak_mb(),
        "requests": counted.requests,
        "sent": counted.sent,
        "received": counted.received,
    }
    return {"result": result, "costs": costs}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
