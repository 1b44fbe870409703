"""Lines about long work."""

from __future__ import annotations

import logging

import pytest

from cxr_snapshot.progress import EVERY, Progress, duration, progress_line


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (120, 600, 10, "files: 120 of 600, 12/s, 40 s left"),
        (1, 5856, 2, "files: 1 of 5,856, 0.5/s, 3 h 15 min left"),
        (6000, 6000, 4, "files: 6,000 of 6,000, 1,500/s"),
        (3, 4, 0, "files: 3 of 4"),
    ],
)
def test_line(done: int, total: int, seconds: float, line: str) -> None:
    assert progress_line("files", done, total, seconds) == line


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_logs_now_and_then_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "cxr_snapshot")
    clock = iter([0.0, EVERY / 2, EVERY, EVERY + 1, EVERY + 2])
    progress = Progress("files", 4, clock=lambda: next(clock))
    for _ in range(4):
        progress.advance()
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["files: 2 of 4", "files: 4 of 4"]
