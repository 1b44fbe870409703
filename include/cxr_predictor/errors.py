"""The errors of the predictor; see :mod:`cxr_snapshot.errors`."""

from __future__ import annotations

from cxr_snapshot.errors import SnapshotError


class PredictorError(SnapshotError):
    """A model cannot be made, found or used."""


class TooFewPatientsError(PredictorError):
    """A snapshot is too small to train on, or to say how good the model is."""


class DamagedModelError(PredictorError):
    """A file is not the one that was published."""
