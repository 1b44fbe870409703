from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.errors import StorageError
from cxr_snapshot.store.conditional import PROBE, require_conditional_writes
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Fetched, Store
from support.real_stores import chosen
from support.stages import run_stages
from support.stores import client_of
from support.upstreams import ServedUpstream

REMEDY = "set CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time"


@pytest.fixture
def strict(store: Store) -> Store:
    """The same bucket, of which conditional writes are asked whatever the server."""
    return Store(store.client, store.bucket, store.prefix)


def test_the_probe_says_of_this_server_what_is_known_of_it(strict: Store) -> None:
    for _ in range(2):
        if chosen().conditional_writes:
            require_conditional_writes(strict)
        else:
            with pytest.raises(StorageError, match=f"refused If-Match with the ETag that it had given for .*{REMEDY}"):
                require_conditional_writes(strict)
    assert list(strict.list("")) == [PROBE]


def test_without_them_nothing_is_tried(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        require_conditional_writes(Store(store.client, store.bucket, store.prefix, conditional_writes=False))
    assert "Let only one run work" in caplog.text
    assert store.list("") == {}


class Memory(Store):
    """A store of one object in memory, with the faults that a test gives it."""

    def __init__(self, *, ignores: str = "", quotes: bool = True, etags: Iterator[str] | None = None) -> None:
        super().__init__(client_of("http://127.0.0.1:9"), "any", "")
        self.ignores, self.quotes, self.etags = ignores, quotes, etags
        self.body: bytes | None = None
        self.etag = ""

    def put(self, name: str, body: bytes, **conditions: Any) -> None:
        absent, etag = conditions.get("only_if_absent"), conditions.get("only_if_etag")
        if absent and self.ignores != "only_if_absent" and self.body is not None:
            raise PreconditionFailedError("it is there")
        own = f'"{self.etag}"' if self.quotes else self.etag
        if etag and self.ignores != "only_if_etag" and etag != own:
            raise PreconditionFailedError("it is another one")
        self.body = body
        self.etag = next(self.etags) if self.etags else hashlib.md5(body, usedforsecurity=False).hexdigest()

    def fetch(self, name: str) -> Fetched:
        assert self.body is not None
        return Fetched(self.body, f'"{self.etag}"', {})


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"ignores": "only_if_absent"}, "ignored If-None-Match on s3://any/_work/conditional-write-probe"),
        ({"ignores": "only_if_etag"}, "ignored If-Match on s3://any/_work/conditional-write-probe"),
        ({"quotes": False}, "refused If-Match with the ETag that it had given for s3://any/_work/conditional-write"),
    ],
)
def test_what_a_store_does_wrong_is_said_at_once_with_the_setting(faults: dict[str, Any], words: str) -> None:
    for _ in range(2):
        with pytest.raises(StorageError, match=f"{words}.*{REMEDY}"):
            require_conditional_writes(Memory(**faults))


class Disturbed(Memory):
    """Somebody else's probe writes right after each of the first reads, and each write gives another ETag."""

    def __init__(self, times: int) -> None:
        super().__init__(etags=map(str, range(1000)))
        self.times = times

    def fetch(self, name: str) -> Fetched:
        found = super().fetch(name)
        if self.times:
            self.times -= 1
            self.put(name, found.body)
        return found


def test_the_probe_of_another_publisher_is_no_alarm() -> None:
    store = Disturbed(times=5)
    require_conditional_writes(store)
    assert store.times == 0


def test_many_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: require_conditional_writes(store), range(40)))


class Quoteless(Store):
    """Compares ETags without quotes with the quoted ones that it gave, as Ceph RGW 16 and 18 do."""

    def put(self, name: str, body: bytes, **others: Any) -> None:
        if others.get("only_if_etag"):
            raise PreconditionFailedError("it is another one")
        super().put(name, body, **others)


def test_a_run_says_it_before_it_fetches_anything(sample: ServedUpstream, strict: Store, tmp_path: Path) -> None:
    pipeline = sample.pipeline(Quoteless(strict.client, strict.bucket, strict.prefix), tmp_path)
    with pytest.raises(StorageError, match=REMEDY):
        run_stages(pipeline, "run")
    assert list(strict.list("")) == [PROBE]
