"""Writes what people read before they use a snapshot: the dataset card and the list of sources and licences."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_snapshot.audit.overrides import sentence, tally
from cxr_snapshot.audit.words import SYNTHETIC, counted, percent
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.publication.advice import has_adult_controls, known_limits, privacy, representation, uses
from cxr_snapshot.publication.contents import columns, files, images_and_patients, images_by_class, sources_named
from cxr_snapshot.publication.loading import how_to_load, name_of
from cxr_snapshot.selection.patients import ADULT
from cxr_snapshot.selection.rules import NOT_ADULT
from cxr_snapshot.selection.splits import TARGET
from cxr_snapshot.settings import ADULTS_ONLY
from cxr_snapshot.shown import markdown
from cxr_snapshot.sources import about
from cxr_snapshot.sources.base import GENERATED
from cxr_snapshot.sources.words import licence_kind
from cxr_snapshot.tables import CLASSES

_SEEN = {
    "file_facts": "size, shape, mode and format of the file (pictures: its bytes)",
    "thumbnail": "8 x 8 points",
    "no_lungs": "32 x 32 points, lungs blacked out",
    "border": "border strip and corners",
}

_WIDTH = 120  # characters in a line

ATTRIBUTION_COLUMNS = ("file", "source", "source_title", "path", "url", "doi", "license", "no_derivatives")

_NO_DERIVATIVES = {"no-derivatives": "yes", "derivatives": "no", None: "unknown"}


def attribution(manifest: pd.DataFrame, files: Form | None = None, *, synthetic: bool = False) -> pd.DataFrame:
    """Return the content of ``ATTRIBUTION.csv``: for each image where it is from and under which licence.

    ``no_derivatives`` is ``yes``, ``no``, or ``unknown`` where upstream names no licence. ``change`` is there where the
    files were made anew in the form ``files``: most licences ask to say what was changed.
    """
    titles = manifest["source"].map(lambda name: about(name, synthetic=synthetic).reference)
    table = manifest.assign(source_title=titles, no_derivatives=_no_derivatives(manifest))
    table = table[list(ATTRIBUTION_COLUMNS)]
    return table if files is None else table.assign(change=f"made gray, squeezed to {files.side} x {files.side} pixels")


def _no_derivatives(manifest: pd.DataFrame) -> pd.Series:
    return manifest["license"].map(lambda text: _NO_DERIVATIVES[licence_kind(None if pd.isna(text) else text)])


def split_counts(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the images of each class in each split that has any."""
    counts = manifest.groupby(["split", "class"]).size()
    splits = [name for name in TARGET if name in set(manifest["split"])]
    return {split: {name: int(counts.get((split, name), 0)) for name in CLASSES} for split in splits}


