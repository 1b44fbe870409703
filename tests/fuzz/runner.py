"""Runs numbered cases of one target, each with its own random numbers and a limit of processor time."""

from __future__ import annotations

import logging
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType

from fuzz import images, metadata


@dataclass(frozen=True)
class Target:
    """What is tested.

    Attributes:
        name: short name.
        check: makes one case from random numbers and returns what became of it; raises where something is wrong.
        seconds: of processor time, the most that one case may take.
    """

    name: str
    check: Callable[[Random], str]
    seconds: float


TARGETS = {
    "metadata": Target("metadata", metadata.check, metadata.SECONDS),
    "images": Target("images", images.check, images.SECONDS),
}


@dataclass
class Report:
    """What became of some cases: how often each outcome came, and the failures as text."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class _HangError(BaseException):
    """The limit was passed; no ``Exception``, so that what is tested does not catch it."""


def run(target: Target, seed: int, cases: range) -> Report:
    """Check the cases of these numbers; equal seeds and numbers give equal cases."""
    report = Report()
    with _silence():
        for case in cases:
            try:
                with _limit(target.seconds):
                    report.outcomes[target.check(Random(f"{seed}:{target.name}:{case}"))] += 1
            except (Exception, _HangError):  # noqa: BLE001 -- this is what the fuzzer looks for
                again = f"python -m fuzz {target.name} --seed {seed} --first {case} --cases 1"
                report.failures.append(f"{traceback.format_exc()}To see it again: {again}")
    return report


@contextmanager
def _silence() -> Iterator[None]:
    logger = logging.getLogger("cxr_snapshot")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _HangError(f"more than {seconds} s of processor time")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
