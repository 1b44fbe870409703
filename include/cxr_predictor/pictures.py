"""Pictures as the network sees them; those of the shards and those of files are made by the same steps."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL, Form

SIDE = 128  # pixels


def from_shard(png: bytes) -> npt.NDArray[np.uint8]:
    """Return the gray levels of a picture out of a shard, at ``SIDE`` x ``SIDE``."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def from_file(body: bytes, form: Form = SMALL) -> npt.NDArray[np.uint8]:
    """Return what :func:`from_shard` returns of the picture that a snapshot would hold of an image file.

    Args:
        body: the file's bytes.
        form: of the snapshot's pictures.

    Raises:
        DefectError: no snapshot would hold it, such as a damaged file or one with too many pixels.
    """
    with decoded(body) as image:
        return from_shard(form.make(image))
