"""Drawn chests, larger than the sample's, and what copies of them look like."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from cxr_snapshot.inspection.features import Features, describe
from upstream_simulator.phantom import draw

Gray = npt.NDArray[np.uint8]


def chest(number: int) -> Gray:
    """Return a chest of 600 x 600 pixels; each number gives another one."""
    gray = draw(("covid", "normal", "pneumonia")[number % 3], np.random.default_rng(number))
    return np.asarray(cv2.resize(gray, (600, 600), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def lettered(gray: Gray, lines: int = 3) -> Gray:
    """Return a picture with so many lines of letters at the top and at the bottom."""
    gray = gray.copy()
    for row, text in enumerate(("HOSPITAL GENERAL", "PORTABLE AP SUPINE 12:45 R", "80 kV 2 mAs")[:lines]):
        for bottom in (40 + 40 * row, 590 - 40 * row):
            cv2.putText(gray, text, (15, bottom), cv2.FONT_HERSHEY_SIMPLEX, 1, 255, 2)
    return gray


@cache
def family() -> list[Features]:
    """Return descriptions of four chests, each followed by a crop of it and one with letters."""
    grays = [chest(number) for number in range(4)]
    return [describe(each) for gray in grays for each in (gray, gray[30:-30, 30:-30], lettered(gray)[20:])]
