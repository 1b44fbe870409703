"""The trigger form of the DAGs, and what a run makes of it.

Titles are the parameters' names, so that Airflow's refusal of a value, which tells the name, tells the field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from airflow.sdk import Param

from cxr_snapshot import shown
from cxr_snapshot.editions import Edition
from cxr_snapshot.settings import (
    AGE_CHOICES,
    CONTROL_CHOICES,
    EDITION_NAME,
    FILE_CHOICES,
    LICENCE_CHOICES,
    PICTURE_SIZES,
    SUBTYPE_CHOICES,
    VIEW_CHOICES,
    Settings,
)

# Settings that decide which images are in, and that a run may set for itself.
SET_BY_FORM = ("views", "licences", "controls", "subtypes", "ages", "max_per_class", "files", "picture_size")

# Of a setting with choices: each of its values, and its label.
_CHOICES: dict[str, dict[object, str]] = {
    name: dict(zip(values, labels, strict=True))
    for name, values, labels in (
        ("views", VIEW_CHOICES, ("Frontal images only", "Frontal and lateral images")),
        (
            "licences",
            LICENCE_CHOICES,
            ("Any licence", "None that forbids derivatives", "Only named licences that allow derivatives"),
        ),
        ("controls", CONTROL_CHOICES, ("From Kaggle alone", "The COVID collection's own first")),
        ("subtypes", SUBTYPE_CHOICES, ("Bacterial and viral as they come", "Equally many bacterial and viral")),
        ("ages", AGE_CHOICES, ("Images of anybody", "Nobody known to be younger than 18 years")),
        ("files", FILE_CHOICES, ("The upstreams' files as they are", "All made anew in one form")),
        ("picture_size", PICTURE_SIZES, tuple(f"{size} x {size} pixels" for size in PICTURE_SIZES)),
    )
}


def params(edition: Edition) -> dict[str, Param]:
    """Return the fields of the form of an edition's DAG."""
    return {
        "force": Param(
            default=False,
            type="boolean",
            title="Force",
            description=f"A run asks the collections, and where something is new, it publishes the next snapshot of "
            f"{_place(edition)}; otherwise it ends at once, successfully. With Force it builds also where nothing is "
            "new. The same content is still not published twice.",
        ),
        "as_of": Param(
            default=None,
            type=["null", "string"],
            format="date",
            pattern=r"^\d{4}-\d{2}-\d{2}$",
            title="As of",
            description="Empty for now. A day of the past: the snapshot is named by that day and holds what the COVID "
            "collection had at its end (UTC); latest.json moves only forwards.",
        ),
        "covid_commit": Param(
            default=None,
            type=["null", "string"],
            pattern=r"^[0-9a-f]{7,40}$",
            title="COVID commit",
            description="Empty for the newest. A commit of the COVID collection, 7 to 40 digits of its SHA-1: the "
            "snapshot is named by today. Not together with As of.",
        ),
        "accept_shrink": Param(
            default=False,
            type="boolean",
            title="Accept shrink",
            description="Publishes although a class lost more candidates than the guard allows, for this run only. The "
            "snapshot says for good what was lost, in which run this was set, and who triggered it.",
        ),
        "edition": Param(
            default=None,
            type=["null", "string"],
            pattern=f"^{EDITION_NAME}$",
            title="Edition",
            description=f"Empty: publishes as {edition.name}. Needed where a field below is not as configured: a name "
            "that no DAG has, such as experiment-1. The snapshot is then under editions/experiment-1/, and no other "
            "latest.json moves. What is (default) or (environment) below, the Airflow variable cxr_snapshot may set "
            "otherwise.",
        ),
        "views": _choice(edition, "views", "Views", "Which projections are in."),
        "licences": _choice(edition, "licences", "Licences", "Which images may be in, by their licence."),
        "controls": _choice(edition, "controls", "Controls", "Where PNEUMONIA and NORMAL come from."),
        "subtypes": _choice(edition, "subtypes", "Subtypes", "How pneumonias are drawn."),
        "ages": _choice(edition, "ages", "Ages", "Whose images are in."),
        "max_per_class": Param(
            default=None,
            type=["null", "integer"],
            minimum=1,
            title="Max per class",
            description="Most images in a class, at least 1. Empty: as configured, "
            f"{_configured(edition, 'max_per_class')}.",
        ),
        "files": _choice(
            edition,
            "files",
            "Files",
            "Which files are published; uniform ones do not tell by format, size or shape where they are from.",
        ),
        "picture_size": _choice(
            edition, "picture_size", "Picture size", "Of the pictures in the shards.", kind="integer"
        ),
    }


def overrides(filled: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a filled form sets for its run; those that it leaves empty are not among them."""
    return {name: filled[name] for name in SET_BY_FORM if filled[name] is not None}


def _choice(edition: Edition, name: str, title: str, what: str, kind: str = "string") -> Param:
    """Return a field with a setting's values, each with a label, and the configured one first, which is no value."""
    labels = {None: f"As configured: {_configured(edition, name)}"} | _CHOICES[name]
    return Param(
        default=None,
        type=["null", kind],
        enum=list(labels),
        values_display={"null" if value is None else str(value): label for value, label in labels.items()},
        title=title,
        description=what,
    )


def _configured(edition: Edition, name: str) -> str:
    """Say what holds where the form is left as it is, as far as it is known where the DAG file is parsed."""
    if name in edition.settings:
        return str(edition.settings[name])
    if given := os.environ.get(f"CXR_{name.upper()}"):
        return f"{shown.line(given)} (environment)"
    default = next(item.default for item in fields(Settings) if item.name == name)
    return f"{'no limit' if default is None else default} (default)"


def _place(edition: Edition) -> str:
    return "the default edition" if edition.is_default else f"the edition {edition.name}"
