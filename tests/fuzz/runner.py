"""Runs numbered cases of one target, each with its own random numbers and a limit of processor time."""

from __future__ import annotations

import logging
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from types import FrameType

from fuzz import answers, archives, images, metadata, names


@dataclass(frozen=True)
class Target:
    """What is tested.

    Attributes:
        name: short name.
        check: makes a case of each of the random numbers and returns what became of it; raises where it is wrong.
        seconds: of processor time, the most that one call may take.
        together: how many cases are given to one call, where each by itself would cost more than it tells.
    """

    name: str
    check: Callable[[Sequence[Random]], Sequence[str]]
    seconds: float
    together: int = 1


def singly(check: Callable[[Random], str], randoms: Sequence[Random]) -> list[str]:
    """Call ``check`` for one case after the other."""
    return [check(random) for random in randoms]


TARGETS = {
    "metadata": Target("metadata", metadata.check, metadata.SECONDS, together=20),
    "images": Target("images", partial(singly, images.check), images.SECONDS),
    "answers": Target("answers", partial(singly, answers.check), answers.SECONDS),
    "archives": Target("archives", partial(singly, archives.check), archives.SECONDS),
    "names": Target("names", names.check, names.SECONDS, together=100),
}
MAX_MEMORY = 600 * 1024  # KB, as the kernel counts it, that a process may ever have had


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
        for start in range(0, len(cases), target.together):
            part = cases[start : start + target.together]
            try:
                with _limit(target.seconds):
                    report.outcomes.update(target.check([Random(f"{seed}:{target.name}:{case}") for case in part]))
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                assert peak < MAX_MEMORY, f"{peak:,} KB of memory"
            except (Exception, _HangError):  # noqa: BLE001 -- this is what the fuzzer looks for
                again = f"python -m fuzz {target.name} --seed {seed} --first {part[0]} --cases {len(part)}"
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
