"""Measures a snapshot that is about to be published, and keeps what was found beside the run's tables.

The same ledger and the same earlier audit give the same bytes: nothing is drawn at random without a fixed seed, one
thread does all sums, and every figure is rounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.audit import PAGE, REPORT, confounding, examples, external, summary
from cxr_snapshot.audit.drift import extend_trend, main_figures, measure_drift
from cxr_snapshot.audit.gates import Check
from cxr_snapshot.audit.looks import load_looks
from cxr_snapshot.audit.overrides import tally, who
from cxr_snapshot.audit.page import render_page
from cxr_snapshot.audit.probes import FEWEST_GROUPS, Probe, run_probes
from cxr_snapshot.audit.words import (
    CLASSES_QUESTION,
    COLLECTION_QUESTION,
    CONTROL_QUESTION,
    WITHIN_QUESTION,
    WORST_FIRST,
    percent,
)
from cxr_snapshot.inspection.forms import Form, form_of_files, form_of_pictures
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.inspection.uniform import UniformFiles, make_files
from cxr_snapshot.plan import Plan
from cxr_snapshot.selection.judges import pick_judges
from cxr_snapshot.selection.manifest import build_manifest, file_name
from cxr_snapshot.store.encoding import json_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed

log = shown.logger(__name__)

SCHEMA_VERSION = 1
MOST_PER_CLASS = 1000  # images that the probes look at, those with the lowest SHA-256: keeps time and memory bounded

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pillow")


def write_report(
    store: Store,
    ledger: pd.DataFrame,
    checks: Sequence[Check],
    *,
    judged: pd.DataFrame | None = None,
    plan: Plan,
    splits: Mapping[str, Any],
    previous: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    overrides: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Measure, and write ``audit.json`` and ``audit.html`` into the run's folder.

    Args:
        store: holds the blobs and earlier snapshots; receives looks and pictures that are new, and the two files.
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        checks: results of the gates.
        judged: the ledger that has the collections that only judge too; ``None`` where there are none.
        plan: of the run.
        splits: from :func:`cxr_snapshot.selection.splits.split_report`.
        previous: ``snapshot.json`` of the snapshot to compare with, or ``None``.
        before: its ``audit.json``, or ``None``.
        overrides: what the run's setting accepts, from :func:`cxr_snapshot.audit.overrides.by_setting`.

    Returns:
        The main results; see :func:`cxr_snapshot.audit.summary`.
    """
    form, pictures = form_of_files(plan["settings"]), Pictures(store, form_of_pictures(plan["settings"]))
    files = None if form is None else UniformFiles(store, form)
    manifest, control = (_as_published(images, form) for images in (build_manifest(ledger), control_images(ledger)))
    duplicates = examples.pick_duplicates(ledger)
    described, sample = _described(manifest), draw_sample(manifest)
    judges = external.who_judges(sample, pick_judges(ledger, judged))
    wanted = {*sample["sha256"], *control["sha256"], *judges.loc[judges["judges"], "sha256"]}
    sizes = _sizes((ledger, judged), wanted)
    del ledger, judged, manifest  # the probes need the memory
    looks = load_looks(store, pictures.form, plan["folder"], sizes, files)
    seen = _with_looks(sample, looks)
    probes = ask_all(seen, _with_looks(control, looks), uniform=form is not None, side=pictures.form.side)
    described["external"] = external.check_elsewhere(
        seen, _with_looks(judges, looks), plan.get("judges", {}), synthetic=plan["synthetic"]
    )
    del seen
    picked = {
        "duplicates": duplicates,
        "shortcuts": _named(examples.pick_shortcuts(sample, probes), sample, files),
        "texts": _named(examples.pick_texts(sample, looks), sample, files),
    }
    facts: dict[str, Any] = {"revisions": plan["revisions"], "settings": plan["settings"], "splits": splits}
    facts |= {"synthetic": True} if plan["synthetic"] else {}
    report = _measured(described | facts, checks, probes, before, previous) | {"examples": picked}
    report = conclude(report, overrides)
    for name, body in report_files(pictures, report).items():
        put_sealed(store, f"{plan['folder']}/{name}", body)
    found = summary(report)
    log.info("%s Read %s", found["headline"], store.uri(f"{plan['folder']}/{PAGE}"))
    return found


