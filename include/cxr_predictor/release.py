"""Where a model goes: into a folder, or for good beside the snapshots, at ``models/<edition>/<version>/``.

All files are made before the first is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_predictor.errors import PredictorError
from cxr_predictor.making import METRICS, Origin, make
from cxr_predictor.published import edition_and_version, find_snapshot, models_of, snapshots_of, stored
from cxr_predictor.publishing import publish, with_sums
from cxr_snapshot import shown
from cxr_snapshot.catalog.reading import resolve
from cxr_snapshot.publication.versions import is_complete
from cxr_snapshot.store.objects import Store

log = shown.logger(__name__)


def train_to_folder(snapshot: str, folder: Path, judges: str | None, seed: int) -> dict[str, Any]:
    """Train on a snapshot and write the model to a new or empty folder.

    Args:
        snapshot: as :func:`find_snapshot` takes it.
        folder: what gets the files.
        judges: another snapshot, or nothing.
        seed: of all that is drawn.

    Returns:
        As :func:`train_and_publish`, without ``edition`` and ``version``.

    Raises:
        PredictorError: the folder holds something, or the snapshot cannot be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PredictorError(f"{folder} is not empty. Choose a new folder.")
    files = make(Origin(find_snapshot(snapshot), find_snapshot(judges) if judges else None, seed))
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in with_sums(files).items():
        (folder / name).write_bytes(body)
    return _summary(json.loads(files[METRICS]), {"uri": str(folder), "new": True})


def train_and_publish(store: Store, snapshot: str, judges: str | None, seed: int) -> dict[str, Any]:
    """Train on a snapshot and publish the model beside it.

    Args:
        store: holds the snapshot; receives the model.
        snapshot: ``[EDITION/]VERSION``.
        judges: another snapshot, or nothing.
        seed: of all that is drawn.

    Returns:
        ``uri`` of the model, whether it is ``new``, ``edition``, ``version`` and the main figures.

    Raises:
        PredictorError: the snapshot cannot be used, or another model of it was published.
        PublishConflictError: somebody else is publishing one.
    """
    if (parts := edition_and_version(snapshot)) is None:
        raise PredictorError(
            f"a model of {snapshot} cannot be published, as it names no version. Write it to a folder: --out."
        )
    edition, version = parts
    version = resolve(snapshots_of(store, edition), version)
    judge = find_snapshot(judges, lambda: store) if judges else None
    origin = Origin(stored(snapshots_of(store, edition), version), judge, seed)
    models = models_of(store, edition)
    facts = {"uri": models.uri(f"{version}/"), "edition": edition, "version": version}
    if is_complete(models, version):
        metrics = stored(models, version).get_json(METRICS)
        if metrics["made_from"] != origin.facts():
            raise PredictorError(
                f"{facts['uri']} holds a model that was made with another seed, recipe or judge. A model that is "
                "published never changes; write this one to a folder: --out."
            )
        log.info("%s was published before", facts["uri"])
        return _summary(metrics, facts | {"new": False})
    files = make(origin)
    publish(models, version, files)
    return _summary(json.loads(files[METRICS]), facts | {"new": True})


def _summary(metrics: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    outside = metrics["outside"] or {}
    return {
        **facts,
        "synthetic": metrics["synthetic"],
        "balanced_accuracy": metrics["inside"]["balanced_accuracy"],
        "normal_adults_called_covid": outside.get("normal_adults_called_covid"),
    }
