"""Applies a model to image files, which may be anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxr_predictor.card import WARNING
from cxr_predictor.errors import PredictorError
from cxr_predictor.making import METRICS, MODEL
from cxr_predictor.network import scores
from cxr_predictor.pictures import from_file
from cxr_predictor.published import Published
from cxr_predictor.training import load_network
from cxr_snapshot.audit.words import DRAWINGS
from cxr_snapshot.inspection.decoding import DefectError
from cxr_snapshot.inspection.forms import form_of_pictures
from cxr_snapshot.tables import CLASSES

MAX_BYTES = 64_000_000  # of an image file; a snapshot holds no larger one


def predict(model: Published, files: Sequence[Path]) -> dict[str, Any]:
    """Return what a model says of image files.

    Returns:
        ``warning``, ``model``, and ``images``: for each ``file`` the probability of each class as ``scores``, or the
        ``problem`` because of which it has none.

    Raises:
        PredictorError: the model is not whole.
    """
    network = load_network(model.get(MODEL))
    metrics = model.get_json(METRICS)
    form, drawings = form_of_pictures(metrics["settings"]), metrics["synthetic"]
    images: list[dict[str, Any]] = []
    for file in files:
        try:
            found = scores(network, from_file(_read(file), form)[np.newaxis])[0]
        except (PredictorError, DefectError) as error:
            problem = ": ".join(error.args) if isinstance(error, DefectError) else str(error)
            images.append({"file": str(file), "problem": problem})
        else:
            images.append(
                {
                    "file": str(file),
                    "scores": {name: round(float(p), 4) for name, p in zip(CLASSES, found, strict=True)},
                }
            )
    warning = f"{WARNING} The model was trained on generated data. {DRAWINGS}" if drawings else WARNING
    return {"warning": warning, "model": model.address, "images": images}


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as body:
            found = body.read(MAX_BYTES + 1)
    except OSError as error:
        raise PredictorError(f"cannot be read: {error.strerror}") from None
    if len(found) > MAX_BYTES:
        raise PredictorError(f"is larger than {MAX_BYTES:,} bytes")
    return found
