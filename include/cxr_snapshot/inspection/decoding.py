"""Decodes every image once, completely, and records what it is. Type is judged by content, never by file name."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cxr_snapshot.inspection.pixels import contrast, describe, make_plain, shrink, turn_upright

# What both upstreams hold and every browser shows. Pillow's other decoders stay shut: each is a door for hostile
# files, and some of them take a file that was cut for a whole one.
FORMATS = ("JPEG", "PNG", "WEBP")

# Of the pixels when decoded; a full-size digital radiograph has about 15 million. Decoding holds up to three times as
# many for a while. All threads of a process together decode no more at a time.
MAX_BYTES = 100_000_000
_BYTES = {"1": 1, "L": 1, "I;16": 2}  # of a pixel, by Pillow's mode
_COLOUR_BYTES = 4  # of a pixel in all other modes
_WEBP_BYTES = 8  # in all modes: its decoder holds several copies

MIN_SIDE = 64  # pixels; below that there is no chest to see
MAX_RATIO = 10  # of the sides; the longest strip among 600 real images has 3.2
MAX_SCANS = 20  # of a progressive JPEG, each of which goes over all pixels again; encoders write about 10
MIN_CONTRAST = 8  # gray levels of 256; 600 real images have 80 and more

_PNG = b"\x89PNG\r\n\x1a\n"  # how each PNG starts
_TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # chunks that say nothing of the pixels, and can unpack to any size
_MARKER = re.compile(rb"\xff\xff*([^\x00\x01\xd0-\xd7\xff])")  # of a JPEG, but for those that lie in scans
_SCAN, _END = b"\xda", b"\xd9"

# Read out of a JPEG by Pillow's mode of it: simplejpeg's word, and the form in which Pillow takes the pixels.
_JPEG_MODES = {"L": ("GRAY", "L"), "RGB": ("RGB", "RGB"), "CMYK": ("CMYK", "CMYK;I")}


warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # MAX_BYTES is the limit here
# Each image lies in one piece. Pieces of 16 MB, as Pillow makes them else, are kept for the thread that frees them.
Image.core.set_block_size(2**27)  # type: ignore[attr-defined]


class DefectError(Exception):
    """The image breaks a rule.

    Args:
        rule: its name.
        detail: what was found.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(rule, detail)
        self.rule, self.detail = rule, detail