def dataset_card(manifest: pd.DataFrame, facts: Mapping[str, Any]) -> bytes:
    """Return ``README.md``, with the front matter that Hugging Face reads.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
        facts: what ``snapshot.json`` says.
    """
    splits, synthetic = split_counts(manifest), facts.get("synthetic", False)
    uniform = facts.get("files")
    parts = [
        _front_matter(len(manifest), list(splits), facts["revisions"], synthetic=synthetic),
        f"# {pretty_name(synthetic=synthetic)}: snapshot {titled(facts)}",
        "> **Read this before you train on it.** " + limits(manifest, synthetic=synthetic, uniform=uniform is not None),
        *(f"> **A failed check was overridden.** {markdown(sentence(each))}" for each in facts["overrides"]),
        "![Some images of each class, with counts and warning](preview.jpg)",
        _links(synthetic=synthetic),
        *uses(synthetic=synthetic, adults=has_adult_controls(manifest)),
        *([] if synthetic else [known_limits(facts["revisions"]), privacy(manifest)]),
        "## What is in it",
        images_and_patients(manifest, facts["settings"]["views"], synthetic=synthetic),
        images_by_class(manifest, facts, splits),
        sources_named(facts["revisions"], synthetic=synthetic),
        _ages(manifest, facts),
        *([] if synthetic else ["## Who is in it, and who is not", representation(manifest)]),
        "## What the audit found",
        _audit(facts["audit"], facts["overrides"], "uniform files" if uniform else "original files"),
        "## Files",
        files(facts),
        *(["## The files under `images/`", _uniform(uniform)] if uniform else []),
        "## Columns",
        columns(manifest),
        "## How to load it",
        how_to_load(facts["uri"], name_of(facts), splits, _webp(manifest)),
        "## Licences",
        *([GENERATED.licence] if synthetic else _rights(manifest, facts)),
        "## How it was made",
        _making(facts),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def _links(*, synthetic: bool) -> str:
    titles = ("What is in it", "How to load it", "Columns", "Licences", *([] if synthetic else ["Please cite"]))
    return " · ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles)


def pretty_name(*, synthetic: bool) -> str:
    """Return the name of the dataset as people read it."""
    return "Generated sample in place of chest X-rays" if synthetic else "COVID, pneumonia and normal chest X-rays"


def titled(facts: Mapping[str, Any]) -> str:
    """Return a snapshot's version, with its edition where that is not the default one."""
    edition, version = facts.get("edition"), facts["version"]
    return f"{version}, edition {edition}" if edition else version


def _rights(manifest: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """Return what the section on licences says, and the section on how to cite."""
    cited = f"```bibtex\n{_own_citation(facts)}\n\n{citations(facts['revisions'])}\n```"
    licences = _licences(manifest, facts.get("licences") or {}, uniform="files" in facts)
    return [licences, "## Please cite", cited]


def _own_citation(facts: Mapping[str, Any]) -> str:
    """Return how to cite this very snapshot, whose digest says whether another one has the same content."""
    return f"""\
@misc{{covid-cxr-{name_of(facts)},
  title   = {{{pretty_name(synthetic=False)}: snapshot {titled(facts)}}},
  year    = {{{facts["version"][:4]}}},
  version = {{{facts["version"]}}},
  note    = {{content digest {facts["content_digest"]}}}
}}"""


def citations(sources: Iterable[str]) -> str:
    """Return how to cite the sources, in BibTeX."""
    return "\n\n".join(about(name).citation for name in sources)


def _front_matter(size: int, splits: list[str], sources: Iterable[str], *, synthetic: bool) -> str:
    files = "\n".join(f"  - split: {split}\n    path: data/{split}-*.parquet" for split in splits)
    category = next(
        name for limit, name in ((1000, "n<1K"), (10_000, "1K<n<10K"), (10**9, "10K<n<100K")) if size < limit
    )
    tags = "\n".join(
        f"- {tag}" for tag in ("medical", "chest-x-ray", "covid-19", *(["synthetic"] if synthetic else []))
    )
    whole_first = sorted(sources, key=lambda name: not about(name).licence_url)
    licences = dict.fromkeys(about(name, synthetic=synthetic).licence for name in whole_first)
    details = textwrap.fill(" ".join(licences), _WIDTH, initial_indent="  ", subsequent_indent="  ")
    return f"""\
---
pretty_name: {pretty_name(synthetic=synthetic)}
license: other
license_name: {"generated-data" if synthetic else "one-licence-per-image"}
license_link: ATTRIBUTION.csv
license_details: >-
{details}
task_categories:
- image-classification
tags:
{tags}
size_categories:
- {category}
configs:
- config_name: default
  data_files:
{files}
---"""


def limits(manifest: pd.DataFrame, *, synthetic: bool = False, uniform: bool = False) -> str:
    """Return the warning that stands at the top of the card, in plain sentences, measured on this snapshot.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
        synthetic: whether the images are generated.
        uniform: whether all files are of one form.
    """
    if synthetic:
        return SYNTHETIC
    covid = sorted(set(manifest.loc[manifest["class"].eq("COVID"), "source"]))
    others = manifest.loc[manifest["class"].ne("COVID"), "source"]
    shared = int(others.isin(covid).sum())
    controls = sorted(set(others).difference(covid))
    where = (
        f"{len(others) - shared} of {len(others)} `NORMAL` and `PNEUMONIA` images"
        if shared
        else "The `NORMAL` and `PNEUMONIA` images"
    )
    coincide = "almost the same thing" if shared else "the same thing"
    adults = has_adult_controls(manifest)
    what, age = ("Class and source", "") if adults else ("Class, source and age group", "age, by ")
    size = "" if uniform else "image size, by "
    return (
        f"{where} show {_shown(controls)}; the `COVID` images show {_shown(covid)}. "
        f"**{what} are {coincide} in this dataset.** A model can tell `COVID` from the others by {age}{size}"
        "borders or by letters burnt into the picture, without looking at any lung. Equal class sizes do not mend "
        "that, and no split of this dataset can show it: a score on its test set says nothing about patients."
    )


def _shown(sources: Iterable[str]) -> str:
    return ", or ".join(about(name).shows for name in sources)


def unknown_ages(manifest: pd.DataFrame) -> dict[str, int]:
    """Count the images of each class whose patient's age is not known."""
    unknown = manifest["class"][manifest["age"].isna()].value_counts()
    return {name: int(unknown.get(name, 0)) for name in CLASSES}


def _ages(manifest: pd.DataFrame, facts: Mapping[str, Any]) -> str:
    """Say for each class what is known of ages, measured in this snapshot; and whether it is to be of adults alone."""
    said = []
    for name in CLASSES:
        ages = manifest.loc[manifest["class"].eq(name), "age"].dropna()
        known = counted(len(ages), "image")
        measured = f"{ages.min():g} to {ages.max():g} years, median {ages.median():g}, known for {known}"
        said.append(f"`{name}` {measured if len(ages) else 'not stated for any image'}")
    stated = "Ages as stated by the upstreams: " + "; ".join(said) + "."
    if facts["settings"].get("ages") != ADULTS_ONLY:
        return stated
    unknown = ", ".join(f"`{name}` {count}" for name, count in unknown_ages(manifest).items())
    return (
        f"{stated}\n\nOnly adults were asked for. Whoever is known to be younger than {ADULT} years is left out "
        f"({facts['excluded'].get(NOT_ADULT, 0)} records, rule `{NOT_ADULT}`). Images whose patient's age is not known "
        f"stay, and children may be among them: {unknown}."
    )


def _audit(audit: Mapping[str, Any], overrides: Sequence[Mapping[str, Any]], files: str) -> str:
    """Return the main results of the audit; how well the class is told without looking at the disease."""
    figures = audit["figures"]
    rows = "\n".join(
        f"| {_SEEN[name]} | {_told(figures[f'{name}_originals'])} | {_told(figures[f'{name}_pictures'])} |"
        for name in _SEEN
    )
    counted_checks = markdown(tally(audit["checks"], audit["passed"], overrides))
    return f"""\
{_elsewhere(audit.get("external"))}**{audit["headline"]}** {counted_checks}. A simple classifier, asked about
patients that it was not trained on, names the class of so many images rightly (guessing: {percent(1 / len(CLASSES))}):

| it sees only | {files} | pictures in `data/` |
|---|---|---|
{rows}

`audit.html` shows all of it with intervals, confounding, changes and examples; `audit.json` holds the numbers."""


def _elsewhere(external: Mapping[str, Any] | None) -> str:
    """Return a paragraph on whether a model trained on this works elsewhere; empty for audits that did not ask."""
    if external is None:
        return ""
    said = external["sentences"] if external["called_covid"] else external["sentences"][:1]
    return textwrap.fill(" ".join(said), _WIDTH) + "\n\n"


def _told(accuracy: float | None) -> str:
    return "not measured" if accuracy is None else percent(accuracy)


def _uniform(form: Mapping[str, Any]) -> str:
    """Say what was done to the files, and what that takes away."""
    text = (
        "No file tells by its format, mode, size or shape where it is from. Each was made of the upstream's file, "
        f"which `source_sha256` and `path` name: decoded, {form['orientation']}, made gray ({form['colour']}; more "
        f"than 8 bits: {form['deeper_than_8_bits']}), and squeezed to {form['width']} x {form['height']} pixels "
        f"({form['resampling']}). Saved as PNG without compression and metadata, every file has {form['bytes']} "
        "bytes. The aspect ratio is not kept, since borders would show it and a crop would cut lungs: do not measure "
        "shapes or lengths in these files. Sharpness, noise, borders of the film and letters are still there, and "
        "still tell."
    )
    return textwrap.fill(text, _WIDTH)


def _webp(manifest: pd.DataFrame) -> int:
    return int(manifest["format"].eq("WEBP").sum())


def _licences(manifest: pd.DataFrame, whole: Mapping[str, str | None], *, uniform: bool) -> str:
    stated = manifest["license"].fillna("(none stated)").value_counts().sort_index()
    rows = "\n".join(f"| {markdown(name)} | {count} |" for name, count in stated.items())
    flags = _no_derivatives(manifest).value_counts()
    forbidding, unnamed = (counted(flags.get(flag, 0), "image") for flag in ("yes", "unknown"))
    claims = "".join(
        f" For the whole of `{source}`, its host states: {markdown(text)}." for source, text in whole.items() if text
    )
    altered = (
        "All files under `images/`, the pictures in `data/` and `preview.jpg` are\naltered copies; the setting "
        "`licences=no-NoDerivatives` leaves out images that may not be altered. Ask a lawyer, not this\ncard, before "
        "you pass those on."
        if uniform
        else "The pictures in `data/` and `preview.jpg` are resized\ncopies: ask a lawyer, not this card, before you "
        "pass those on."
    )
    return f"""\
There is no licence of the whole.{claims} As stated by the upstreams, by number of images:

| licence | images |
|---|---|
{rows}

The licence of {forbidding} forbids derivatives, and for {unnamed} none is named; for them the column `no_derivatives`
of `ATTRIBUTION.csv` says `yes` or `unknown`. {altered}"""


def _making(facts: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| {source} | {about(source, synthetic=facts.get('synthetic', False)).reference} | `{revision}` |"
        for source, revision in facts["revisions"].items()
    )
    excluded = ", ".join(f"{rule} {count}" for rule, count in facts["excluded"].items())
    settings = ", ".join(
        f"`{name}` {'none' if value is None else markdown(value)}" for name, value in facts["settings"].items()
    )
    return f"""\
| source | what | revision |
|---|---|---|
{rows}

Settings: {settings}.

Left out, by rule: {excluded or "nothing"}. Where a class had more images than the smallest, those with the
lowest salted hash of their content were drawn. The same revisions and settings give the same manifest."""
