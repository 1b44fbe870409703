"""Words that several parts of the audit use, so that they are the same everywhere."""

from __future__ import annotations

# What a level means for the reader.
LEVELS = {
    "strong": "A model can score high by this alone.",
    "some": "This helps a model to score without looking at the disease.",
    "none": "That is not clearly better than guessing.",
    "unmeasured": "",
}
WORST_FIRST = ("strong", "some", "none", "unmeasured")


def percent(fraction: float) -> str:
    """Return such as ``86 %``."""
    return f"{fraction:.0%}".replace("%", " %")


def exact_percent(fraction: float) -> str:
    """Return such as ``10.4 %``: four digits, so that what is over a limit does not read like the limit."""
    return f"{100 * fraction:.4g} %"
