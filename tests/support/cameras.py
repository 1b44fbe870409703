"""Made-up chest X-rays from two cameras, where COVID-19 shows as a patch; and judges from elsewhere."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cxr_snapshot.audit.looks import SIDE
from cxr_snapshot.tables import CLASSES

PER_CLASS, JUDGES = 60, 20
_SIGNS = {"COVID": (8, 10), "PNEUMONIA": (18, 20)}  # where a class shows, in points


def look(number: int, kind: str, camera: str) -> dict[str, Any]:
    """Return what the external check sees of an image: tissue, the sign of its class, and the shade of its camera."""
    rng = np.random.default_rng(number)
    tissue = Image.fromarray(rng.integers(70, 150, (6, 6), dtype=np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC
    )
    points = np.asarray(tissue).astype(int)
    if kind in _SIGNS:
        top, left = _SIGNS[kind]
        points[top : top + 6, left : left + 6] += 45
    if camera == "A":
        points[:, :4] += 60
    return {"normalised": points.clip(0, 255).astype(np.uint8).tobytes()}


@cache
def snapshot(*, one_camera_for_a_class: bool) -> pd.DataFrame:
    """Return equally many images of each class, with looks; each of another patient.

    Args:
        one_camera_for_a_class: camera A took those of COVID, and B all others; else each took half of every class.
    """
    rows = []
    for number in range(PER_CLASS * len(CLASSES)):
        kind = CLASSES[number % 3]
        camera = ("A" if kind == "COVID" else "B") if one_camera_for_a_class else "AB"[number // 3 % 2]
        source = ("covid", "pneumonia")[number // 6 % 2]
        rows.append(image(number, kind, source) | look(number, kind, camera))
    return pd.DataFrame(rows)


def judges(camera: str = "A", kinds: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Return images of adults from elsewhere, with looks; one camera took them all."""
    numbers = range(1000, 1000 + JUDGES * len(kinds))
    rows = [image(n, kinds[n % len(kinds)], "nih") | look(n, kinds[n % len(kinds)], camera) for n in numbers]
    return pd.DataFrame(rows).assign(linked=False)


def image(number: int, kind: str, source: str) -> dict[str, Any]:
    facts = {"sha256": f"{number:064x}", "class": kind, "source": source, "age": 50.0}
    return facts | {"group": f"{source}:{number}"}
