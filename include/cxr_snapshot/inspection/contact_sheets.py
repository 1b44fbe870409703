"""Draws pictures in rows, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

PICTURES = 10  # in a row, at most
_FEWEST_COLUMNS = 4  # so that titles have room
_SIDE, _GAP, _TITLE, _LINE = 112, 6, 26, 22  # pixels

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(rows: Mapping[str, Sequence[bytes]], heading: Sequence[str] = ()) -> bytes:
    """Return a JPEG with rows of pictures; equal arguments give equal bytes.

    Args:
        rows: image files by title.
        heading: paragraphs above them.
    """
    row_height = _TITLE + _SIDE + _GAP
    columns = max(_FEWEST_COLUMNS, *(len(bodies) for bodies in rows.values()))
    width, font = _GAP + columns * (_SIDE + _GAP), ImageFont.load_default(16)
    lines = [line for text in heading for line in _wrapped(text, width - 2 * _GAP, font)]
    above = _GAP + len(lines) * _LINE
    sheet = Image.new("L", (width, above + len(rows) * row_height), 255)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _LINE), line, fill=0, font=font)
    for row, (title, bodies) in enumerate(rows.items()):
        top = above + row * row_height
        draw.text((_GAP, top), title, fill=0, font=font)
        for column, body in enumerate(bodies):
            picture = Image.open(io.BytesIO(body)).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (_GAP + column * (_SIDE + _GAP), top + _TITLE))
    jpeg = io.BytesIO()
    sheet.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()


def _wrapped(text: str, width: int, font: _Font) -> list[str]:
    """Break text into lines of so many pixels at most; a longer word stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
