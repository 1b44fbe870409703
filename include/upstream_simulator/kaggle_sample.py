"""The generated counterpart of Kaggle's chest X-ray zip: its folders, forms of names and leftovers."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from upstream_simulator.phantom import Kind, draw

# Some people are in train and in test, as in the real data.
_NORMAL = {
    "train": [
        *(f"IM-{number:04d}-0001.jpeg" for number in range(115, 175, 4)),
        *(f"NORMAL2-IM-{number:04d}-0001.jpeg" for number in range(501, 585, 7)),
        "IM-0231-0001-0001.jpeg",
        "IM-0231-0001-0002.jpeg",
    ],
    "test": [
        *(f"IM-{number:04d}-0001.jpeg" for number in range(1, 15, 2)),
        *(f"NORMAL2-IM-{number:04d}-0001.jpeg" for number in range(272, 284, 3)),
        "NORMAL2-IM-0515-0001-0002.jpeg",
    ],
    "val": [f"NORMAL2-IM-{number}-0001.jpeg" for number in (1427, 1430, 1436, 1438)],
}
_PNEUMONIA = {
    "train": [
        *(f"person{number}_bacteria_{4 * number + part}.jpeg" for number in range(3, 12) for part in (1, 2)),
        *(f"person{number}_virus_{2 * number + 5}.jpeg" for number in range(123, 135)),
        "person1312_bacteria_3317.jpeg",
        "person1312_bacteria_3318.jpeg",
        "person357_virus_734.jpeg",
        "person4_virus_8.jpeg",
    ],
    "test": [
        *(f"person{number}_bacteria_{4 * number + 3}.jpeg" for number in (3, 5, 81, 83, 85)),
        *(f"person{number}_virus_{number + 9}.jpeg" for number in (1, 8, 14, 16, 123)),
        "person357_virus_735.jpeg",
        "person1660_virus_2869.jpeg",
    ],
    "val": [f"person{number}_bacteria_{number + 2928}.jpeg" for number in (1946, 1949, 1951, 1954)],
}
# The same bytes under two names.
_COPIES = {
    "person1312_bacteria_3318.jpeg": "person1312_bacteria_3317.jpeg",
    "person357_virus_735.jpeg": "person357_virus_734.jpeg",
}

# What a Mac leaves in a zip: the file's attributes in AppleDouble form, and the state of its windows.
APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(96)
_DS_STORE = bytes.fromhex("00000001") + b"Bud1" + bytes(6140)


def members(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield the generated zip's members as path and bytes."""
    return with_leftovers(dict(_images(seed)))


def with_leftovers(images: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the members of a zip with these images, by path: the Mac's leftovers, a nested second copy, the images."""
    yield "chest_xray/__MACOSX/._chest_xray", APPLE_DOUBLE
    for path in images:
        folder, name = path.rsplit("/", 1)
        yield f"chest_xray/__MACOSX/{folder}/._{name}", APPLE_DOUBLE
    for folder in ("", "test/", "train/", "val/"):
        yield f"chest_xray/chest_xray/{folder}.DS_Store", _DS_STORE
    for path, body in images.items():
        yield f"chest_xray/{path}", body
    for path, body in images.items():
        yield path, body


def _images(seed: int) -> Iterator[tuple[str, bytes]]:
    labels: tuple[tuple[str, Kind, dict[str, list[str]]], ...] = (
        ("NORMAL", "normal", _NORMAL),
        ("PNEUMONIA", "pneumonia", _PNEUMONIA),
    )
    for label, kind, splits in labels:
        for split, names in splits.items():
            for name in names:
                shown = zlib.crc32(_COPIES.get(name, name).encode())
                body = io.BytesIO()
                picture = draw(kind, np.random.default_rng([seed, 3, shown]))
                Image.fromarray(picture).save(body, "JPEG", quality=82)
                yield f"chest_xray/{split}/{label}/{name}", body.getvalue()