def inspect_image(body: bytes, more: Callable[[Image.Image], dict[str, Any]] | None = None) -> dict[str, Any]:
    """Decode one file completely and describe it.

    Args:
        body: the file's bytes.
        more: says what else is to be made of the pixels of a sound image, which are as :func:`decoded` yields them.

    Returns:
        The columns of ``INSPECTION_SCHEMA`` without ``sha256``, and what ``more`` returns. ``problem`` is the rule that
        the image breaks: ``not_an_image``, ``too_many_pixels``, ``multiple_frames``, ``too_small``,
        ``impossible_shape``, ``too_many_scans``, ``truncated_or_damaged`` or ``invisible``; missing for a sound image.
        Bytes after the proper end of an image are no defect.
        ``format``, ``mode``, ``width`` and ``height`` are the file's own, before it is turned upright.
        ``pixel_sha256``, ``phash`` and ``colour`` are made from what :func:`decoded` yields. ``pixel_sha256`` covers
        width, height and the pixels, 8-bit gray where all are gray, else 8-bit RGB, so that a gray picture saved as
        gray and as colour counts as the same.
    """
    facts: dict[str, Any] = {}
    try:
        image = _open(body)
        facts |= {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
        _check(image, body)
        with _ROOM.take(_size(image)):
            plain = _decode(image, body)
            small = shrink(plain)
            if (levels := contrast(small)) < MIN_CONTRAST:
                raise DefectError("invisible", f"99 % of the visible pixels lie within {levels} gray levels")
            return facts | describe(plain, small) | (more(plain) if more else {})
    except DefectError as error:
        return facts | {"problem": error.rule, "detail": error.detail}


@contextmanager
def decoded(body: bytes) -> Iterator[Image.Image]:
    """Yield a file's pixels as all stages see them: upright, over black, in mode ``L`` or ``RGB``.

    Threads that together would hold too many pixels wait for each other.

    Raises:
        DefectError: it breaks a rule of the inspection, other than ``invisible``.
    """
    image = _open(body)
    _check(image, body)
    with _ROOM.take(_size(image)):
        yield _decode(image, body)


def _open(body: bytes) -> Image.Image:
    """Read what stands before the pixels."""
    with _defects():
        return Image.open(io.BytesIO(_without_text(body) if body.startswith(_PNG) else body), formats=FORMATS)


def _without_text(png: bytes) -> bytes:
    """Return a PNG without comments and colour profiles, as Pillow takes large ones for damage.

    Raises:
        DefectError: it lacks its end or has a wrong checksum; Pillow is content when all pixels are there.
    """
    view, start, name = memoryview(png), len(_PNG), b""
    kept, chunks = [view[:start]], 0
    while name != b"IEND":
        end = start + 12 + int.from_bytes(view[start : start + 4])
        name = bytes(view[start + 4 : start + 8])
        if end > len(png):
            raise DefectError("truncated_or_damaged", f"ends after {len(png)} bytes without the closing IEND")
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise DefectError("truncated_or_damaged", f"the chunk {name!r} at byte {start} has a wrong checksum")
        if name not in _TEXT:
            kept.append(view[start:end])
        start, chunks = end, chunks + 1
    if len(kept) == chunks + 1 and start == len(png):
        return png  # a copy would take as much memory again
    return b"".join(kept)


def _check(image: Image.Image, body: bytes) -> None:
    """Refuse, before any pixel is decoded, what cannot be one radiograph or would take too much to decode."""
    width, height = image.size
    if _size(image) > MAX_BYTES:
        raise DefectError("too_many_pixels", f"{width} x {height} pixels of {image.mode} are over {MAX_BYTES} bytes")
    if (frames := getattr(image, "n_frames", 1)) != 1:
        raise DefectError("multiple_frames", f"{frames} frames")
    if min(width, height) < MIN_SIDE:
        raise DefectError("too_small", f"{width} x {height}: a side is below {MIN_SIDE} pixels")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise DefectError("impossible_shape", f"{width} x {height}: a side is over {MAX_RATIO} times the other")
    if image.format == "JPEG" and (scans := _count_scans(body)) > MAX_SCANS:
        raise DefectError("too_many_scans", f"{scans} scans are over {MAX_SCANS}")


def _count_scans(jpeg: bytes) -> int:
    """Count the scans of a JPEG up to its end.

    Raises:
        DefectError: it has no end.
    """
    scans, start = 0, 2
    while found := _MARKER.search(jpeg, start):
        if found[1] == _END:
            return scans
        scans += found[1] == _SCAN
        start = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2])
    raise DefectError("truncated_or_damaged", f"ends after {len(jpeg)} bytes without an end marker")


def _decode(image: Image.Image, body: bytes) -> Image.Image:
    with _defects():
        return turn_upright(make_plain(_decode_jpeg(image, body) if image.format == "JPEG" else image), image)


def _decode_jpeg(image: Image.Image, body: bytes) -> Image.Image:
    """Decode a JPEG to the same pixels as Pillow does, which keeps its decoder's warnings to itself.

    Raises:
        ValueError: something is wrong with the file, even if all pixels could be made up.
    """
    colours, form = _JPEG_MODES[image.mode]
    space = np.empty((image.height, image.width, len(image.mode)), np.uint8)
    pixels = simplejpeg.decode_jpeg(body, colours, buffer=space, strict=True)
    if pixels.shape != space.shape:
        raise ValueError(f"holds {pixels.shape[1]} x {pixels.shape[0]} pixels, not {image.width} x {image.height}")
    return Image.frombytes(image.mode, image.size, pixels, "raw", form)


def _size(image: Image.Image) -> int:
    size = _WEBP_BYTES if image.format == "WEBP" else _BYTES.get(image.mode, _COLOUR_BYTES)
    return image.width * image.height * size


class _Room:
    """What all threads of a process may decode at a time."""

    def __init__(self, free: int) -> None:
        self._free, self._changed = free, Condition()

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold this many bytes, once they are free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._changed:
                self._free += size
                self._changed.notify_all()


_ROOM = _Room(MAX_BYTES)


@contextmanager
def _defects() -> Iterator[None]:
    """Turn what Pillow raises into defects."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise DefectError("not_an_image", f"no {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise DefectError("too_many_pixels", str(error)) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:  # what Pillow raises on damaged files
        raise DefectError("truncated_or_damaged", f"{type(error).__name__}: {error}"[:200]) from error
