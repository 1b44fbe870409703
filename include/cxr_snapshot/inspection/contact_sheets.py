"""Draws pictures in rows, for people to look at."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

PICTURES = 10  # in a row, at most
_FEWEST_COLUMNS = 4  # so that titles have room
_SIDE, _GAP, _TITLE = 112, 6, 26  # pixels


def contact_sheet(rows: Mapping[str, Sequence[bytes]]) -> bytes:
    """Return a JPEG with rows of pictures; equal arguments give equal bytes.

    Args:
        rows: image files by title.
    """
    row_height = _TITLE + _SIDE + _GAP
    columns = max(_FEWEST_COLUMNS, *(len(bodies) for bodies in rows.values()))
    size = (_GAP + columns * (_SIDE + _GAP), _GAP + len(rows) * row_height)
    sheet = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    for row, (title, bodies) in enumerate(rows.items()):
        top = _GAP + row * row_height
        draw.text((_GAP, top), title, fill=0, font=font)
        for column, body in enumerate(bodies):
            picture = Image.open(io.BytesIO(body)).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (_GAP + column * (_SIDE + _GAP), top + _TITLE))
    jpeg = io.BytesIO()
    sheet.save(jpeg, "JPEG", quality=85)
    return jpeg.getvalue()
