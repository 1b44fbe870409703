"""The trigger form of the DAGs, and what a run makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Param

from cxr_snapshot.settings import (
    AGE_CHOICES,
    CONTROL_CHOICES,
    EDITION_NAME,
    FILE_CHOICES,
    LICENCE_CHOICES,
    PICTURE_SIZES,
    SUBTYPE_CHOICES,
    VIEW_CHOICES,
)

# Settings that decide which images are in, and that a run may set for itself.
SET_BY_FORM = ("views", "licences", "controls", "subtypes", "ages", "max_per_class", "files", "picture_size")


def params() -> dict[str, Param]:
    """Return the fields of the form."""
    return {
        "force": Param(
            default=False,
            type="boolean",
            title="Build even if nothing is new",
            description="The same content is still not published twice.",
        ),
        "covid_commit": Param(
            default=None,
            type=["null", "string"],
            pattern=r"^([0-9a-f]{7,40}|\d{4}-\d{2}-\d{2})$",
            title="COVID collection as of",
            description="Empty for the newest. A day such as 2020-03-28 (UTC): the snapshot is named by that day and "
            "holds what was there at its end. Or a commit SHA-1 of the GitHub repository: the snapshot is named by "
            "today.",
        ),
        "edition": Param(
            default=None,
            type=["null", "string"],
            pattern=f"^{EDITION_NAME}$",
            title="Edition",
            description="Under which name to publish: needed where a field below sets what the edition sets otherwise. "
            "A name that no DAG has, such as experiment-1; the snapshot is then under editions/experiment-1/, and no "
            "other latest.json moves.",
        ),
        "views": _choice("Views", VIEW_CHOICES, "Which projections to keep"),
        "licences": _choice(
            "Licences",
            LICENCE_CHOICES,
            "Which images may be in: any; none whose licence forbids derivatives; or only those with a named licence "
            "that allows them",
        ),
        "controls": _choice(
            "Controls",
            CONTROL_CHOICES,
            "Where PNEUMONIA and NORMAL come from: Kaggle alone, or first the COVID collection's own images of other "
            "pneumonias and of no finding",
        ),
        "subtypes": _choice(
            "Pneumonia subtypes",
            SUBTYPE_CHOICES,
            "Draw bacterial and viral pneumonias as they come, or equally many of each",
        ),
        "ages": _choice(
            "Ages", AGE_CHOICES, "Images of anybody, or of nobody who is known to be younger than 18 years"
        ),
        "max_per_class": Param(
            default=None,
            type=["null", "integer"],
            minimum=1,
            title="Most images in a class",
            description="Empty for the edition's own, or no limit.",
        ),
        "files": _choice(
            "Files",
            FILE_CHOICES,
            "Publish the upstreams' files as they are, or all made anew in one form, so that no file tells by format, "
            "size or shape where it is from",
        ),
        "picture_size": _choice(
            "Size of the pictures in the shards", PICTURE_SIZES, "Width and height in pixels", kind="integer"
        ),
        "accept_shrink": Param(
            default=False,
            type="boolean",
            title="Publish although a class shrank",
            description="Overrides the guard against lost candidates, for this run only. The snapshot says for good "
            "what was lost, in which run this was set, and who triggered it.",
        ),
    }


def overrides(filled: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a filled form sets for its run; those that it leaves empty are not among them."""
    return {name: filled[name] for name in SET_BY_FORM if filled[name] is not None}


def _choice(title: str, choices: tuple[object, ...], what: str, kind: str = "string") -> Param:
    return Param(
        default=None,
        type=["null", kind],
        enum=[None, *choices],
        title=title,
        description=f"{what}. Empty for the edition's own.",
    )
