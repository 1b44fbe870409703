"""Trains the predictor on the latest snapshot, in the predictor's own environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_predictor.environment import predictor_python, variables
from local_stack.processes import StackError

if TYPE_CHECKING:
    from cxr_snapshot.store.objects import Store


def train(store: Store, models: Path, judges: str | None) -> Path:
    """Train on the latest snapshot, publish the model, and copy it to ``models/<prefix>/<edition>/<version>``.

    Args:
        store: where the snapshots are, and the environment names.
        models: folder that gets the copy.
        judges: another snapshot, or nothing.

    Returns:
        The folder.

    Raises:
        StackError: no model was made; what came of it was printed.
        SnapshotError: as :func:`cxr_snapshot.catalog.download.download`.
    """
    from cxr_predictor.published import models_of
    from cxr_snapshot.catalog.download import download

    command = [str(predictor_python()), "-m", "cxr_predictor", "train", "latest"]
    command += ["--judges", judges] if judges else []
    done = subprocess.run(command, env=variables(os.environ), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise StackError("No model was made; see above.")
    made = json.loads(done.stdout)
    print(done.stdout, end="")
    folder: Path = models / store.prefix / made["edition"] / made["version"]
    download(models_of(store, made["edition"]), made["version"], folder)
    return folder
