"""What the upstreams' words mean. Whole labels only, never parts of words: ``AP`` must not match ``APical``.

A word that stands in none of these tables is quarantined by the filter with a warning, not guessed.

Sources: the vocabulary in https://github.com/ieee8023/covid-chestxray-dataset/blob/master/SCHEMA.md, and every value
that occurs in the history of its ``metadata.csv``.
"""

from __future__ import annotations

from typing import Literal

ViewKind = Literal["frontal", "lateral", "tomography"]
FindingKind = Literal["covid", "other"]

_VIEWS: dict[str, ViewKind] = {
    **dict.fromkeys(("pa", "ap", "ap supine", "ap erect", "ap semi erect", "ap semierect", "ap portable"), "frontal"),
    **dict.fromkeys(("l", "lateral", "ll", "rl"), "lateral"),
    # CT was a value of `view` until the `modality` column came on 2020-03-17.
    **dict.fromkeys(("ct", "hrct", "coronal ct", "axial ct", "axial", "coronal", "sagittal"), "tomography"),
}

# Findings are paths since autumn 2020 (`Pneumonia/Viral/COVID-19`); before, single labels or lists joined by commas.
_COVID = {"covid-19", "sars-cov-2"}
_OTHER = {
    *("pneumonia", "viral", "bacterial", "fungal", "lipoid", "aspiration", "no finding", "unknown", "ards"),
    *("sars", "mers", "mers-cov", "influenza", "h1n1", "varicella", "herpes", "streptococcus", "pneumocystis"),
    *("klebsiella", "chlamydophila", "legionella", "e.coli", "mycoplasma", "staphylococcus", "mrsa", "nocardia"),
    *("aspergillosis", "tuberculosis", "swine-origin influenza a (h1n1) viral pneumonia"),
}

_MODALITIES = {"x-ray": "X-ray", "radiograph": "X-ray", "ct": "CT", "mri": "MRI"}


def view_kind(view: str | None) -> ViewKind | None:
    """Return what kind of view a ``view`` cell names, or ``None`` for a word that is not known."""
    return _VIEWS.get(_normal(view))


def finding_kind(finding: str | None) -> FindingKind | None:
    """Return ``covid`` if any label of a ``finding`` cell is COVID-19, ``other`` if all are known, else ``None``."""
    labels = {_normal(label) for part in (finding or "").split(",") for label in part.split("/")}
    if labels & _COVID:
        return "covid"
    return "other" if labels <= _OTHER else None


def modality(text: str | None) -> str | None:
    """Return ``X-ray``, ``CT`` or ``MRI``, or ``None`` for a word that is not known."""
    return _MODALITIES.get(_normal(text))


def _normal(text: str | None) -> str:
    return " ".join((text or "").split()).lower()
