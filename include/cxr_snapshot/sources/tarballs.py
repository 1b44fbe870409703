"""Archives of a repository: tar files, packed by gzip, that are read as they come and never held whole."""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, cast

import requests

from cxr_snapshot.sources.http import CHUNK, Meter

DAMAGED = (tarfile.TarError, EOFError, zlib.error)  # raised where an archive is damaged, or not one
MAX_ARCHIVE = 20 * 1024**3  # bytes, unpacked
MAX_HEADERS = 1024**2  # bytes between two files
_ENDS = 10  # times that tarfile reads on at the end, where it would do so 8 GB long if a false header says so


def archive_members(response: requests.Response) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield path, size in bytes and a function that reads it, of each file in a streamed tar.gz.

    Raises:
        BadAnswerError: it unpacks to more than ``MAX_ARCHIVE`` bytes, or comes too slowly.
        One of ``DAMAGED``: it is damaged, or has more than ``MAX_HEADERS`` bytes of something else between two files.
    """
    stream = _Unpacked(response)
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as archive:
        stream.allowance = MAX_HEADERS
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # else each one is kept
            stream.allowance = MAX_HEADERS + member.size
            if member.isfile():
                yield member.name, member.size, lambda member=member: _content(archive, member)  # type: ignore[misc]


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    body, stream = io.BytesIO(), archive.extractfile(member)
    while stream and (part := stream.read(CHUNK)):  # tarfile itself would hold it twice
        body.write(part)
    return body.getvalue()


class _Unpacked:
    """The unpacked bytes of a gzip answer. No more of them can be read than is allowed, so that no header is giant."""

    def __init__(self, response: requests.Response) -> None:
        self.allowance = MAX_HEADERS
        self._packed = response.raw
        self._gzip = zlib.decompressobj(wbits=31)
        self._meter = Meter(MAX_ARCHIVE)
        self._empty = 0  # how often nothing was left

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        parts, left = [], size
        while left:
            packed = self._gzip.unconsumed_tail or self._packed.read(CHUNK)
            part = self._gzip.decompress(packed, left)
            if not packed and not part:
                self._empty += 1
                if not self._gzip.eof or self._empty > _ENDS:
                    raise EOFError("the archive is cut off")
                break
            parts.append(part)
            left -= len(part)
        self._meter.add(size - left)
        self.allowance -= size - left
        if self.allowance < 0:
            raise tarfile.ReadError("headers are too long")
        return b"".join(parts)
