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

    Unlike ``Executor.map`` it does not take all items at once, so memory stays flat however many there are. Where
    ``items`` fails, the results of those that came before are yielded first.
    """
    iterator, failure = iter(items), None
    with ThreadPoolExecutor(threads) as pool:
        try:
            pending: deque[tuple[Item, Future[Result]]] = deque(
                (item, pool.submit(work, item)) for item in itertools.islice(iterator, 2 * threads)
            )
            while pending:
                item, future = pending.popleft()
                yield item, future.result()
                del future
                try:
                    pending.extend((item, pool.submit(work, item)) for item in itertools.islice(iterator, 1))
                except Exception as error:  # noqa: BLE001 - of the iterator, which has ended by it
                    failure = error
            if failure:
                raise failure
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
