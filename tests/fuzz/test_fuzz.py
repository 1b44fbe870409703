"""A slice of ``make fuzz`` for every day."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from fuzz import mutations
from fuzz.runner import TARGETS, Target, run, singly

CASES = {
    "metadata": 60,
    "images": 250,
    "answers": 250,
    "archives": 250,
    "names": 250,
}  # of `make fuzz`, which tries 10,000 of each


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_damaged_files_are_answered_as_documented(target: Target) -> None:
    report = run(target, seed=0, cases=range(CASES[target.name]))
    assert report.failures == []
    assert report.outcomes.total() == CASES[target.name]
    assert len(report.outcomes) >= 3, "the damage is too small or too great to tell anything"


def _crash(random: Random) -> str:
    raise LookupError(random.random())


def _hang(random: Random) -> str:
    while True:
        random.random()


@pytest.mark.parametrize(("check", "error"), [(_crash, "LookupError"), (_hang, "more than 0.05 s of processor time")])
def test_failure_is_reported_with_the_way_to_see_it_again(check: Callable[[Random], str], error: str) -> None:
    report = run(Target("broken", partial(singly, check), seconds=0.05), seed=3, cases=range(5, 6))
    (failure,) = report.failures
    assert error in failure
    assert failure.endswith("python -m fuzz broken --seed 3 --first 5 --cases 1")
    assert not report.outcomes


@pytest.mark.parametrize(
    "mutation",
    [
        *(mutations.cut, mutations.flip, mutations.flip_start, mutations.insert, mutations.delete, mutations.repeat),
        mutations.zero,
    ],
)
def test_damage_is_real_and_can_be_had_again(mutation: mutations.Mutation) -> None:
    body = Random(0).randbytes(3000)
    found = [mutation(Random(seed), body) for seed in range(20)]
    assert all(damaged != body for damaged in found)
    assert found == [mutation(Random(seed), body) for seed in range(20)]
    assert mutation is not mutations.cut or all(body.startswith(damaged) for damaged in found)
