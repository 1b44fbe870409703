"""What people are told of who is in a snapshot, what it is good for, and how to treat whom it shows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import pandas as pd

from cxr_snapshot.audit.words import counted
from cxr_snapshot.selection.patients import ADULT
from cxr_snapshot.sources import about

_WIDTH = 120  # characters in a line

_GOOD = (
    "exercises in building a data pipeline or an image classifier; research on shortcut learning, leakage and domain "
    "shift; `NORMAL` against `PNEUMONIA` within one source."
)
_BAD = (
    "diagnosis, triage, or any claim that a model recognises COVID-19; estimates of how common a disease is (the "
    "classes were cut to equal size){adults}."
)
_NO_ADULTS = "; conclusions on adults who have no COVID-19, of whom there are few or none"


def uses(*, synthetic: bool, adults: bool) -> tuple[str, str]:
    """Return what a snapshot is good for, and what not, each a paragraph.

    Args:
        synthetic: whether the images are generated.
        adults: whether most images that show no COVID-19 are of adults.
    """
    if synthetic:
        good, bad = "trying out the pipeline and the programs that read its snapshots.", "anything else."
    else:
        good, bad = _GOOD, _BAD.format(adults="" if adults else _NO_ADULTS)
    paragraphs = (f"**Good for:** {good}", f"**Not for:** {bad}")
    return textwrap.fill(paragraphs[0], _WIDTH), textwrap.fill(paragraphs[1], _WIDTH)


def has_adult_controls(manifest: pd.DataFrame) -> bool:
    """Say whether most images that show no COVID-19 are known to be of adults."""
    return bool(manifest.loc[manifest["class"].ne("COVID"), "age"].ge(ADULT).fillna(value=False).mean() > 0.5)


def known_limits(sources: Iterable[str]) -> str:
    """Return what is known to be wrong with the collections, a paragraph."""
    first, *others = [about(name).limit for name in sources]
    sentences = [first, "Upstream's labels were taken over, not checked by a physician.", *others]
    sentences += ["Where upstream names no patient, two images of one person may not be recognised as such."]
    return textwrap.fill(f"Other limits: {' '.join(sentences)}", _WIDTH)


def privacy(manifest: pd.DataFrame) -> str:
    """Say what of the published columns makes it easier to find out who a patient is, where any is filled."""
    stated = {name: int(manifest[name].notna().sum()) for name in ("date", "location", "age")}
    counts = ", ".join(f"`{name}` of {count}" for name, count in stated.items())
    text = (
        "**Privacy:** the upstreams published these images without names. Together, date, place, age and course of a "
        f"disease can still point to a person ({counts}, of {counted(len(manifest), 'image')}): do not try to find out "
        "who a patient is, and leave out what you do not need."
    )
    return textwrap.fill(text, _WIDTH)


def representation(manifest: pd.DataFrame) -> str:
    """Answer the items on documentation of STANDING Together (2024) that the rest of the card does not, as a table."""
    sexes = manifest["sex"].value_counts()
    unknown = int(manifest["sex"].isna().sum())
    places = manifest["location"].dropna()
    rows = {
        "Sex": f"F {sexes.get('F', 0)}, M {sexes.get('M', 0)}, not stated {unknown}",
        "Age": f"stated for {manifest['age'].notna().sum()} of {len(manifest)}; by class above",
        "Place": f"stated for {len(places)} of {len(manifest)}, {places.nunique()} places; column `location`",
        "Race, ethnicity, income, other attributes": "stated by no upstream, so nobody can say who is missing",
        "Who was chosen": "by the upstreams: cases that were published or kept by a hospital, not a sample of patients",
        "Labels": "the upstreams' own; how sure they are is not stated",
        "Missing data": "left empty, nothing imputed; who has an entry is no chance, see the audit",
        "Consent and ethics": "matters of the upstreams; nothing was asked of patients here",
    }
    lines = [f"| {item} | {answer} |" for item, answer in rows.items()]
    items = "[STANDING Together](https://www.datadiversity.org/recommendations)"
    return "\n".join([f"In the items of {items}:", "", "| item | answer |", "|---|---|", *lines])
