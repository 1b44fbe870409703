"""Small collections of made-up chest X-rays, clean or with one fault planted."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cxr_snapshot.audit.looks import describe_picture
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.tables import CLASSES
from support.ledgers import ledger, row

PER_CLASS = 40
COLOURS = {"COVID": (200, 60, 60), "NORMAL": (60, 200, 60), "PNEUMONIA": (60, 60, 200)}
SIZES = {"COVID": (600, 500), "NORMAL": (420, 300), "PNEUMONIA": (300, 290)}


@cache
def drawn(number: int, kind: str, fault: str) -> bytes:
    """Return a file whose look has nothing to do with its class, unless the fault is about that."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(40, 216, (6, 6), dtype=np.uint8)
    size = SIZES[kind] if fault == "size" else list(SIZES.values())[rng.integers(3)]
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    if fault == "border":
        edge = image.height // 16
        inside = image.crop((edge, edge, image.width - edge, image.height - edge))
        image = Image.new("RGB", image.size, COLOURS[kind])
        image.paste(inside, (edge, edge))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def look_of(body: bytes) -> dict[str, Any]:
    """Return what the audit sees of an image file."""
    with decoded(body) as image:
        return describe_picture(image, drawn := SMALL.draw(image), len(SMALL.encode(drawn)))


@cache
def collection(fault: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a ledger of equally many images of each class, one patient for each two, and their looks."""
    rows: list[dict[str, Any]] = []
    looks = []
    for number in range(PER_CLASS * len(CLASSES)):
        kind, turn = CLASSES[number % 3], number // 3
        body = drawn(number, kind, fault)
        source = ("covid", "pneumonia")[turn % 2]
        made = row(number, kind, body, source=source, patient_id=f"{source}:{kind}{turn // 4}.{turn % 2}")
        made |= {"group": made["patient_id"], "split": ("train", "train", "test")[turn // 4 % 3]}
        made |= {"view": ("PA", "AP")[turn // 2 % 2], "license": ("CC BY", "CC0")[turn // 4 % 2], "age": 50.0}
        made |= {"finding": {"COVID": "COVID-19", "NORMAL": "No Finding", "PNEUMONIA": "Viral"}[kind]}
        made |= {"path": f"{kind}/{number}.png", "url": f"https://site{turn % 4}.org/{number}"}
        made |= {"phash": np.random.default_rng(number).bytes(32).hex()}
        rows.append(made)
        looks.append({"sha256": made["sha256"]} | look_of(body))
    return ledger(*rows), pd.DataFrame(looks)
