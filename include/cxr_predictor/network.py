"""The network: small, since there are a few hundred patients to learn from."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from cxr_predictor.pictures import SIDE
from cxr_snapshot.tables import CLASSES

_FILTERS = (32, 64, 96, 128)
_BATCH = 64  # pictures that are judged at a time


def build_network() -> Any:
    """Return the network with its first weights: gray pictures of 0 to 1 in, a probability for each class out."""
    picture = flow = keras.Input((SIDE, SIDE, 1))
    flow = layers.Conv2D(16, 5, strides=2, padding="same", use_bias=False)(flow)
    flow = _settled(flow)
    for filters in _FILTERS:
        flow = layers.Conv2D(filters, 3, padding="same", use_bias=False)(flow)
        flow = _settled(flow)
    flow = layers.GlobalAveragePooling2D()(flow)
    flow = layers.Dropout(0.3)(flow)
    return keras.Model(picture, layers.Dense(len(CLASSES), activation="softmax")(flow), name="cxr_predictor")


def scores(network: Any, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the probabilities of the classes, a row for each picture.

    Args:
        network: from :func:`build_network`.
        pictures: gray levels, ``SIDE`` x ``SIDE`` each.
    """
    found = []
    for start in range(0, len(pictures), _BATCH):
        part = pictures[start : start + _BATCH]
        # Always as many, so that the program for them is made once.
        whole = np.concatenate([part, np.zeros((_BATCH - len(part), SIDE, SIDE), np.uint8)])
        found.append(np.asarray(network.predict_on_batch(as_input(whole)), np.float64)[: len(part)])
    return np.concatenate(found) if found else np.zeros((0, len(CLASSES)))


def as_input(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return pictures as the network takes them."""
    return (pictures[..., None] / 255).astype(np.float32)


def _settled(flow: Any) -> Any:
    """Normalise by group, not by batch: a batch of a small snapshot is too small; then halve the picture."""
    return layers.MaxPooling2D(2)(layers.Activation("relu")(layers.GroupNormalization(8)(flow)))
