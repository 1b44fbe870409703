"""The forms in which images are published beside, or in place of, the upstreams' files.

A *padded* picture keeps the aspect ratio, and is compressed. A *uniform* one is to tell nothing of where it is from but
by what it shows: the whole film squeezed into a square, since borders would show the aspect ratio, and not compressed,
since the size of a compressed file shows how sharp, how noisy and how large the film was. All uniform files of one size
have equally many bytes. What that is worth was measured: ``docs/decisions/0019-uniform-files.md``.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from cxr_snapshot.inspection.pixels import to_gray
from cxr_snapshot.settings import ORIGINAL_FILES, PICTURE_SIZES, UNIFORM_FILES

FILE_SIDE = 512  # pixels of a uniform file

_PNG = b"\x89PNG\r\n\x1a\n"
_BLOCK = 0xFFFF  # bytes, the most that deflate stores in one piece
_GAP = 2.0  # times a padded picture's size: what is larger is first averaged in whole boxes, down to no less than this
_ALIKE = {  # in both forms
    "mode": "8-bit gray",
    "format": "PNG",
    "resampling": "Lanczos",
    "colour": "ITU-R 601 luma; what is transparent becomes black",
    "deeper_than_8_bits": "the levels between which 99 % of the pixels lie, spread evenly over 0 to 255",
    "orientation": "turned upright where EXIF says how",
}


@dataclass(frozen=True)
class Form:
    """How pictures are made.

    Attributes:
        side: width and height in pixels.
        uniform: whether it is the uniform form; else the padded one.
    """

    side: int
    uniform: bool = False

    @property
    def recipe(self) -> str:
        """Name of the form in the store: a change of how pictures are made must give a new one."""
        return f"{self.side}.u1" if self.uniform else f"{self.side}.4"

    @property
    def description(self) -> dict[str, Any]:
        """What ``snapshot.json`` says of it."""
        size = {"recipe": self.recipe, "width": self.side, "height": self.side}
        if not self.uniform:
            padded = {
                "resampling": "means of whole boxes of pixels, down to no less than twice the size; then Lanczos",
                "aspect_ratio": "kept; black borders fill the square",
            }
            return size | _ALIKE | padded
        squeezed = {"aspect_ratio": "not kept; the whole film is squeezed into the square"}
        return size | _ALIKE | squeezed | {"compression": "none; no metadata", "bytes": self.facts["bytes"]}

    @property
    def facts(self) -> dict[str, Any]:
        """The columns of the manifest that are the same for every file of a uniform form."""
        size = len(_stored_png(Image.new("L", (self.side, self.side))))
        return {"bytes": size, "format": "PNG", "mode": "L", "width": self.side, "height": self.side}

    def make(self, image: Image.Image) -> bytes:
        """Make an 8-bit gray PNG of ``side`` x ``side`` pixels; argument as for :meth:`draw`."""
        return self.encode(self.draw(image))

    def draw(self, image: Image.Image) -> Image.Image:
        """Return the picture's pixels, in mode ``L``.

        Args:
            image: what :func:`cxr_snapshot.inspection.decoding.decoded` yields.
        """
        size = (self.side, self.side)
        if self.uniform:
            return to_gray(image).resize(size, Image.Resampling.LANCZOS)
        longer = max(image.size)
        inside = (round(image.width / longer * self.side), round(image.height / longer * self.side))
        # Lanczos alone takes over three times as long for a film of 1,350 x 1,350 pixels.
        small = to_gray(image).resize(inside, Image.Resampling.LANCZOS, reducing_gap=_GAP)
        return ImageOps.pad(small, size, color=0)

    def encode(self, drawn: Image.Image) -> bytes:
        """Return as a file what :meth:`draw` returned."""
        if self.uniform:
            return _stored_png(drawn)
        png = io.BytesIO()
        # In a filtered radiograph zlib finds nothing but runs: a quarter of the time, and 1 % smaller files.
        drawn.save(png, "PNG", compress_type=zlib.Z_RLE)
        return png.getvalue()


SMALL = Form(PICTURE_SIZES[0])  # what shards hold unless the settings say otherwise


def form_of_files(settings: Mapping[str, Any]) -> Form | None:
    """Return the form of the files under ``images/``, ``None`` for the upstreams' own.

    Args:
        settings: of a run or a snapshot; see :meth:`cxr_snapshot.settings.Settings.selection`.
    """
    uniform = settings.get("files", ORIGINAL_FILES) == UNIFORM_FILES
    return Form(FILE_SIDE, uniform=True) if uniform else None


def form_of_pictures(settings: Mapping[str, Any]) -> Form:
    """Return the form of the pictures in the shards, which are as uniform as the files; argument as above."""
    return Form(settings.get("picture_size", SMALL.side), uniform=form_of_files(settings) is not None)


def _stored_png(gray: Image.Image) -> bytes:
    """Return an 8-bit gray image as a PNG that is not compressed.

    Written here and not by Pillow, since another version of its zlib may cut the data into other pieces.
    """
    rows = np.zeros((gray.height, 1 + gray.width), dtype=np.uint8)  # each row after a 0: it is not filtered
    rows[:, 1:] = np.asarray(gray)
    pixels = rows.tobytes()
    pieces = [pixels[start : start + _BLOCK] for start in range(0, len(pixels), _BLOCK)]
    stored = [
        struct.pack("<BHH", number == len(pieces), len(piece), _BLOCK - len(piece)) + piece
        for number, piece in enumerate(pieces, start=1)
    ]
    data = b"\x78\x01" + b"".join(stored) + struct.pack(">I", zlib.adler32(pixels))
    header = struct.pack(">IIBBBBB", gray.width, gray.height, 8, 0, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
