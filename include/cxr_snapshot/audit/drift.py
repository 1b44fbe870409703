"""The figures that are followed from snapshot to snapshot, and how they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_snapshot.audit.history import remember
from cxr_snapshot.audit.probes import Probe
from cxr_snapshot.audit.words import CLASSES_QUESTION, ORIGINALS, PICTURES
from cxr_snapshot.inspection.forms import form_of_files, form_of_pictures
from cxr_snapshot.tables import CLASSES

Figures = dict[str, float | None]

_PROBES = {
    "file_facts": "Named rightly from file facts",
    "thumbnail": "Named rightly from 8 x 8 points",
    "no_lungs": "Named rightly without lungs",
    "border": "Named rightly from the border",
}
_ATTRIBUTES = (
    *("source", "site", "format", "colour", "size", "aspect", "view", "licence", "age", "sex"),
    *("clinical", "date", "location"),
)


def titles(settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what each figure is, in the order in which they are shown.

    Args:
        settings: of the snapshot; see :meth:`cxr_snapshot.settings.Settings.selection`. Not given: the default ones.
    """
    side = form_of_pictures(settings or {}).side
    files = "uniform files" if form_of_files(settings or {}) else "originals"
    of = {ORIGINALS: files, PICTURES: f"{side} x {side} pictures"}
    return {
        "images": "Images",
        "patients": "Patients",
        **{f"patients_{name}": f"Patients of {name}" for name in CLASSES},
        **{f"age_stated_{name}": f"Fraction of {name} with an age" for name in CLASSES},
        **{f"class_from_{name}": f"Adjusted mutual information of class and {name}" for name in _ATTRIBUTES},
        **{f"{name}_{each}": f"{title}, {what}" for each, what in of.items() for name, title in _PROBES.items()},
        "called_covid": "Fraction of healthy adults from elsewhere called COVID",
        "found_covid": "Fraction of COVID patients from elsewhere called COVID",
        "auc_inside": "AUC of COVID against NORMAL, own collections",
        "auc_outside": "AUC of COVID against NORMAL, elsewhere",
    }


TITLES = titles()


def main_figures(
    confounding: Sequence[Mapping[str, Any]],
    ages: Mapping[str, Mapping[str, Any]],
    patients: Mapping[str, Mapping[str, Any]],
    probes: Sequence[Probe],
    elsewhere: Figures,
) -> Figures:
    """Return the figures by name, those of ``TITLES``; ``None`` where one could not be measured.

    Args:
        confounding: from :func:`cxr_snapshot.audit.confounding.measure_confounding`.
        ages: from :func:`cxr_snapshot.audit.confounding.describe_ages`.
        patients: from :func:`cxr_snapshot.audit.confounding.count_patients`.
        probes: from :func:`cxr_snapshot.audit.probes.run_probes`.
        elsewhere: from :func:`cxr_snapshot.audit.external.figures`.
    """
    found: Figures = {
        "images": sum(each["images"] for each in patients.values()),
        "patients": sum(each["patients"] for each in patients.values()),
    }
    found |= {f"patients_{name}": each["patients"] for name, each in patients.items()}
    found |= {f"age_stated_{name}": _stated(each) for name, each in ages.items()}
    found |= {f"class_from_{each['name']}": each["adjusted"] for each in confounding}
    asked = [probe for probe in probes if probe.question == CLASSES_QUESTION]
    found |= {f"{probe.name}_{probe.of}": probe.score.accuracy if probe.score else None for probe in asked}
    found |= elsewhere
    return {name: found[name] for name in TITLES}


def measure_drift(
    figures: Figures, previous: Mapping[str, Any] | None, settings: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return each figure beside that of the previous snapshot.

    Args:
        figures: from :func:`main_figures`.
        previous: ``audit.json`` of the previous snapshot, or ``None``.
        settings: of this one.

    Returns:
        Dicts with ``name``, ``title``, ``previous``, ``current`` and ``change``.
    """
    before, title = (previous or {}).get("figures", {}), titles(settings)
    return [
        {
            "name": name,
            "title": title[name],
            "previous": (old := before.get(name)),
            "current": value,
            "change": None if old is None or value is None else round(value - old, 3),
        }
        for name, value in figures.items()
    ]


def extend_trend(previous: Mapping[str, Any] | None, snapshot: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return figures and candidates of all earlier snapshots, oldest first: what the previous one's audit says, and it.

    Each audit carries the trend on, so that none but the previous one has to be read.

    Args:
        previous: ``audit.json`` of the previous snapshot, or ``None``.
        snapshot: its ``snapshot.json``, or ``None``.
    """
    if previous is None or snapshot is None:
        return []
    return [*previous["trend"], remember(snapshot) | {"figures": previous["figures"]}]


def _stated(ages: Mapping[str, Any]) -> float | None:
    return round(ages["stated"] / ages["images"], 3) if ages["images"] else None
