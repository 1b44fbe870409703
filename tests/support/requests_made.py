"""Which requests go to the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cxr_snapshot.store.objects import Store


@contextmanager
def requests_to(store: Store) -> Iterator[list[Any]]:
    """Note each request that the store's client sends while the block lasts."""
    sent: list[Any] = []
    events = store.client.meta.events

    def note(request: Any, **_: Any) -> None:
        sent.append(request)

    events.register("before-send.s3", note)
    try:
        yield sent
    finally:
        events.unregister("before-send.s3", note)
