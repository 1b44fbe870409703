"""Words that more than one collection uses. Whole labels only, never parts of words: ``AP`` must not match ``APical``.

A word that stands in none of these tables is quarantined by a rule with a warning, not guessed. A *placeholder* says
that upstream has not looked yet: it is known, and means nothing.

Sources: the vocabulary in https://github.com/ieee8023/covid-chestxray-dataset/blob/master/SCHEMA.md, and every value
that occurs in the history of its ``metadata.csv``.
"""

from __future__ import annotations

import functools
import re
from typing import Literal

from cxr_snapshot.sources.identities import visible

NOT_LABELLED: Literal["not labelled"] = "not labelled"  # the kind of a placeholder
ViewKind = Literal["frontal", "lateral", "tomography", "not labelled"]
FindingKind = Literal["covid", "viral", "bacterial", "pneumonia", "normal", "other", "not labelled"]
LicenceKind = Literal["derivatives", "no-derivatives"]

# A collection has many rows and few words.
remember = functools.lru_cache(maxsize=1024)

PLACEHOLDERS = {"", "?", "-", "todo", "tbd", "unknown", "unlabeled", "unlabelled", "not labeled", "not labelled"}

_VIEWS: dict[str, ViewKind] = {
    **dict.fromkeys(("pa", "posteroanterior", "ap", "anteroposterior", "ap portable"), "frontal"),
    **dict.fromkeys(("ap supine", "aps", "ap erect", "ap semi erect", "ap semierect"), "frontal"),
    **dict.fromkeys(("l", "lateral", "ll", "rl"), "lateral"),
    # CT was a value of `view` until the `modality` column came on 2020-03-17.
    **dict.fromkeys(("ct", "hrct", "coronal ct", "axial ct", "axial", "coronal", "sagittal"), "tomography"),
}


# The class that each kind of finding makes; ``other`` and ``not labelled`` make none.
CLASS_OF_FINDING = {
    "covid": "COVID",
    "normal": "NORMAL",
    "viral": "PNEUMONIA",
    "bacterial": "PNEUMONIA",
    "pneumonia": "PNEUMONIA",
}

_MODALITIES = {"x-ray": "X-ray", "radiograph": "X-ray", "ct": "CT", "mri": "MRI"}

_SEXES = {"m": "M", "f": "F", "w": "F"}  # W, for woman, stands in three rows of April 2020


_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/(?:licenses|publicdomain)/")

_OTHER_LICENCES = ({"apache"}, {"apache", "license"}, {"public", "domain"})


@remember
def view_kind(view: str | None) -> ViewKind | None:
    """Return what kind of view a ``view`` cell names, or ``None`` for a word that is not known."""
    return NOT_LABELLED if plain(view) in PLACEHOLDERS else _VIEWS.get(plain(view))


@remember
def modality(text: str | None) -> str | None:
    """Return ``X-ray``, ``CT``, ``MRI`` or ``not labelled``, or ``None`` for a word that is not known."""
    return NOT_LABELLED if plain(text) in PLACEHOLDERS else _MODALITIES.get(plain(text))


def sex(text: str | None) -> str | None:
    """Return ``M`` or ``F``, or ``None`` for a word that is not known."""
    return _SEXES.get(plain(text))


@remember
def licence_kind(text: str | None) -> LicenceKind | None:
    """Return whether a named licence allows derivatives, or ``None`` where no licence is named.

    Creative Commons in any spelling (``CC BY-NC-ND``, ``CC-NC-SA``, ``CC BY-NC-SA 4.0``, ``CC0``, its address), Apache
    and public domain are names. A permission such as ``listed as authorized for everyone`` is none: it sets no terms.
    """
    words = re.split(r"[\s_,;/()-]+", _CREATIVE_COMMONS.sub("cc ", plain(text)))
    parts = {word for word in words if word and not re.fullmatch(r"v?\d+(\.\d+)*|international|unported", word)}
    if "nd" in parts or re.search(r"no[ -]?deriv", plain(text)):
        return "no-derivatives"
    is_creative_commons = "cc0" in parts or ("cc" in parts and len(parts) > 1)
    if is_creative_commons and parts <= {"cc", "cc0", "zero", "by", "nc", "sa"}:
        return "derivatives"
    return "derivatives" if parts in _OTHER_LICENCES else None


def plain(text: str | None) -> str:
    """Return what can be seen of a word, in lower case, without spaces around it and with single ones inside."""
    return visible(text or "").lower()