def conclude(report: Mapping[str, Any], overrides: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the content of ``audit.json`` with its verdict, once so much is accepted of what failed.

    Args:
        report: the content without these, or with earlier ones.
        overrides: all that was accepted; see :mod:`cxr_snapshot.audit.overrides`.
    """
    accepted = {override["check"]: who(override) for override in overrides}
    checks = [check | {"accepted_by": accepted.get(check["name"])} for check in report["checks"]]
    said = verdict(report["probes"], report["confounding"], checks, overrides, report.get("external"))
    return {**report, "checks": checks, "overrides": list(overrides), "verdict": said}


def report_files(pictures: Pictures, report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return ``audit.json`` and ``audit.html``, the same bytes whether ``report`` is fresh or was read back."""
    return {REPORT: json_bytes(dict(report)), PAGE: render_page(report, _sheets(pictures, report["examples"]))}


def draw_sample(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return up to ``MOST_PER_CLASS`` images of each class, the same ones as long as they are published."""
    lowest = manifest[["class", "sha256"]].sort_values("sha256").groupby("class").head(MOST_PER_CLASS)
    return manifest.loc[lowest.index].reset_index(drop=True)


def ask_all(sample: pd.DataFrame, control: pd.DataFrame, *, uniform: bool, side: int) -> list[Probe]:
    """Run the probes on every question.

    Args:
        sample: from :func:`draw_sample`, with looks.
        control: from :func:`control_images`, with looks.
        uniform: as for :func:`run_probes`.
        side: likewise.
    """
    asked = {
        CLASSES_QUESTION: sample.assign(label=sample["class"]),
        CONTROL_QUESTION: control,
        WITHIN_QUESTION: within_collection(sample),
        COLLECTION_QUESTION: enough_of_each(sample.assign(label=sample["source"])),
    }
    found = (run_probes(images, question, uniform=uniform, side=side) for question, images in asked.items())
    return [probe for probes in found for probe in probes]


def within_collection(sample: pd.DataFrame) -> pd.DataFrame:
    """Return the NORMAL and PNEUMONIA images of the collection that gives most of them, with the class as ``label``.

    Within one collection the source gives no class away.

    Args:
        sample: from :func:`draw_sample`.
    """
    both = sample[sample["class"].isin(["NORMAL", "PNEUMONIA"])].assign(label=sample["class"])
    counts = both.groupby("source")["class"].agg(["nunique", "size"]).query("nunique == 2")["size"]
    return both[both["source"].eq(min(counts.index, key=lambda name: (-counts[name], name), default=""))]


def enough_of_each(images: pd.DataFrame) -> pd.DataFrame:
    """Return the images whose ``label`` has patients enough to be told from others."""
    return images[images.groupby("label")["group"].transform("nunique").ge(FEWEST_GROUPS)]


def control_images(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return frontal X-rays of the COVID collection alone, with ``label`` ``COVID`` or ``OTHER``.

    Those of other findings are in no snapshot, as the classes come from Kaggle, but they are from the same sources as
    those of COVID-19. So here it shows what a probe finds where source and class are not the same thing.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
    """
    candidate = ledger["rule"].isna() | ledger["rule"].eq("not_drawn")
    sources = set(ledger.loc[candidate & ledger["class"].eq("COVID"), "source"])
    sound = ledger[ledger["source"].isin(sources) & ledger["pixel_sha256"].notna() & ledger["group"].notna()]
    frontal = sound[sound["view_kind"].eq("frontal") & sound["modality_kind"].eq("X-ray")]
    drawn = candidate.loc[frontal.index]
    covid = drawn & frontal["class"].eq("COVID")
    other = (drawn & ~covid) | frontal["rule"].eq("other_finding")
    labelled = pd.concat([frontal[covid].assign(label="COVID"), frontal[other].assign(label="OTHER")])
    return labelled.sort_values("sha256").groupby("label").head(MOST_PER_CLASS).reset_index(drop=True)


def verdict(
    probes: Sequence[Mapping[str, Any]],
    attributes: Sequence[Mapping[str, Any]],
    checks: Sequence[Mapping[str, Any]],
    overrides: Sequence[Mapping[str, Any]],
    elsewhere: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Sum up in words that a clinician can quote.

    Args:
        probes: ``probes`` of ``audit.json``.
        attributes: ``confounding`` there.
        checks: ``checks`` there.
        overrides: ``overrides`` there.
        elsewhere: ``external`` there; ``None`` in what an older version measured. Where it fails, nothing is stronger.

    Returns:
        ``level`` (the worst of all), ``headline`` and ``sentences``.
    """
    asked = [probe for probe in probes if probe["question"] == CLASSES_QUESTION]
    fails = elsewhere is not None and elsewhere["level"] == "fails"
    levels = {each["level"] for each in (*asked, *attributes)} | ({"strong"} if fails else set())
    level = next(name for name in WORST_FIRST if name in levels)
    headline = {
        "strong": "This dataset teaches where an image is from. No score on it can say whether it teaches the disease.",
        "some": "Some of what tells the classes apart has nothing to do with the disease.",
        "none": "No shortcut was found by these probes. That does not prove that there is none.",
        "unmeasured": "There are too few patients to measure shortcuts.",
    }[level]
    if elsewhere and fails:
        headline = external.failure(elsewhere)
    blind = [probe for probe in asked if probe["name"] != "thumbnail" and probe["accuracy"] is not None]
    sentences = list(elsewhere["sentences"]) if elsewhere and elsewhere["called_covid"] else []
    if told := [probe for probe in blind if probe["level"] != "none"]:
        best = max(told, key=lambda probe: (probe["accuracy"], probe["name"]))
        sentences.append(
            f"Without seeing a lung, a simple classifier names the class of {percent(best['accuracy'])} of the images "
            f"rightly (guessing: {percent(best['chance'])}); it sees only {best['sees']}."
        )
    telling = [each["name"] for each in attributes if each["level"] == "strong"]
    if telling:
        sentences.append(f"The class goes strongly with: {', '.join(telling)}.")
    if blind and not told:
        sentences.append("No classifier that sees no lung did clearly better than guessing.")
    unsettled = [check["name"] for check in checks if not check["passed"] and check["accepted_by"] is None]
    counted = tally(len(checks), sum(check["passed"] for check in checks), overrides)
    asked_about = f"; {', '.join(unsettled)} failed, and a person is asked" if unsettled else ""
    sentences.append(f"{counted}{asked_about}.")
    return {"level": level, "headline": headline, "sentences": sentences}


def _sizes(ledgers: Iterable[pd.DataFrame | None], wanted: Collection[str]) -> dict[str, int]:
    """Return the bytes of blobs by SHA-256; not of what is published of them."""
    found = (images.loc[images["sha256"].isin(wanted), ["sha256", "bytes"]] for images in ledgers if images is not None)
    return {sha256: size for images in found for sha256, size in images.itertuples(index=False)}


def _as_published(images: pd.DataFrame, form: Form | None) -> pd.DataFrame:
    """Return images with the facts of the files that are published of them; they still go by their blobs."""
    return images if form is None else images.assign(**form.facts)


def _named(picked: list[dict[str, Any]], sample: pd.DataFrame, files: UniformFiles | None) -> list[dict[str, Any]]:
    """Return examples with the names of the files that are published."""
    if files is None:
        return picked
    made = make_files(files, [each["sha256"] for each in picked])["sha256"]
    sources = dict(zip(sample["sha256"], sample["source"], strict=True))
    names = (file_name(each["class"], sources[each["sha256"]], made[each["sha256"]], "PNG") for each in picked)
    return [{**each, "file": name} for each, name in zip(picked, names, strict=True)]


def _described(manifest: pd.DataFrame) -> dict[str, Any]:
    """Return what ``audit.json`` says of the published images without looking at them."""
    return {
        "confounding": confounding.measure_confounding(manifest),
        "ages": confounding.describe_ages(manifest),
        "sexes": confounding.count_sexes(manifest),
        "patients": confounding.count_patients(manifest),
    }


def _measured(
    described: Mapping[str, Any],
    checks: Sequence[Check],
    probes: Sequence[Probe],
    before: Mapping[str, Any] | None,
    previous: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the content of ``audit.json`` without verdict and examples; in ``described`` is what needs no look."""
    followed = external.figures(described["external"])
    figures = main_figures(described["confounding"], described["ages"], described["patients"], probes, followed)
    return {
        "schema_version": SCHEMA_VERSION,
        "checks": [check.as_dict() for check in checks],
        **described,
        "probes": [probe.as_dict() for probe in probes],
        "figures": figures,
        "previous": previous["version"] if previous else None,
        "drift": measure_drift(figures, before, described["settings"]),
        "trend": extend_trend(before, previous),
        "most_per_class": MOST_PER_CLASS,
        "made_with": {name: version(name) for name in _LIBRARIES},
    }


def _sheets(pictures: Pictures, picked: Mapping[str, Any]) -> dict[str, bytes]:
    """Return contact sheets as JPEG by name, of what there is."""
    sheets, found = {}, examples.load_pictures(pictures, picked)
    if picked["duplicates"]:
        sheets["duplicates"] = examples.draw_duplicates(found, picked["duplicates"])
    if picked["shortcuts"]:
        sheets["shortcuts"] = examples.draw_by_class(found, picked["shortcuts"], without_lungs=True)
    if picked["texts"]:
        sheets["texts"] = examples.draw_by_class(found, picked["texts"])
    return sheets


def _with_looks(images: pd.DataFrame, looks: pd.DataFrame) -> pd.DataFrame:
    return images.merge(looks, on="sha256", how="left", validate="many_to_one")
