"""Damaged and hostile archives for the clients: codeload's tar.gz, Kaggle's zip."""

from __future__ import annotations

import re
import tarfile
import zipfile
from dataclasses import replace
from random import Random

from fuzz import mutations
from fuzz.upstreams import ask_github, ask_kaggle, gzipped, tar, zipped
from support.wire import Answer

SECONDS = 20.0  # of processor time, the most that the clients may take with one archive

_BYTES = (mutations.cut, mutations.flip, mutations.insert, mutations.delete, mutations.repeat, mutations.zero)
_BLOCK = 512  # bytes of a tar's header
# Where a header of a tar has its fields: first byte and length.
_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "kind": (156, 1),
    "link": (157, 100),
    "magic": (257, 8),
}
_SIZES = (b"77777777777\0", b"\x80" + b"\xff" * 11, b"-1", b"99999999999\0", b"\0" * 12, b"00000000001\0", b"\xff" * 12)
_NAMES = (b"../../x", b"/etc/passwd", b"\xff\xfe", b"a\nb", b"", b"x" * 100, b"covid-x/images/a.jpg")
_MARKS = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
_ODD = (b"\0", b"\xff", b"\x7f", b"\x80", b"\x01")


def check(random: Random) -> str:
    """Damage an archive; return what the client made of it."""
    if random.random() < 0.5:
        packed = _damaged_tar(random)
        damage = {"archive": lambda answer: replace(answer, body=packed)}
        if random.random() < 0.3:
            damage["raw"] = lambda _: Answer(status="404")
        return f"tar {ask_github(random, damage)}"
    body = _damaged_zip(random)
    return f"zip {ask_kaggle({'zip': lambda _: Answer(body)}, announced=False)}"


def _damaged_tar(random: Random) -> bytes:
    body = tar(random.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)))
    if random.random() < 0.2:
        return mutations.apply(random, gzipped(body), _BYTES)
    for _ in range(random.choice((1, 1, 2, 4))):
        body = random.choice((_field, _field, _field, _block, _bytes))(random, body)
    return gzipped(body)


def _field(random: Random, body: bytes) -> bytes:
    """Write something else into a header, with the right sum, so that readers believe it."""
    starts = [match.start() - 257 for match in re.finditer(b"ustar", body) if match.start() >= 257]
    if not starts:
        return body
    start, name = random.choice(starts), random.choice(list(_FIELDS))
    place, length = _FIELDS[name]
    values = {
        "size": _SIZES,
        "name": _NAMES,
        "link": _NAMES,
        "kind": tuple(bytes([sign]) for sign in b"0123456789gxLKSNV\0Z"),
    }
    value = random.choice(values.get(name, (random.randbytes(length),)))[:length].ljust(length, b"\0")
    header = bytearray(body[start : start + _BLOCK].ljust(_BLOCK, b"\0"))
    header[place : place + length] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return body[:start] + bytes(header) + body[start + _BLOCK :]


def _block(random: Random, body: bytes) -> bytes:
    """Repeat, delete or move a block."""
    blocks = [body[place : place + _BLOCK] for place in range(0, len(body), _BLOCK)]
    block = blocks.pop(random.randrange(len(blocks)))
    for _ in range(random.choice((0, 1, 2))):
        blocks.insert(random.randint(0, len(blocks)), block)
    return b"".join(blocks)


def _bytes(random: Random, body: bytes) -> bytes:
    return mutations.apply(random, body, _BYTES)


def _damaged_zip(random: Random) -> bytes:
    body = zipped(random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    for _ in range(random.choice((1, 1, 2, 4))):
        body = random.choice((_entry, _entry, _entry, _bytes))(random, body) if body else body
    return body


def _entry(random: Random, body: bytes) -> bytes:
    """Write something else into a field of one of the zip's tables."""
    mark = random.choice(_MARKS)
    starts = [match.start() for match in re.finditer(re.escape(mark), body)]
    if not starts:
        return body
    place, length = random.choice(starts) + random.randint(4, 45), random.choice((1, 2, 4))
    value = random.choice((random.randbytes(length), random.choice(_ODD) * length))
    return body[:place] + value + body[place + length :]
