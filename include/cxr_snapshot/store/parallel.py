"""Works on many objects at once, with flat memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` in order, working ahead in threads by at most ``2 * threads`` items.

    Unlike ``Executor.map`` it does not take all items at once, so memory stays flat however many there are.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        try:
            pending: deque[tuple[Item, Future[Result]]] = deque(
                (item, pool.submit(work, item)) for item in itertools.islice(iterator, 2 * threads)
            )
            while pending:
                item, future = pending.popleft()
                yield item, future.result()
                del future
                pending.extend((item, pool.submit(work, item)) for item in itertools.islice(iterator, 1))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
