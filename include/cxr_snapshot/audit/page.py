"""Turns ``audit.json`` into ``audit.html``: one file that loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cxr_snapshot.audit.confounding import most_frequent_first
from cxr_snapshot.audit.external import LEAST_AUC, LEAST_FOUND, MOST_CALLED
from cxr_snapshot.audit.overrides import sentence
from cxr_snapshot.audit.plots import plot_ages, plot_aucs, plot_hundred, plot_probes, plot_trend
from cxr_snapshot.audit.probes import TREES
from cxr_snapshot.audit.words import CLASSES_QUESTION, SYNTHETIC, percent
from cxr_snapshot.inspection.forms import form_of_files, form_of_pictures
from cxr_snapshot.tables import CLASSES
from cxr_snapshot.templates import data_uri, environment

_WORDS = {"strong": "much", "some": "something", "none": "next to nothing", "unmeasured": "not measured"}


def render_page(report: Mapping[str, Any], sheets: Mapping[str, bytes]) -> bytes:
    """Return the page; equal arguments give equal bytes.

    Args:
        report: content of ``audit.json``.
        sheets: contact sheets as JPEG: ``duplicates``, ``shortcuts``, ``texts``, as far as there are any.
    """
    drawings = {
        "probes": plot_probes(report["probes"]),
        "ages": plot_ages(report["ages"]),
        "trend": plot_trend(report["trend"], report["figures"], report["settings"]),
    }
    external = report.get("external")  # an older version measured none
    if external and external["called_covid"]:
        drawings |= {"hundred": plot_hundred(external["called_covid"]), "aucs": plot_aucs(external)}
    asked = {
        question: [probe for probe in report["probes"] if probe["question"] == question]
        for question in dict.fromkeys(probe["question"] for probe in report["probes"])
    }
    text = _ENVIRONMENT.get_template("page.html").render(
        report=report,
        drawings={name: Markup(text) for name, text in drawings.items()},  # noqa: S704 - drawn by plots.py
        sheets={name: data_uri(body) for name, body in sheets.items()},
        external=external,
        by_class=asked[CLASSES_QUESTION],
        asked=asked,
        synthetic=report.get("synthetic", False),
        files=form_of_files(report["settings"]),
        side=form_of_pictures(report["settings"]).side,
    )
    return text.encode()


def _number(value: float | None) -> str:
    """Return a figure as people read it; a dash for none."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}".rstrip("0").rstrip(".")


def _change(value: float | None) -> str:
    return "-" if value is None else f"{value:+g}" if value else "same"


def _shown(value: object) -> str:
    """Return a measurement in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in sorted(value.items()))  # JSON keeps no order
    return str(value)


_ENVIRONMENT = environment(Path(__file__).parent)
_ENVIRONMENT.filters |= {"percent": percent, "number": _number, "change": _change, "shown": _shown}
_ENVIRONMENT.filters |= {"sentence": sentence, "most_frequent_first": most_frequent_first}
_ENVIRONMENT.globals |= {"CLASSES": CLASSES, "WORDS": _WORDS, "SYNTHETIC": SYNTHETIC}
_ENVIRONMENT.globals |= {"MOST_CALLED": MOST_CALLED, "LEAST_FOUND": LEAST_FOUND, "LEAST_AUC": LEAST_AUC, "TREES": TREES}
