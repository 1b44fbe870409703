"""Works on many objects at once, with flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = 32  # of these, as many requests are under way
AHEAD = 128 * 1024**2  # bytes that may wait in memory for their turn

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = THREADS,
    *,
    held: Callable[[Item, Result | None], int] = lambda _item, _result: 0,
    ahead: int = AHEAD,
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` in order, working ahead in threads by at most ``2 * threads`` items.

    Unlike ``Executor.map`` it does not take all items at once, so memory stays flat however many there are. Where
    ``items`` fails, the results of those that came before are yielded first.

    Args:
        work: what is done with each item.
        items: taken one by one.
        threads: how many work.
        held: bytes of memory that an item and its result take, or will take while the result is still ``None``. No
            further item is begun while those that wait hold ``ahead``.
        ahead: bytes.
    """
    iterator, failure, ended = iter(items), None, False
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while not ended and len(pending) < 2 * threads and _held(pending, held) < ahead:
                    try:
                        item = next(iterator)
                    except StopIteration:
                        ended = True
                    except Exception as error:  # noqa: BLE001 - of the iterator, which has ended by it
                        failure, ended = error, True
                    else:
                        pending.append((item, pool.submit(work, item)))
                if not pending:
                    break
                item, future = pending.popleft()
                yield item, future.result()
                del item, future
            if failure:
                raise failure
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _held(pending: Iterable[tuple[Item, Future[Result]]], held: Callable[[Item, Result | None], int]) -> int:
    return sum(held(item, _result(future)) for item, future in pending)


def _result(future: Future[Result]) -> Result | None:
    return future.result() if future.done() and not future.exception() else None
