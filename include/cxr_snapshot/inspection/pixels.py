"""What every stage sees of an image: upright pixels over black, 8-bit gray or RGB; and what describes them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import ExifTags, Image, ImageChops, ImageStat

# What a file's EXIF data says about how it lies, and what turns it upright.
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Between these levels lie all but one pixel in a hundred. A marker that is brighter than all else is not among them.
_DARKEST, _BRIGHTEST = 0.005, 0.995
_ROWS = 256  # of a large image, worked on at a time, to hold no second one in memory

# The cosine transform down to the 16 slowest waves. In whole numbers the sums are exact, whatever their order, so that
# every machine finds the same bits, in blank parts too: a pixel has 8 bits, and each of the two sums adds 16 + 6, which
# stays below the 53 of floating point.
_SIDE = 64  # pixels that the fingerprint sees
_WAVES = np.rint(2**16 * np.cos(np.pi / 2 / _SIDE * np.outer(np.arange(16), 2 * np.arange(_SIDE) + 1)))


def make_plain(image: Image.Image) -> Image.Image:
    """Return a decoded image in mode ``L`` or ``RGB``, black where it is transparent.

    More than 8 bits become 8: the levels between which 99 % of the pixels lie are spread evenly over 0 to 255.
    """
    if image.mode == "I;16":
        return _to_8_bit(image)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        plain = Image.new("RGB", image.size)
        plain.paste(image, mask=image)
        return plain
    image.load()
    return image if image.mode in ("L", "RGB") else image.convert("L" if image.mode == "1" else "RGB")


def turn_upright(image: Image.Image, original: Image.Image) -> Image.Image:
    """Return the image as its original's EXIF data says that it lies; if that cannot be read, as it is."""
    try:
        turn = _TURNS.get(original.getexif().get(ExifTags.Base.Orientation))
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, struct.error):
        turn = None  # no damage of the pixels; viewers show such an image as it lies
    return image if turn is None else image.transpose(turn)


def to_gray(image: Image.Image) -> Image.Image:
    """Return a plain image in mode ``L``."""
    return image if image.mode == "L" else image.convert("L")


def shrink(image: Image.Image) -> Image.Image:
    """Return 64 x 64 pixels, each the mean of 4 x 4 that are picked evenly out of its part of the image.

    To average all pixels would take several times as long. Picking moves the fingerprint by 3 of 256 bits on average,
    16 at most (351 real images).
    """
    return image.resize((_SIDE * 4, _SIDE * 4), Image.Resampling.NEAREST).reduce(4)


def contrast(small: Image.Image) -> int:
    """Return how many gray levels lie between the darkest and the brightest, but for one pixel in a hundred."""
    low, high = _range(np.array(to_gray(small).histogram()))
    return high - low


def describe(image: Image.Image, small: Image.Image) -> dict[str, Any]:
    """Return ``pixel_sha256``, ``phash`` and ``colour`` of a plain image, of which ``small`` is what it shrinks to."""
    colour = _colour(small)
    return {
        "pixel_sha256": _pixel_sha256(image, maybe_gray=colour == 0),
        "phash": _phash(small),
        "colour": colour,
    }


def _to_8_bit(deep: Image.Image) -> Image.Image:
    counts = np.sum([np.bincount(np.asarray(part).ravel(), minlength=2**16) for part in _parts(deep)], axis=0)
    transparent = deep.info.get("transparency", [])  # a level
    counts[transparent] = 0
    low, high = _range(counts)
    if low == high:  # nearly all are equal: what is to be seen, if anything, is in the others
        low, high = np.flatnonzero(counts)[[0, -1]] if counts.any() else (0, 0)
    table = np.rint((np.arange(2**16) - low).clip(0, high - low) * (255 / max(high - low, 1))).astype(np.uint8)
    table[transparent] = 0
    return Image.fromarray(np.concatenate([table[np.asarray(part)] for part in _parts(deep)]))


def _range(counts: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return the levels between which all but one pixel in a hundred lie, from how many pixels have each level."""
    sums = counts.cumsum()
    low = np.searchsorted(sums, _DARKEST * sums[-1], side="right")
    high = np.searchsorted(sums, _BRIGHTEST * sums[-1], side="left")
    return int(min(low, high)), int(high)


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
    digest = hashlib.sha256(f"{image.width}x{image.height}".encode())
    bands = [_memory(band) for band in ([image] if image.mode == "L" else image.split() if maybe_gray else [])]
    if bands and all(band == bands[0] for band in bands[1:]):
        digest.update(bands[0])
    else:
        for part in _parts(image):
            digest.update(part.tobytes())
    return digest.hexdigest()


def _memory(gray: Image.Image) -> pa.Buffer:
    """Return the pixels of an 8-bit gray image where they lie, since a copy costs time."""
    if gray.readonly:  # it uses the memory of another object, and Pillow 12.3 would crash
        return pa.py_buffer(gray.tobytes())
    return pa.array(gray).buffers()[1]


def _parts(image: Image.Image) -> Iterator[Image.Image]:
    """Cut an image into pieces from top to bottom, since each copy of the whole would be memory."""
    for top in range(0, image.height, _ROWS):
        yield image.crop((0, top, image.width, min(top + _ROWS, image.height)))
