"""What happens to stored objects: a bit flips, the end is lost, all is lost. Their metadata stays."""

from __future__ import annotations

from collections.abc import Callable

from cxr_snapshot.store.objects import Store

Damage = Callable[[Store, str], None]


def flip(store: Store, name: str) -> None:
    """Flip a bit in the middle of an object."""
    _change(store, name, _flipped)


def truncate(store: Store, name: str) -> None:
    """Cut an object's second half off."""
    _change(store, name, lambda body: body[: len(body) // 2])


def delete(store: Store, name: str) -> None:
    """Delete an object."""
    store.delete([name])


DAMAGES: dict[str, Damage] = {"flipped": flip, "truncated": truncate, "deleted": delete}


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def _change(store: Store, name: str, change: Callable[[bytes], bytes]) -> None:
    found = store.fetch(name)
    store.put(name, change(found.body), notes=found.notes)
