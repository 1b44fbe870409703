"""What the upstreams' words mean. Whole labels only, never parts of words: ``AP`` must not match ``APical``.

A word that stands in none of these tables is quarantined by the filter with a warning, not guessed.

Sources: the vocabulary in https://github.com/ieee8023/covid-chestxray-dataset/blob/master/SCHEMA.md, and every value
that occurs in the history of its ``metadata.csv``.
"""

from __future__ import annotations

import functools
import re
from typing import Literal

ViewKind = Literal["frontal", "lateral", "tomography"]
FindingKind = Literal["covid", "viral", "bacterial", "normal", "other"]
LicenceKind = Literal["derivatives", "no-derivatives"]

# A collection has many rows and few words.
_remember = functools.lru_cache(maxsize=1024)

_VIEWS: dict[str, ViewKind] = {
    **dict.fromkeys(("pa", "posteroanterior", "ap", "anteroposterior", "ap portable"), "frontal"),
    **dict.fromkeys(("ap supine", "aps", "ap erect", "ap semi erect", "ap semierect"), "frontal"),
    **dict.fromkeys(("l", "lateral", "ll", "rl"), "lateral"),
    # CT was a value of `view` until the `modality` column came on 2020-03-17.
    **dict.fromkeys(("ct", "hrct", "coronal ct", "axial ct", "axial", "coronal", "sagittal"), "tomography"),
}

# Findings are paths since autumn 2020 (`Pneumonia/Viral/COVID-19`); before, single labels or lists joined by commas.
_COVID = {"covid-19", "sars-cov-2"}
_VIRAL = {
    *("viral", "sars", "mers", "mers-cov", "influenza", "h1n1", "varicella", "herpes"),
    "swine-origin influenza a (h1n1) viral pneumonia",
}
_BACTERIAL = {
    *("bacterial", "streptococcus", "klebsiella", "chlamydophila", "legionella", "e.coli", "mycoplasma"),
    *("staphylococcus", "mrsa", "nocardia"),
}
_NORMAL = {"no finding"}
_OTHER = {"fungal", "pneumocystis", "aspergillosis", "lipoid", "aspiration", "tuberculosis", "unknown"}
_UNSPECIFIC = {"pneumonia", "ards"}  # name no cause; `ARDS` may follow from any of them

# What a finding makes an image whose class no folder tells.
CLASS_OF_FINDING = {"covid": "COVID", "normal": "NORMAL", "viral": "PNEUMONIA", "bacterial": "PNEUMONIA"}

_MODALITIES = {"x-ray": "X-ray", "radiograph": "X-ray", "ct": "CT", "mri": "MRI"}
_FOLDERS = {"images", "volumes"}
_SEXES = {"m": "M", "f": "F", "w": "F"}  # W, for woman, stands in three rows of April 2020

_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/(?:licenses|publicdomain)/")
_OTHER_LICENCES = ({"apache"}, {"apache", "license"}, {"public", "domain"})


@_remember
def view_kind(view: str | None) -> ViewKind | None:
    """Return what kind of view a ``view`` cell names, or ``None`` for a word that is not known."""
    return _VIEWS.get(_normal(view))


@_remember
def finding_kind(finding: str | None) -> FindingKind | None:
    """Return what a ``finding`` cell names, or ``None`` where it names a label that is not known.

    ``covid`` where any of its labels is COVID-19. ``viral`` and ``bacterial`` are pneumonias of that cause alone,
    ``normal`` is ``No Finding`` alone, and ``other`` is all else: fungal or mixed causes, pneumonia of unknown cause.
    """
    labels = {_normal(label) for part in (finding or "").split(",") for label in part.split("/")}
    if labels & _COVID:
        return "covid"
    if not labels <= _VIRAL | _BACTERIAL | _NORMAL | _OTHER | _UNSPECIFIC:
        return None
    if labels == _NORMAL:
        return "normal"
    causes = labels - _UNSPECIFIC
    if causes and causes <= _VIRAL:
        return "viral"
    return "bacterial" if causes and causes <= _BACTERIAL else "other"


@_remember
def modality(text: str | None) -> str | None:
    """Return ``X-ray``, ``CT`` or ``MRI``, or ``None`` for a word that is not known."""
    return _MODALITIES.get(_normal(text))


@_remember
def folder(text: str | None) -> str | None:
    """Return ``images`` or ``volumes``, or ``None`` for a word that is not known."""
    name = _normal(text).strip("/")
    return name if name in _FOLDERS else None


def sex(text: str | None) -> str | None:
    """Return ``M`` or ``F``, or ``None`` for a word that is not known."""
    return _SEXES.get(_normal(text))


@_remember
def licence_kind(text: str | None) -> LicenceKind | None:
    """Return whether a named licence allows derivatives, or ``None`` where no licence is named.

    Creative Commons in any spelling (``CC BY-NC-ND``, ``CC-NC-SA``, ``CC BY-NC-SA 4.0``, ``CC0``, its address), Apache
    and public domain are names. A permission such as ``listed as authorized for everyone`` is none: it sets no terms.
    """
    words = re.split(r"[\s_,;/()-]+", _CREATIVE_COMMONS.sub("cc ", _normal(text)))
    parts = {word for word in words if word and not re.fullmatch(r"v?\d+(\.\d+)*|international|unported", word)}
    if "nd" in parts or re.search(r"no[ -]?deriv", _normal(text)):
        return "no-derivatives"
    is_creative_commons = "cc0" in parts or ("cc" in parts and len(parts) > 1)
    if is_creative_commons and parts <= {"cc", "cc0", "zero", "by", "nc", "sa"}:
        return "derivatives"
    return "derivatives" if parts in _OTHER_LICENCES else None


def _normal(text: str | None) -> str:
    return " ".join((text or "").split()).lower()
