"""Words that several parts of the audit use, so that they are the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What a level means for the reader.
LEVELS = {
    "strong": "A model can score high by this alone.",
    "some": "This helps a model to score without looking at the disease.",
    "none": "That is not clearly better than guessing.",
    "unmeasured": "",
}
WORST_FIRST = ("strong", "some", "none", "unmeasured")

# What a probe is asked, and of which files of a snapshot; so they stand in ``audit.json``.
CLASSES_QUESTION, CONTROL_QUESTION = "classes", "covid_within_upstream"
WITHIN_QUESTION, COLLECTION_QUESTION = "classes_within_collection", "collection"
ORIGINALS, PICTURES = "originals", "pictures"

# The banner of a snapshot of generated data, and what is short enough for a picture.
DRAWINGS = "Drawings, not X-rays."
SYNTHETIC = (
    f"{DRAWINGS} A program drew these pictures and made up the patients, ages, findings and licences beside them, so "
    "that the pipeline can be tried out. They say nothing of any disease or person: do not train on them, and cite "
    "nothing for them."
)


def counted(count: int, what: str) -> str:
    """Return such as ``1 image``, ``0 images`` or ``1,200 images``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def percent(fraction: float) -> str:
    """Return such as ``86 %``."""
    return f"{fraction:.0%}".replace("%", " %")


def interval(figure: Mapping[str, Any]) -> str:
    """Return such as ``0.35 (0.22 to 0.48)``, of a figure with ``value``, ``low`` and ``high``."""
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def per_hundred(fraction: float) -> str:
    """Return how many of a hundred that is, such as ``86``; what is neither none nor all does not read so."""
    return str(round(100 * fraction) if fraction in (0, 1) else min(max(round(100 * fraction), 1), 99))


def exact_percent(fraction: float) -> str:
    """Return such as ``10.4 %``: four digits, so that what is over a limit does not read like the limit."""
    return f"{100 * fraction:.4g} %"
