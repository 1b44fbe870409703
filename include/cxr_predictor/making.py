"""The whole way from a snapshot to the files of a model; nothing here knows where they go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as version_of
from typing import Any

import pandas as pd

from cxr_predictor import occlusion
from cxr_predictor.card import model_card
from cxr_predictor.metrics import Floats, Judged, measure, measure_accuracy
from cxr_predictor.network import scores
from cxr_predictor.occlusion import Scores
from cxr_predictor.outside import choose_judges, measure_outside
from cxr_predictor.published import Published
from cxr_predictor.snapshots import SPLITS, Snapshot, check_size, groups_by_class, read_snapshot
from cxr_predictor.training import RECIPE, Trained, model_bytes, train
from cxr_snapshot import shown
from cxr_snapshot.store.encoding import csv_bytes, json_bytes
from cxr_snapshot.tables import CLASSES

log = shown.logger(__name__)

MODEL, METRICS, CARD = "model.keras", "metrics.json", "README.md"
MAPS, PREDICTIONS = "occlusion.png", "predictions.csv"


@dataclass(frozen=True)
class Origin:
    """All that decides what a model is: the snapshot, the one whose images judge it, if there is one, and the seed."""

    snapshot: Published
    judges: Published | None
    seed: int

    def facts(self) -> dict[str, Any]:
        """Return recipe, seed, and the SHA-256 of both manifests."""
        manifests = [
            each and each.get_json("snapshot.json")["manifest_sha256"] for each in (self.snapshot, self.judges)
        ]
        return {"recipe": RECIPE, "seed": self.seed, "snapshot": manifests[0], "judges": manifests[1]}


def make(origin: Origin) -> dict[str, bytes]:
    """Train and measure a model, and return its files by name; the same origin gives the same ones on one machine.

    Raises:
        TooFewPatientsError: the snapshot is too small.
        DamagedModelError: a file of a snapshot is not what was published.
    """
    snapshot = read_snapshot(origin.snapshot)
    check_size(snapshot)
    parts = {name: snapshot.split(name) for name in SPLITS}
    log.info("training: %s", ", ".join(f"{len(part.rows)} images {name}" for name, part in parts.items()))
    trained = train(parts["train"], parts["validation"], origin.seed)
    tell = partial(scores, trained.network)
    test = parts["test"]
    found = tell(test.pictures)
    outside, judged = _outside(origin, snapshot, tell)
    metrics = {
        "schema_version": 1,
        **{name: snapshot.facts[name] for name in ("version", "uri", "settings")},
        "synthetic": snapshot.facts.get("synthetic", False),
        "audit": snapshot.facts["audit"]["headline"],
        "made_from": origin.facts(),
        "made_with": {name: version_of(name) for name in ("jax", "keras", "numpy")},
        "training": _training(trained, parts),
        "inside": _inside(test, found, tell, origin.seed),
        "outside": outside,
    }
    return {
        MODEL: model_bytes(trained.network, snapshot.facts["created"]),
        METRICS: json_bytes(metrics),
        PREDICTIONS: csv_bytes(pd.concat([_predictions("test", test.rows, found), *judged], ignore_index=True)),
        MAPS: _maps(test, found, tell, metrics),
        CARD: model_card(metrics, origin.snapshot.get("README.md").decode()),
    }


def _training(trained: Trained, parts: Mapping[str, Snapshot]) -> dict[str, Any]:
    return {
        "parameters": trained.network.count_params(),
        "epochs": trained.epochs,
        "best_epoch": trained.best,
        "validation_cross_entropy": round(trained.validation_loss, 4),
        "images": {
            name: {kind: int(part.rows["class"].eq(kind).sum()) for kind in CLASSES} for name, part in parts.items()
        },
        "patients": {name: groups_by_class(part.rows) for name, part in parts.items()},
    }


def _inside(test: Snapshot, found: Floats, tell: Scores, seed: int) -> dict[str, Any]:
    """Return the figures of the split ``test``, and the accuracy when the lungs, or all else, is blacked out."""
    labels, groups = test.rows["label"].to_numpy(), list(test.rows["group"])
    covered = {
        "without_lungs": occlusion.without_lungs(test.pictures),
        "lungs_only": occlusion.lungs_only(test.pictures),
    }
    accuracies = {
        name: measure_accuracy(Judged(labels, tell(pictures), groups), seed) for name, pictures in covered.items()
    }
    return measure(Judged(labels, found, groups), seed) | accuracies


def _outside(origin: Origin, snapshot: Snapshot, tell: Scores) -> tuple[dict[str, Any] | None, list[pd.DataFrame]]:
    """Return the figures of the judges, if there are any, and what the model says of each."""
    if origin.judges is None:
        return None, []
    judges = choose_judges(read_snapshot(origin.judges), snapshot.rows)
    found = tell(judges.pictures)
    about = {name: judges.facts[name] for name in ("version", "uri")}
    return about | measure_outside(judges.rows, found, origin.seed), [_predictions("outside", judges.rows, found)]


def _predictions(where: str, rows: pd.DataFrame, found: Floats) -> pd.DataFrame:
    """Return what the model says of images: ``where`` it met them, what they are, and the probability of each class."""
    table = rows[["sha256", "class", "source", "patient_id"]].reset_index(drop=True)
    table.insert(0, "where", where)
    return table.assign(**{f"p_{name}": found[:, label].round(4) for label, name in enumerate(CLASSES)})


def _maps(test: Snapshot, found: Floats, tell: Scores, metrics: Mapping[str, Any]) -> bytes:
    chosen = occlusion.choose(test.rows)
    named = found.argmax(axis=1)
    maps = [occlusion.occlusion_map(tell, test.pictures[place], int(named[place])) for place in chosen]
    titles = [
        f"{test.rows['class'][place]}, named {CLASSES[named[place]]} ({found[place].max():.0%})" for place in chosen
    ]
    what = "drawings, no X-rays" if metrics["synthetic"] else "test images"
    heading = f"What the predictor of {metrics['version']} rests on, {what}. Red: covered there, its score falls."
    return occlusion.draw_sheet([test.pictures[place] for place in chosen], maps, titles, heading)
