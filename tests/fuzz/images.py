"""Damaged pictures for ``inspect_image``."""

from __future__ import annotations

import functools
import io
import re
from random import Random

import numpy as np
import pandas as pd
from PIL import Image

from cxr_snapshot.inspection.decoding import inspect_image
from cxr_snapshot.selection.rules import REASONS
from cxr_snapshot.tables import INSPECTION_SCHEMA, conform
from fuzz import mutations
from upstream_simulator.phantom import draw

SECONDS = 20.0  # of processor time, the most that one picture may take

_SIZE = (112, 96)  # pixels
_FORMS = (
    ("L", "JPEG", {"quality": 80}),
    ("RGB", "JPEG", {"quality": 80, "progressive": True}),
    ("RGB", "JPEG", {"quality": 60, "restart_marker_rows": 1}),
    ("CMYK", "JPEG", {}),
    ("L", "PNG", {}),
    ("RGB", "PNG", {}),
    ("RGBA", "PNG", {}),
    ("P", "PNG", {}),
    ("1", "PNG", {}),
    ("I;16", "PNG", {}),
    ("RGB", "WEBP", {"quality": 80}),
    ("RGBA", "WEBP", {"lossless": True}),
)
_DAMAGE = (
    *(mutations.flip, mutations.flip_start, mutations.insert, mutations.delete, mutations.repeat, mutations.zero),
)


def check(random: Random) -> str:
    """Inspect one damaged picture; return what was found: a rule, or ``sound``.

    Raises:
        AssertionError: the answer is not as documented, or a picture that was cut short passed.
    """
    name, body = random.choice(originals())
    is_cut = random.random() < 0.4
    damaged = mutations.cut(random, body) if is_cut else mutations.apply(random, body, _DAMAGE)
    facts = inspect_image(damaged)
    conform(pd.DataFrame([{"sha256": "any"} | facts]), INSPECTION_SCHEMA)
    problem = facts.get("problem")
    if is_cut:
        allowed = ("truncated_or_damaged", "not_an_image")
        assert problem in allowed, f"{name} cut from {len(body)} to {len(damaged)} bytes is {problem or 'sound'}"
    if problem is None:
        assert re.fullmatch("[0-9a-f]{64}", facts["phash"])
        assert re.fullmatch("[0-9a-f]{64}", facts["pixel_sha256"])
        assert min(facts["width"], facts["height"]) > 0
        assert facts["format"]
        assert facts["mode"]
        return "sound"
    assert problem in REASONS, f"{problem} is no rule"
    assert facts["detail"], "no word on what was found"
    return str(problem)


@functools.cache
def originals() -> list[tuple[str, bytes]]:
    """Return the sound pictures that are damaged, with the name of their form."""
    found = []
    for number, (mode, file_format, options) in enumerate(_FORMS):
        picture = Image.fromarray(draw("covid", np.random.default_rng(number))).resize(_SIZE)
        file = io.BytesIO()
        picture.convert("I").convert(mode).save(file, file_format, **options) if mode == "I;16" else picture.convert(
            mode
        ).save(file, file_format, **options)
        assert "problem" not in inspect_image(file.getvalue())
        found.append((f"{file_format} {mode}", file.getvalue()))
    return found
