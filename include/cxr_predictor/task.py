"""What the DAG's task calls, in the predictor's environment."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from cxr_predictor.environment import TOO_FEW
from cxr_predictor.errors import TooFewPatientsError
from cxr_predictor.release import train_and_publish
from cxr_predictor.training import SEED
from cxr_snapshot import shown
from cxr_snapshot.settings import Settings
from cxr_snapshot.store.client import open_store

log = shown.logger(__name__)


def run(snapshot: str, judges: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train a model and publish it.

    Args:
        snapshot: ``[EDITION/]VERSION``.
        judges: another snapshot; nothing, or an empty text, for none.
        settings: those that name the store; they win over the environment.

    Returns:
        As :func:`cxr_predictor.release.train_and_publish`. A snapshot that is too small ends the process with the
        status ``TOO_FEW``.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("cxr_predictor").setLevel(logging.INFO)
    try:
        return train_and_publish(open_store(Settings.load(settings)), snapshot, judges or None, SEED)
    except TooFewPatientsError as error:
        log.warning("%s", error)
        sys.exit(TOO_FEW)
