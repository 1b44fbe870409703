"""Random damage to bytes. All randomness comes from the given generator, so that a case can be had again."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Mutation = Callable[[Random, bytes], bytes]


def cut(random: Random, body: bytes) -> bytes:
    """Leave out the end; near the end as often as anywhere."""
    last = len(body) - 1
    return body[: random.randint(0, last) if random.random() < 0.5 else max(0, last - random.randint(0, 30))]


def flip(random: Random, body: bytes) -> bytes:
    """Change one bit in some places."""
    changed = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def flip_start(random: Random, body: bytes) -> bytes:
    """Change one byte of the header, where formats, sizes and counts stand."""
    changed = bytearray(body)
    changed[random.randrange(min(len(changed), 200))] = random.randrange(256)
    return bytes(changed)


def insert(random: Random, body: bytes) -> bytes:
    """Insert a few random bytes."""
    place = random.randint(0, len(body))
    return body[:place] + random.randbytes(random.choice((1, 2, 4, 50))) + body[place:]


def delete(random: Random, body: bytes) -> bytes:
    """Leave out some bytes in the middle."""
    start = random.randrange(len(body))
    return body[:start] + body[start + random.choice((1, 2, 4, 50, 500)) :]


def repeat(random: Random, body: bytes) -> bytes:
    """Write some bytes twice."""
    start = random.randrange(len(body))
    end = start + random.choice((1, 10, 100, 1000))
    return body[:end] + body[start:]


def zero(random: Random, body: bytes) -> bytes:
    """Blank some bytes, as a disk or a download does that lost a block."""
    start = random.randrange(len(body))
    lost = min(random.choice((1, 16, 512)), len(body) - start)
    return body[:start] + bytes(lost) + body[start + lost :]


def apply(random: Random, body: bytes, mutations: tuple[Mutation, ...]) -> bytes:
    """Apply one to three of ``mutations``, as long as there is something left."""
    for _ in range(random.choice((1, 1, 2, 3))):
        body = random.choice(mutations)(random, body) if body else body
    return body
