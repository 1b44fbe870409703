"""The words of the messages that people get. Pure: facts in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from cxr_snapshot.settings import DEFAULT_EDITION


@dataclass(frozen=True)
class Notice:
    """A message: a subject of one line and a plain text."""

    subject: str
    text: str


def published(snapshot: Mapping[str, Any], changes: Mapping[str, Any], link: str) -> Notice:
    """Say that there is a new snapshot.

    Args:
        snapshot: content of its ``snapshot.json``; with its ``edition``, unless that is the default one.
        changes: content of its ``changes.json``.
        link: address of the run in Airflow.
    """
    images = ", ".join(f"{name} {count:,}" for name, count in sorted(snapshot["counts"].items()))
    revisions = ", ".join(f"{name} {revision}" for name, revision in sorted(snapshot["revisions"].items()))
    counts = {kind: count for kind, count in changes["counts"].items() if count}
    diff = ", ".join(f"{count:,} {kind}" for kind, count in counts.items()) or "no image changed"
    since = f"Since {changes['previous']}: {diff}" if changes["previous"] else "This is the first snapshot"
    text = f"Images: {images}.\n{since}.\nBuilt from: {revisions}.\nWhere: {snapshot['uri']}\nRun: {link}"
    name = _name(snapshot.get("edition", DEFAULT_EDITION))
    return Notice(f"{name} {snapshot['version']} is published", text)


def failed(task: str, error: object, link: str, edition: str) -> Notice:
    """Say that a task of an edition's run failed for good, and why."""
    return Notice(f"{_name(edition)}: {task} failed", f"{str(error) or type(error).__name__}\nLog: {link}")


def asked(question: str, until: datetime, link: str, edition: str) -> Notice:
    """Say that a person has to decide whether to publish.

    Args:
        question: with the numbers.
        until: when the run fails without an answer.
        link: address at which to answer in Airflow.
        edition: of which the snapshot would be.
    """
    text = f"{question}\nNothing is published without an answer before {until:%Y-%m-%d %H:%M} UTC.\nAnswer: {link}"
    return Notice(f"{_name(edition)}: a person has to decide", text)


def quiet(version: str, today: date, every: int, link: str, edition: str) -> Notice | None:
    """Say that nothing was new for a long time; ``None`` on all days but each ``every``-th.

    Args:
        version: name of the latest snapshot.
        today: day of the run.
        every: days between two messages.
        link: address of the run in Airflow.
        edition: of which the snapshot is.
    """
    days = (today - date.fromisoformat(version[:10])).days
    if days <= 0 or days % every:
        return None
    text = f"The latest snapshot is still {version}. The upstreams were asked and have nothing new.\nRun: {link}"
    return Notice(f"{_name(edition)}: nothing new for {days} days", text)


def _name(edition: str) -> str:
    return "Chest X-ray snapshot" if edition == DEFAULT_EDITION else f"Chest X-ray snapshot, edition {edition}"
