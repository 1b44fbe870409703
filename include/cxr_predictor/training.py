"""Training: shuffled, slightly moved and turned pictures, until the split ``validation`` gets no better."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image

from cxr_predictor.errors import DamagedModelError
from cxr_predictor.network import as_input, build_network, scores
from cxr_predictor.pictures import SIDE
from cxr_predictor.snapshots import Snapshot
from cxr_snapshot import shown

log = shown.logger(__name__)

RECIPE = "1"  # a change of how a model is made must give a new one
SEED = 20200211  # the day on which the disease was named

_LARGEST_BATCH, _FEWEST_BATCHES = 32, 8  # so that a small snapshot changes the weights often enough
_RATE = 1e-3
_STEPS = 600  # so many changes of the weights, in epochs between these two numbers
_FEWEST_EPOCHS, _MOST_EPOCHS = 15, 60
_PATIENCE = 10  # epochs without a better validation before it ends
_TURN, _SHIFT, _CONTRAST = 7.0, 0.05, 0.15  # degrees; of the side; of the gray levels: at most, either way
_DAY = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold, so that equal weights give equal files


@dataclass(frozen=True)
class Trained:
    """A network, and how it came about.

    Attributes:
        network: has the weights of the best epoch.
        epochs: how many were run.
        best: the one with the lowest cross entropy of the split ``validation``.
        validation_loss: that cross entropy.
    """

    network: Any
    epochs: int
    best: int
    validation_loss: float


def train(training: Snapshot, validation: Snapshot, seed: int = SEED) -> Trained:
    """Train a network; the same snapshot and seed give the same one on the same machine."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = build_network()
    network.compile(optimizer=keras.optimizers.AdamW(_RATE), loss="sparse_categorical_crossentropy")
    labels = training.rows["label"].to_numpy()
    # What is left over in an epoch has its turn in another: batches of one size need one program.
    size = min(max(len(labels) // _FEWEST_BATCHES, 1), _LARGEST_BATCH)
    limit = min(max(_STEPS // (len(labels) // size), _FEWEST_EPOCHS), _MOST_EPOCHS)
    best, best_loss, weights = 0, np.inf, network.get_weights()
    epoch = 0
    while epoch < limit and epoch - best < _PATIENCE:
        epoch += 1
        order = rng.permutation(len(labels))
        for start in range(0, len(order) - size + 1, size):
            chosen = order[start : start + size]
            network.train_on_batch(as_input(vary(training.pictures[chosen], rng)), labels[chosen])
        loss = cross_entropy(scores(network, validation.pictures), validation.rows["label"].to_numpy())
        log.info("epoch %d of at most %d: cross entropy of the split validation %.3f", epoch, limit, loss)
        if loss < best_loss:
            best, best_loss, weights = epoch, loss, network.get_weights()
    network.set_weights(weights)
    return Trained(network, epoch, best, best_loss)


def cross_entropy(found: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Return the mean of the negative logarithms of the probabilities that the true classes got."""
    return float(-np.log(found[np.arange(len(labels)), labels].clip(1e-7)).mean())


def vary(pictures: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return pictures, each turned, shifted and changed in contrast a little. None is mirrored: hearts lie left."""
    varied = []
    for picture in pictures:
        turn, across, down, contrast = rng.uniform(-1, 1, 4)
        image = Image.fromarray(picture).rotate(
            turn * _TURN, Image.Resampling.BILINEAR, translate=(across * _SHIFT * SIDE, down * _SHIFT * SIDE)
        )
        gray = np.asarray(image, np.float32)
        varied.append(((gray - gray.mean()) * (1 + contrast * _CONTRAST) + gray.mean()).clip(0, 255).astype(np.uint8))
    return np.stack(varied)


def model_bytes(network: Any, saved: str) -> bytes:
    """Return the network as a file in Keras's own format; equal weights give equal bytes.

    Keras writes the time of day and addresses of memory into it; here the latter are counted, in order.

    Args:
        network: what was trained.
        saved: time to give as that of saving, ISO 8601.
    """
    plain = build_network()  # without what only its training needed
    plain.set_weights(network.get_weights())
    with TemporaryDirectory() as folder:
        plain.save(Path(folder) / "model.keras")
        body = (Path(folder) / "model.keras").read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as old, zipfile.ZipFile(file, "w") as new:
        for name in sorted(old.namelist()):
            content = _with_counted_objects(old.read(name)) if name == "config.json" else old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": saved}, sort_keys=True).encode()
            new.writestr(zipfile.ZipInfo(name, _DAY), content)
    return file.getvalue()


def _with_counted_objects(config: bytes) -> bytes:
    """Return a network's configuration, in which equal objects have equal numbers, from 0 on."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'(?<="shared_object_id": )\d+', lambda found: b"%d" % numbers.setdefault(found[0], len(numbers)), config
    )


def load_network(body: bytes) -> Any:
    """Return the network of :func:`build_network` with the weights of a model's file.

    Nothing else of the file is used, so that no layer, function or code that it names is ever run.

    Raises:
        DamagedModelError: it holds no such weights.
    """
    network = build_network()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        file.write_bytes(body)
        try:
            network.load_weights(file)
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            raise DamagedModelError(f"model.keras holds no weights of this predictor's network: {error}") from error
    return network
