"""Work ahead stays within its limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cxr_snapshot.store.parallel import AHEAD, bounded_map


def counted(begun: list[int], last: int) -> Iterator[int]:
    for number in range(last):
        begun.append(number)
        yield number


@pytest.mark.parametrize(("held", "ahead"), [(0, 8), (AHEAD // 8, 8), (AHEAD // 3, 4), (AHEAD // 2, 2), (2 * AHEAD, 1)])
def test_no_more_is_begun_than_may_wait(held: int, ahead: int) -> None:
    begun: list[int] = []
    for item, result in bounded_map(str, counted(begun, 20), threads=4, held=lambda _item, _result: held):
        assert result == str(item)
        assert len(begun) <= item + ahead
    assert begun == list(range(20))


def test_results_count_once_they_are_there() -> None:
    begun: list[int] = []
    running = threading.Event()

    def work(item: int) -> str:
        assert item == 0 or running.wait(60)
        return str(item)

    results = bounded_map(work, counted(begun, 4), threads=2, held=lambda _, result: 0 if result else AHEAD // 2)
    next(results)
    assert len(begun) <= 3  # two that are not done hold all that there is
    running.set()
    assert [result for _, result in results] == ["1", "2", "3"]


def test_what_came_before_a_failure_is_yielded_first() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise LookupError("the fourth")

    results: list[str] = []
    with pytest.raises(LookupError, match="the fourth"):
        for _, result in bounded_map(str, items()):
            results.append(result)
    assert results == ["0", "1", "2"]
