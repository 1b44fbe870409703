"""Decodes every image once, completely, and records what it is. Type is judged by content, never by file name."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageChops, ImageStat, UnidentifiedImageError

log = logging.getLogger(__name__)

# What both upstreams hold and every browser shows. Pillow's other decoders stay shut: each is a door for hostile
# files, and some of them take a file that was cut for a whole one.
FORMATS = ("JPEG", "PNG", "WEBP")

MAX_PIXELS = 100_000_000  # a full-size digital radiograph has about 15 million
MIN_SIDE = 64  # pixels; below that there is no chest to see


# The cosine transform down to the 16 slowest waves. In whole numbers the sums are exact, whatever their order, so that
# every machine finds the same bits, in blank parts too: a pixel has 8 bits, and each of the two sums adds 16 + 6, which
# stays below the 53 of floating point.
_SIDE = 64  # pixels that the fingerprint sees
_WAVES = np.rint(2**16 * np.cos(np.pi / 2 / _SIDE * np.outer(np.arange(16), 2 * np.arange(_SIDE) + 1)))

_PNG = b"\x89PNG\r\n\x1a\n"  # how each PNG starts


class _DefectError(Exception):
    """The image breaks a rule; carries the rule's name and what was found."""


def inspect_image(body: bytes) -> dict[str, Any]:
    """Decode one file completely and describe it.

    Args:
        body: the file's bytes.

    Returns:
        The columns of ``INSPECTION_SCHEMA`` without ``sha256``. ``problem`` is one of ``not_an_image``,
        ``too_many_pixels``, ``multiple_frames``, ``too_small``, ``truncated_or_damaged``, or missing for a sound image.
        Bytes after the proper end of an image are no defect.
        ``pixel_sha256`` covers width, height and the pixels, 8-bit gray where all are gray, else 8-bit RGB (deeper
        images: as they are), so that a gray picture saved as gray and as colour counts as the same.
    """
    facts: dict[str, Any] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if body.startswith(_PNG):
                _check_chunks(body)
            file = io.BytesIO(body)
            image = Image.open(file, formats=FORMATS)
            facts |= {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
            _check_shape(image)
            if image.format == "JPEG" and body.rfind(b"\xff\xd9") < file.tell():  # Pillow has read up to the pixels
                raise _DefectError("truncated_or_damaged", f"ends after {len(body)} bytes without an end marker")
            image.load()
        return facts | _describe(image)
    except _DefectError as error:
        rule, detail = error.args
    except UnidentifiedImageError:
        rule, detail = "not_an_image", f"{len(body)} bytes that are no {', '.join(FORMATS)}"
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        rule, detail = "too_many_pixels", str(error)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:  # what Pillow raises on damaged files
        rule, detail = "truncated_or_damaged", f"{type(error).__name__}: {error}"[:200]
    return facts | {"problem": rule, "detail": detail}


def _check_shape(image: Image.Image) -> None:
    """Refuse, before any pixel is decoded, what cannot be one radiograph."""
    if image.width * image.height > MAX_PIXELS:
        raise _DefectError("too_many_pixels", f"{image.width} x {image.height} is over {MAX_PIXELS} pixels")
    if (frames := getattr(image, "n_frames", 1)) != 1:
        raise _DefectError("multiple_frames", f"{frames} frames")
    if min(image.size) < MIN_SIDE:
        raise _DefectError("too_small", f"{image.width} x {image.height}: a side is below {MIN_SIDE} pixels")


def _check_chunks(body: bytes) -> None:
    """Refuse a PNG that lacks its end or has a wrong checksum; Pillow is content when all pixels are there."""
    view, start, name = memoryview(body), len(_PNG), b""
    while name != b"IEND":
        end = start + 8 + int.from_bytes(view[start : start + 4])
        name = bytes(view[start + 4 : start + 8])
        if end + 4 > len(body):
            raise _DefectError("truncated_or_damaged", f"ends after {len(body)} bytes without the closing IEND")
        if zlib.crc32(view[start + 4 : end]) != int.from_bytes(view[end : end + 4]):
            raise _DefectError("truncated_or_damaged", f"the chunk {name!r} at byte {start} has a wrong checksum")
        start = end + 4


def _describe(image: Image.Image) -> dict[str, Any]:
    """Return hashes and colour of a decoded image."""
    deep = image.mode.startswith(("I", "F"))  # one number of more than 8 bits for each pixel
    plain = image if deep or image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")
    light = _to_8_bit(plain) if deep else plain
    small = _shrink(light)
    colour = _colour(small)
    return {
        "pixel_sha256": _pixel_sha256(plain, maybe_gray=colour == 0),
        "phash": _phash(small),
        "colour": colour,
    }


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Spread the range that a deep image uses over 0 to 255; Pillow would cut off all above 255."""
    pixels = np.asarray(image, dtype=np.float64)
    low, high = pixels.min(), pixels.max()
    return Image.fromarray(((pixels - low) * (255 / max(high - low, 1))).astype(np.uint8))


def _shrink(image: Image.Image) -> Image.Image:
    """Return 64 x 64 pixels, each the mean of 4 x 4 that are picked evenly out of its part of the image.

    To average all pixels would take several times as long. Picking moves the fingerprint by 3 of 256 bits on average,
    16 at most (351 real images).
    """
    return image.resize((_SIDE * 4, _SIDE * 4), Image.Resampling.NEAREST).reduce(4)


def _colour(image: Image.Image) -> float:
    """Return the mean difference between the strongest and the weakest channel, in gray levels; 0 for gray."""
    if image.mode == "L":
        return 0.0
    red, green, blue = image.split()
    strongest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    weakest = ImageChops.darker(ImageChops.darker(red, green), blue)
    return round(ImageStat.Stat(ImageChops.subtract(strongest, weakest)).mean[0], 2)


def _phash(small: Image.Image) -> str:
    """Return which waves are above the median, as ``imagehash.phash(small, hash_size=16)`` does in twice the time."""
    waves = _WAVES @ np.asarray(small.convert("L")) @ _WAVES.T
    median = np.sort(waves, axis=None)[waves.size // 2 - 1]  # the lower of the two in the middle: nothing lies between
    return np.packbits(waves > median).tobytes().hex()


def _pixel_sha256(image: Image.Image, *, maybe_gray: bool) -> str:
    pixels = _memory(image) if image.mode == "L" else None
    if image.mode == "RGB" and maybe_gray:
        red, *others = (_memory(band) for band in image.split())
        pixels = red if all(band == red for band in others) else None
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    digest.update(image.tobytes() if pixels is None else pixels)
    return digest.hexdigest()


def _memory(gray: Image.Image) -> pa.Buffer:
    """Return the pixels of an 8-bit gray image, where they lie if Pillow holds them in one piece: a copy costs time."""
    try:
        return pa.array(gray).buffers()[1]
    except ValueError:  # over 16 MiB
        return pa.py_buffer(gray.tobytes())
