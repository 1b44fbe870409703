from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from cxr_predictor.occlusion import LUNGS, OF_EACH_CLASS, choose, draw_sheet, lungs_only, occlusion_map, without_lungs
from cxr_predictor.pictures import SIDE
from cxr_snapshot.audit.probes import visible


def gray(value: int = 200) -> np.ndarray:
    return np.full((SIDE, SIDE), value, np.uint8)


def test_the_lungs_are_where_the_audit_blacks_them_out() -> None:
    scale = SIDE // 32
    seen = np.kron(visible("no_lungs"), np.ones((scale, scale), bool))
    assert ((without_lungs(gray()[None])[0] > 0) == seen).all()
    assert ((lungs_only(gray()[None])[0] > 0) == ~seen).all()


def test_the_map_is_highest_where_the_score_rests() -> None:
    def scores(pictures: np.ndarray) -> np.ndarray:
        marked = pictures[:, 40:48, 80:88].mean(axis=(1, 2)) / 255
        return np.stack([marked, 1 - marked, np.zeros(len(pictures))], axis=1)

    picture = gray(50)
    picture[40:48, 80:88] = 255
    found = occlusion_map(scores, picture, 0)
    top, left = np.unravel_index(found.argmax(), found.shape)
    assert 32 <= top < 56 and 72 <= left < 96
    assert found[100:, :60].max() == 0
    assert (occlusion_map(scores, picture, 1) == -found).all()


def test_nobody_picks_the_images() -> None:
    rows = pd.DataFrame({"sha256": ["d", "a", "c", "b", "e"], "class": ["COVID"] * 4 + ["NORMAL"]}, index=range(10, 15))
    assert choose(rows) == [1, 3, 2, 4]
    assert OF_EACH_CLASS == 3


def test_the_sheet_is_a_png_and_equal_arguments_give_equal_bytes() -> None:
    fall = np.zeros((SIDE, SIDE))
    fall[LUNGS] = 0.5
    sheets = [draw_sheet([gray()] * 4, [fall, -fall, fall * 0, fall], ["a", "b", "c", "d"], "What") for _ in range(2)]
    assert sheets[0] == sheets[1]
    with Image.open(io.BytesIO(sheets[0])) as image:
        assert image.format == "PNG"
        assert image.width > 3 * 2 * 2 * SIDE
