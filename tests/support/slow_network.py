"""A slow network before servers on this machine: a TCP proxy in a process of its own, which waits but changes no byte.

What is sent to a server passes at once. What it answers arrives ``delay`` later, and takes its turn on a line of
``rate``, which all connections share. So a request takes ``delay`` longer, as over a network with that round trip; to
connect takes no longer, and nothing is encrypted, so that a real network is slower still.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

PIECE = 1 << 16  # bytes that take their turn at once
AHEAD = 1024  # pieces of an answer on their way
SLACK = 0.02  # seconds of an idle line that may be made up for: timers ring late, and a real line would not wait


class Line:
    """Says when pieces of answers arrive.

    Args:
        delay: seconds that each piece is on its way.
        rate: bytes a second; ``None`` for any number.
    """

    def __init__(self, delay: float = 0.0, rate: float | None = None) -> None:
        self.delay, self.rate = delay, rate
        self._free = 0.0

    def send(self, now: float, size: int) -> tuple[float, float]:
        """Put ``size`` bytes on the line; return when the next ones may follow, and when these have arrived."""
        if self.rate is None:
            return now, now + self.delay
        self._free = max(self._free, now - SLACK) + size / self.rate
        sent = max(self._free, now)
        return sent, sent + self.delay


@contextmanager
def slow_network(targets: Sequence[str], *, delay: float = 0.0, rate: float | None = None) -> Iterator[list[str]]:
    """Give an address for each of ``targets``, http addresses, that leads there over one :class:`Line`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    places = [(parts.hostname, parts.port) for parts in map(urlsplit, targets)]
    process = context.Process(target=_run, args=(places, delay, rate, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield [f"http://127.0.0.1:{port}" for port in ours.recv()]
    finally:
        process.terminate()
        process.join()


def _run(places: Sequence[tuple[str, int]], delay: float, rate: float | None, ready: Connection) -> None:
    asyncio.run(_serve(places, Line(delay, rate), ready))


async def _serve(places: Sequence[tuple[str, int]], line: Line, ready: Connection) -> None:
    connections: set[asyncio.Task[None]] = set()  # asyncio itself holds no task

    def connected(place: tuple[str, int], client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_connect(place, line, client, to_client))
        connections.add(task)
        task.add_done_callback(connections.discard)

    servers = [await asyncio.start_server(partial(connected, place), "127.0.0.1", backlog=512) for place in places]
    ready.send([server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _connect(
    place: tuple[str, int], line: Line, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
) -> None:
    with suppress(OSError):  # one side went away
        server, to_server = await asyncio.open_connection(*place)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass_on(client, to_server))
                both.create_task(_pass_on_late(server, to_client, line))
        except* OSError:
            pass  # as above
        finally:
            to_server.close()
    to_client.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(PIECE):
        sink.write(piece)
        await sink.drain()
    sink.write_eof()


async def _pass_on_late(source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line) -> None:
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(AHEAD)

    async def deliver() -> None:
        while True:
            arrives, piece = await on_its_way.get()
            await _until(arrives)
            if not piece:
                sink.write_eof()
                return
            sink.write(piece)
            await sink.drain()

    async with asyncio.TaskGroup() as both:
        both.create_task(deliver())
        piece = b"first"
        while piece:
            piece = await source.read(PIECE)
            follows, arrives = line.send(asyncio.get_running_loop().time(), len(piece))
            await on_its_way.put((arrives, piece))
            await _until(follows)


async def _until(time: float) -> None:
    if (rest := time - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(rest)
