"""The words of the messages."""

from __future__ import annotations

from datetime import date

import pytest

from cxr_snapshot import notices
from cxr_snapshot.errors import GuardError

SNAPSHOT = {
    "version": "2026-11-23",
    "uri": "s3://b/p/2026-11-23/",
    "counts": {"NORMAL": 1024, "COVID": 1024},
    "revisions": {"covid": "abc", "pneumonia": "2"},
}


def test_published() -> None:
    changes = {"previous": "2026-11-22", "counts": {"added": 3, "removed": 1, "moved": 0}}
    notice = notices.published(SNAPSHOT, changes, "http://airflow/run")
    assert notice.subject == "Chest X-ray snapshot 2026-11-23 is published"
    assert notice.text.splitlines() == [
        "Images: COVID 1,024, NORMAL 1,024.",
        "Since 2026-11-22: 3 added, 1 removed.",
        "Built from: covid abc, pneumonia 2.",
        "Where: s3://b/p/2026-11-23/",
        "Run: http://airflow/run",
    ]


def test_published_without_changes_or_predecessor() -> None:
    same = notices.published(SNAPSHOT, {"previous": "2026-11-22", "counts": {"added": 0}}, "")
    first = notices.published(SNAPSHOT, {"previous": None, "counts": {"added": 9}}, "")
    assert "Since 2026-11-22: no image changed." in same.text
    assert "This is the first snapshot." in first.text


def test_failed() -> None:
    notice = notices.failed("audit", GuardError("COVID shrank. Look at it."), "http://log", "default")
    assert notice == notices.Notice("Chest X-ray snapshot: audit failed", "COVID shrank. Look at it.\nLog: http://log")
    assert notices.failed("audit", KeyError(), "x", "default").text == "KeyError\nLog: x"


@pytest.mark.parametrize(
    ("today", "days"),
    [("2026-11-23", None), ("2026-11-29", None), ("2026-11-30", 7), ("2026-12-01", None), ("2026-12-07", 14)],
)
def test_quiet_only_on_each_seventh_day(today: str, days: int | None) -> None:
    notice = notices.quiet("2026-11-23.1", date.fromisoformat(today), 7, "http://log", "default")
    assert (notice and notice.subject) == (days and f"Chest X-ray snapshot: nothing new for {days} days")
    assert notice is None or "still 2026-11-23.1" in notice.text


def test_other_editions_are_named() -> None:
    changes = {"previous": None, "counts": {"added": 9}}
    found = [
        notices.published(SNAPSHOT | {"edition": "adults"}, changes, ""),
        notices.failed("audit", KeyError(), "", "adults"),
        notices.quiet("2026-11-23", date(2026, 11, 30), 7, "", "adults"),
    ]
    assert [notice and notice.subject for notice in found] == [
        "Chest X-ray snapshot, edition adults 2026-11-23 is published",
        "Chest X-ray snapshot, edition adults: audit failed",
        "Chest X-ray snapshot, edition adults: nothing new for 7 days",
    ]
