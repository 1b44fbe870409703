"""What earlier snapshots had, so that a class cannot be lost little by little.

Each audit carries it on in ``trend``, so that none but the previous snapshot's files have to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_snapshot.store.encoding import json_sha256

REMEMBERED = 30  # snapshots with the same settings among which the best is looked for

Entry = Mapping[str, Any]


def remember(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return what later snapshots have to know of one.

    Args:
        snapshot: its ``snapshot.json``.

    Returns:
        ``version``, ``candidates`` by class, the hash of its ``settings``, the classes of which a loss was
        ``accepted``, and how many images of each class had been ``withdrawn``, where any had.
    """
    measured = [override["measured"] for override in snapshot.get("overrides", [])]
    remembered = {
        "version": snapshot["version"],
        "candidates": snapshot["candidates"],
        "settings": json_sha256(snapshot["settings"]),
        "accepted": sorted({each["class"] for each in measured if "class" in each}),
    }
    return remembered | ({"withdrawn": snapshot["withdrawn"]} if "withdrawn" in snapshot else {})


def comparable(
    latest: Mapping[str, Any] | None, audit: Mapping[str, Any] | None, settings: Mapping[str, Any]
) -> list[Entry]:
    """Return the earlier snapshots that were made with the same settings, the newest first.

    Args:
        latest: ``snapshot.json`` of the snapshot to compare with, or ``None``.
        audit: its ``audit.json``, or ``None``.
        settings: of the run.
    """
    if latest is None:
        return []
    past = [*(audit["trend"] if audit else []), remember(latest)]
    wanted = json_sha256(dict(settings))
    return [entry for entry in reversed(past) if entry.get("settings") == wanted]


def best(name: str, earlier: Sequence[Entry]) -> Entry:
    """Return the snapshot with most candidates of a class, the newest of equals.

    Only the last ``REMEMBERED`` count, and none before one in which a loss of the class was accepted.

    Args:
        name: the class.
        earlier: from :func:`comparable`; not empty.
    """
    counted: list[Entry] = []
    for entry in earlier[:REMEMBERED]:
        counted.append(entry)
        if name in entry["accepted"]:
            break
    return max(counted, key=lambda entry: int(entry["candidates"].get(name, 0)))
