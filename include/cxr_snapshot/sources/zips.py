"""Zips from outside: what is in them, what of it is a copy or litter, and reading it without trusting it."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath

from cxr_snapshot.sources.base import UpstreamFile
from cxr_snapshot.sources.http import CHUNK, BadAnswerError
from cxr_snapshot.sources.identities import rule_of_file, spelt_out

MAX_MEMBERS = 100_000
MAX_CONTENTS = 16 * 1024**2  # bytes of the table of contents, of which zipfile makes objects before anybody can look
MAX_TOTAL = 20 * 1024**3  # bytes, of the zip and of all files together
MAX_RATIO = 200  # bytes of all files together to one byte of the zip

_ENCRYPTED = 0x1  # a bit of a member's flags


@dataclass(frozen=True)
class Member:
    """One file in a zip, and the rule by which it is ignored, if any."""

    info: zipfile.ZipInfo
    ignored: str | None


def list_members(file: Path) -> list[Member]:
    """Return every file in the zip ``file`` by path, without its folders.

    Raises:
        BadAnswerError: it is no zip, or one that must not be unpacked.
    """
    with _opened(file) as archive:
        return classify(archive.infolist(), file.stat().st_size)


def read_members(file: Path, members: Iterable[Member]) -> Iterator[UpstreamFile]:
    """Yield ``members`` of the zip ``file``, all but the ignored ones with their bodies.

    Raises:
        BadAnswerError: bytes do not match their CRC-32.
    """
    with _opened(file) as archive:
        for member in members:
            info = member.info
            body = None if member.ignored else _body(archive, info)
            name = f"crc32:{info.CRC:08x}:{info.file_size}"
            yield UpstreamFile(spelt_out(info.filename), info.file_size, name, body, member.ignored)


def check_every_byte(file: Path) -> None:
    """Read the whole zip.

    Raises:
        BadAnswerError: something in it does not match its CRC-32.
    """
    with _opened(file) as archive:
        for member in classify(archive.infolist(), file.stat().st_size):
            if member.ignored != "too_large":
                _body(archive, member.info)


def classify(infos: Iterable[zipfile.ZipInfo], size: int) -> list[Member]:
    """Check the table of contents of a zip of ``size`` bytes, and say which files to ignore, by the names of rules.

    Kaggle's zips often hold a second copy of everything, one folder deeper: ``a/a/b.jpg`` beside ``a/b.jpg``, at the
    top or in a folder. Such a file is a nested copy where the other one has the same size and CRC-32; else it is a file
    like any other.

    Raises:
        BadAnswerError: an encrypted file, a path that leads out of the zip or comes twice, an unusual compression, or
            more than the limits of this module.
    """
    files = sorted((info for info in infos if not info.filename.endswith("/")), key=lambda info: info.filename)
    by_path = {info.filename: info for info in files}
    _check_limits(files, size)
    for info in files:
        _check_member(info, size)
    if len(by_path) < len(files):
        raise BadAnswerError("the zip holds two files of the same path")
    return [Member(info, _rule(info, by_path)) for info in files]


def _check_limits(files: list[zipfile.ZipInfo], size: int) -> None:
    unpacked = sum(info.file_size for info in files)
    if len(files) > MAX_MEMBERS:
        raise BadAnswerError(f"the zip holds {len(files)} files; the limit is {MAX_MEMBERS}")
    if unpacked > MAX_TOTAL:
        raise BadAnswerError(f"the zip unpacks to {unpacked} bytes; the limit is {MAX_TOTAL}")
    if unpacked > MAX_RATIO * size:  # of the zip itself: what its table says of packed sizes may be false
        raise BadAnswerError(f"the zip unpacks to more than {MAX_RATIO} times its size")


def _check_member(info: zipfile.ZipInfo, size: int) -> None:
    path, windows = PurePosixPath(info.filename), PureWindowsPath(info.filename)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise BadAnswerError(f"the zip holds a path that leads out of it: {info.filename!r}")
    if not info.filename or not 0 <= info.header_offset < size:
        raise BadAnswerError(f"{info.filename!r} in the zip lies nowhere")
    if info.flag_bits & _ENCRYPTED:
        raise BadAnswerError(f"{info.filename!r} in the zip is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadAnswerError(f"{info.filename!r} in the zip is compressed by method {info.compress_type}")


def _rule(info: zipfile.ZipInfo, by_path: dict[str, zipfile.ZipInfo]) -> str | None:
    *folders, name = info.filename.split("/")
    if "__MACOSX" in folders or name == ".DS_Store" or name.startswith("._"):
        return "mac_metadata"
    if rule := rule_of_file(info.filename, info.file_size):
        return rule
    for place, (one, other) in enumerate(pairwise(folders)):
        twin = by_path.get("/".join([*folders[:place], *folders[place + 1 :], name])) if one == other else None
        if twin and (twin.CRC, twin.file_size) == (info.CRC, info.file_size):
            return "nested_copy"
    return None


def _body(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    body = io.BytesIO()
    with archive.open(info) as stream:
        # zipfile unpacks no more than is announced, and compares the CRC-32 when the end is reached. In pieces, because
        # it would hold two copies of what it reads at once.
        while part := stream.read(CHUNK):
            body.write(part)
    if body.tell() != info.file_size:
        raise BadAnswerError(f"{info.filename!r} in the zip is cut off")
    return body.getvalue()


class _Guarded(io.BufferedReader):
    """Refuses to be read whole, as zipfile reads the table of contents, where that is too much."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_CONTENTS:
            raise zipfile.BadZipFile(f"its table of contents has more than {MAX_CONTENTS} bytes")
        return super().read(size)


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with _Guarded(file.open("rb", buffering=0)) as raw, zipfile.ZipFile(raw) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise BadAnswerError(f"the zip is damaged ({error})") from error
