"""What the scores rest on: parts of a picture are covered, and it is seen how much the score falls."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from cxr_predictor.pictures import SIDE
from cxr_snapshot.tables import CLASSES

# Where lungs lie in nearly all pictures: what the audit's probe ``no_lungs`` blacks out, rows and columns.
LUNGS = np.s_[SIDE * 2 // 32 : SIDE * 29 // 32, SIDE // 32 : SIDE * 31 // 32]
OF_EACH_CLASS = 3

_PATCH, _STEP = 24, 8  # pixels: side of what is covered, and how far it is moved
_ZOOM, _GAP, _LINE = 2, 8, 20  # pixels on the sheet

Scores = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
Pictures = npt.NDArray[np.uint8]


def without_lungs(pictures: Pictures) -> Pictures:
    """Return pictures with the rectangle black in which the lungs are."""
    covered = pictures.copy()
    covered[:, *LUNGS] = 0
    return covered


def lungs_only(pictures: Pictures) -> Pictures:
    """Return pictures that are black outside of that rectangle."""
    return pictures - without_lungs(pictures)


def choose(rows: pd.DataFrame) -> list[int]:
    """Return the places of some images of each class: those with the lowest SHA-256, so that nobody picked them."""
    ranked = rows.reset_index(drop=True).sort_values("sha256")
    return [int(place) for name in CLASSES for place in ranked.index[ranked["class"].eq(name)][:OF_EACH_CLASS]]


def occlusion_map(scores: Scores, picture: Pictures, label: int) -> npt.NDArray[np.float64]:
    """Return for each pixel by how much the probability of a class falls, in the mean, when a patch over it is covered.

    Args:
        scores: returns the probabilities of the classes for pictures.
        picture: ``SIDE`` x ``SIDE`` gray levels; a patch gets their mean.
        label: number of the class.
    """
    places = [(top, left) for top in _starts() for left in _starts()]
    covered = np.repeat(picture[None], len(places) + 1, axis=0)
    for number, (top, left) in enumerate(places):
        covered[number, top : top + _PATCH, left : left + _PATCH] = round(float(picture.mean()))
    found = scores(covered)[:, label]
    falls, times = np.zeros(picture.shape), np.zeros(picture.shape)
    for (top, left), score in zip(places, found[:-1], strict=True):
        falls[top : top + _PATCH, left : left + _PATCH] += found[-1] - score
        times[top : top + _PATCH, left : left + _PATCH] += 1
    return falls / times


def draw_sheet(
    pictures: Sequence[Pictures], maps: Sequence[npt.NDArray[np.float64]], titles: Sequence[str], heading: str
) -> bytes:
    """Return a PNG: each picture, and beside it the same with its map.

    Red is where covering it makes the score fall, blue where it rises; each picture's strongest effect has the
    strongest colour.
    """
    font, side = ImageFont.load_default(13), SIDE * _ZOOM
    columns = OF_EACH_CLASS
    width, height = 2 * side + _GAP, side + _LINE + _GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * height + _LINE + 2 * _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), heading, fill="black", font=font)
    for number, (picture, fall, title) in enumerate(zip(pictures, maps, titles, strict=True)):
        left = _GAP + number % columns * (width + _GAP)
        top = _LINE + 2 * _GAP + number // columns * height
        draw.text((left, top), title, fill="black", font=font)
        for part, image in enumerate((Image.fromarray(picture).convert("RGB"), _coloured(picture, fall))):
            sheet.paste(image.resize((side, side), Image.Resampling.BILINEAR), (left + part * side, top + _LINE))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _starts() -> list[int]:
    return list(range(0, SIDE - _PATCH + 1, _STEP))


def _coloured(picture: Pictures, fall: npt.NDArray[np.float64]) -> Image.Image:
    strength = fall / max(float(np.abs(fall).max()), 1e-6)
    gray = np.repeat(picture[..., None].astype(np.float64), 3, axis=2)
    colour = np.where(strength[..., None] > 0, [255.0, 0.0, 0.0], [0.0, 80.0, 255.0])
    share: Any = 0.6 * np.abs(strength)[..., None]
    return Image.fromarray((gray * (1 - share) + colour * share).round().astype(np.uint8))
