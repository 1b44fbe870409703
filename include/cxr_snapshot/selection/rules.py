"""Which records are in, as an ordered table of named rules. The first rule that a record breaks excludes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from cxr_snapshot.selection.hints import similar_files, similar_rows
from cxr_snapshot.selection.patients import children_in, diseases_of
from cxr_snapshot.settings import (
    ADULTS_ONLY,
    ANY_AGE,
    ANY_LICENCE,
    KNOWN_LICENCES,
    NO_NODERIVATIVES,
    PREFER_UPSTREAM,
)
from cxr_snapshot.sources.words import CLASS_OF_FINDING, NOT_LABELLED, licence_kind
from cxr_snapshot.store.withdrawals import WITHDRAWN, Withdrawal, erased_files, told_of
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA, conform

# Who says that such records are to be left out; docs/rules.md explains these words.
_SCHEMA = "SCHEMA.md"
_PAPER = "paper"
_HISTORY = "history"
_LAYOUT = "layout"
_PROJECT = "project"

_MOST_RULES, _SHOWN = 5, 100  # that a remedy lists, and characters of an example there
_LITTER = ("mac_metadata", "nested_copy", "blank_row", "duplicate_row")

NOT_ADULT = "not_adult"


@dataclass(frozen=True)
class Rule:
    """One reason to leave a record out.

    Attributes:
        name: what the ledger calls it.
        reason: why, in a sentence for people.
        breaks: which records break it, from the ledger with the helper columns of :func:`_facts`; ``None`` for rules
            that another module applies, because they need more than the record itself.
        evidence: columns whose values show it.
        warn: whether people should hear of it, because upstream said something unknown.
        origin: who says so, in a word that docs/rules.md explains.
    """

    name: str
    reason: str
    breaks: Callable[[pd.DataFrame], pd.Series] | None = None
    evidence: tuple[str, ...] = ()
    warn: bool = False
    origin: str = _PROJECT


def _has_problem(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda facts: facts["problem"].eq(name)


RULES = (
    Rule(
        WITHDRAWN,
        "Taken back by a patient or a publisher, as are its copies.",
        lambda facts: facts["withdrawn"].notna(),
        ("withdrawn",),
    ),
    Rule("mac_metadata", "A file that macOS adds to zips; it is no image.", origin=_LAYOUT),
    Rule(
        "nested_copy",
        "The zip holds its content twice; this is the second copy of a file that is there.",
        origin=_LAYOUT,
    ),
    Rule(
        "unusable_name",
        "The path holds a control character, a backslash, bytes that are no UTF-8, or more than 1,024 bytes.",
        warn=True,
    ),
    Rule("too_large", "The file has more than 64 MB, about twice what a full-size radiograph needs.", warn=True),
    Rule("blank_row", "An empty line in metadata.csv.", origin=_HISTORY),
    Rule(
        "ragged_row",
        "A row of metadata.csv with too few or too many cells, which no rule can put right.",
        warn=True,
        origin=_HISTORY,
    ),
    Rule(
        "shifted_row",
        "A row of metadata.csv with cells that belong to other columns, so that none of them can be trusted.",
        warn=True,
        origin=_HISTORY,
    ),
    Rule("duplicate_row", "A second row of metadata.csv for a file that already has one.", origin=_HISTORY),
    Rule(
        "contradictory_rows",
        "Several rows of metadata.csv name this file and disagree on finding, view or modality.",
        warn=True,
        origin=_HISTORY,
    ),
    Rule("no_file_name", "A row of metadata.csv that names no file.", lambda facts: facts["path"].isna()),
    Rule(
        "unknown_folder",
        "The folder is a word that is not known; it is not guessed.",
        lambda facts: facts["folder"].notna() & facts["folder_kind"].isna(),
        ("folder",),
        warn=True,
    ),
    Rule(
        "other_folder",
        "The row belongs to a file outside images/, such as a CT volume.",
        lambda facts: facts["folder_kind"].notna() & facts["folder_kind"].ne("images"),
        ("folder",),
        origin=_HISTORY,
    ),
    Rule(
        "missing_file",
        "The file that the row names is not in the upstream.",
        lambda facts: ~facts["in_upstream"],
        ("similar_files",),
        origin=_HISTORY,
    ),
    Rule(
        "no_metadata_row",
        "No row of metadata.csv names this image, so nothing is known of it.",
        lambda facts: facts["has_table"] & facts["metadata_line"].isna(),
        ("similar_rows",),
        origin=_HISTORY,
    ),
    Rule("unexpected_path", "The file lies outside the class folders.", origin=_LAYOUT),
    Rule(
        "unknown_modality",
        "The modality is a word that is not known; it is not guessed.",
        lambda facts: facts["modality_kind"].isna(),
        ("modality",),
        warn=True,
        origin=_SCHEMA,
    ),
    Rule(
        "not_xray",
        "Not a projection radiograph.",
        lambda facts: ~facts["modality_kind"].isin(["X-ray", NOT_LABELLED]),
        ("modality", "view"),
        origin=_SCHEMA,
    ),
    Rule(
        "unknown_finding",
        "The finding is a word that is not known; it is not guessed.",
        lambda facts: facts["class"].isna() & facts["finding_kind"].isna(),
        ("finding",),
        warn=True,
        origin=_SCHEMA,
    ),
    Rule(
        "other_finding",
        "The finding is none of those that are collected from this source.",
        lambda facts: facts["class"].isna() & facts["finding_kind"].ne(NOT_LABELLED),
        ("finding",),
        origin=_SCHEMA,
    ),
    Rule(
        "patient_of_another_class",
        "Another row says that this patient has another disease, and no patient is in two classes.",
        lambda facts: facts["diseases"].notna(),
        ("diseases",),
    ),
    Rule(
        NOT_ADULT,
        "Known to show somebody younger than 18 years, where only adults were asked for.",
        lambda facts: facts["child"].notna(),
        ("child",),
    ),
    Rule(
        "unknown_view",
        "The view is a word that is not known; it is not guessed.",
        lambda facts: facts["view_kind"].isna(),
        ("view",),
        warn=True,
        origin=_SCHEMA,
    ),
    Rule(
        "unwanted_view",
        "The view is not among those asked for.",
        lambda facts: ~facts["view_wanted"] & facts["view_kind"].ne(NOT_LABELLED),
        ("view",),
        origin=_PAPER,
    ),
    Rule(
        "not_labelled",
        "Upstream has not looked yet: finding, view or modality is empty or a placeholder such as todo.",
        lambda facts: facts[["finding_kind", "view_kind", "modality_kind"]].isin([NOT_LABELLED]).any(axis=1),
        ("finding", "view", "modality"),
        origin=_HISTORY,
    ),
    Rule(
        "licence_not_allowed",
        "The licence is not among those asked for.",
        lambda facts: ~facts["licence_allowed"],
        ("license",),
        origin=_SCHEMA,
    ),
    Rule(
        "not_an_image",
        "The content is of no image format that is read here.",
        _has_problem("not_an_image"),
        ("detail",),
    ),
    Rule(
        "too_many_pixels",
        "So large that it may be a decompression bomb, or that decoding could take all memory.",
        _has_problem("too_many_pixels"),
        ("detail",),
    ),
    Rule("multiple_frames", "The file holds several pictures.", _has_problem("multiple_frames"), ("detail",)),
    Rule("too_small", "Too small to show a chest.", _has_problem("too_small"), ("detail",)),
    Rule("impossible_shape", "So long and thin that it shows no chest.", _has_problem("impossible_shape"), ("detail",)),
    Rule(
        "too_many_scans",
        "A JPEG that draws its pixels over and over, so that decoding could take minutes.",
        _has_problem("too_many_scans"),
        ("detail",),
    ),
    Rule(
        "truncated_or_damaged",
        "The file cannot be decoded to its end, or only with faults.",
        _has_problem("truncated_or_damaged"),
        ("detail",),
        warn=True,
    ),
    Rule(
        "invisible",
        "Nothing can be seen: nearly all pixels are transparent or of one shade.",
        _has_problem("invisible"),
        ("detail",),
        warn=True,
    ),
    Rule(
        "too_many_lookalikes",
        "More different pictures look like this one than can be copies, as blank or template pictures do.",
        warn=True,
    ),
    Rule(
        "duplicate_across_classes",
        "Upstream says different things of the same picture; none of its copies is used.",
        warn=True,
    ),
    Rule("duplicate_image", "Pixel by pixel the same picture as another one of the same class, which stays."),
    Rule("near_duplicate_image", "A resized, cropped or otherwise changed copy of another picture of the same class."),
    Rule("not_drawn", "Sound, but not drawn when the classes were cut to equal size."),
)
REASONS = {rule.name: rule.reason for rule in RULES}


def filter_records(
    ledger: pd.DataFrame,
    inspections: pd.DataFrame,
    *,
    views: str,
    licences: str,
    controls: str,
    ages: str = ANY_AGE,
    withdrawals: Sequence[Withdrawal] = (),
) -> pd.DataFrame:
    """Apply the rules to every record that is still in.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
        inspections: columns of ``INSPECTION_SCHEMA``; a row for every blob of the ledger.
        views: setting of that name.
        licences: setting of that name.
        controls: setting of that name; ``prefer-upstream`` gives classes to images of the COVID collection that show
            another pneumonia or nothing.
        ages: setting of that name.
        withdrawals: what was taken back. Of a file that was erased no picture is known any more.

    Returns:
        The ledger with the same rows, what the inspections found, and each excluded record's rule, reason and evidence.

    Raises:
        KeyError: a blob was not inspected.
    """
    erased = erased_files(withdrawals)
    uninspected = set(ledger["sha256"].dropna()) - set(inspections["sha256"]) - erased
    if uninspected:
        raise KeyError(f"{len(uninspected)} blobs were not inspected, such as {min(uninspected)}; run inspect again")
    facts = _facts(ledger, inspections[~inspections["sha256"].isin(erased)], views, licences, controls)
    facts["withdrawn"] = told_of(withdrawals, facts, facts["sha256"])
    facts["rule"] = facts["rule"].mask(facts["withdrawn"].notna())  # goes before what the source said
    facts["child"] = children_in(facts) if ages == ADULTS_ONLY else None
    for rule in RULES:
        if rule.breaks is None:
            continue
        broken = facts["rule"].isna() & rule.breaks(facts).fillna(value=False)
        if not broken.any():
            continue
        facts.loc[broken, "rule"] = rule.name
        facts.loc[broken, "evidence"] = facts.loc[broken].apply(
            lambda row, columns=rule.evidence: ", ".join(f"{name}: {_shown(row[name])}" for name in columns), axis=1
        )
    return conform(with_reasons(facts), LEDGER_SCHEMA)


def with_reasons(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger with ``reason`` filled from the name of the rule."""
    return ledger.assign(reason=ledger["rule"].map(REASONS))


def excluded_by_rule(ledger: pd.DataFrame) -> dict[str, int]:
    """Count the excluded records by rule, in the order of the rules."""
    counts = ledger["rule"].value_counts()
    return {rule.name: int(counts[rule.name]) for rule in RULES if rule.name in counts}


def taken_by_class(ledger: pd.DataFrame) -> dict[str, str]:
    """Say for each class which rules left out its images, and those that might have been of it, each with an example.

    Rules that leave out litter and second copies take nothing from a class.
    """
    shown = ["class", "rule", "path", "metadata_line"]
    out = ledger.loc[ledger["rule"].notna() & ~ledger["rule"].isin(_LITTER), shown]
    return {name: _taken(out[out["class"].isna() | out["class"].eq(name)]) for name in CLASSES}


def _taken(out: pd.DataFrame) -> str:
    lines = "line " + out["metadata_line"].astype("string")
    names = dict(zip(out["rule"], out["path"].fillna(lines).str[:_SHOWN], strict=True))
    counts = out["rule"].value_counts().head(_MOST_RULES)
    return ", ".join(f"{rule} {count} (such as {names[rule]})" for rule, count in counts.items()) or "none"


def warnings_of(ledger: pd.DataFrame) -> list[str]:
    """Return a sentence for each rule that people should hear of, with its count and some of the evidence.

    The first one is about cells of the tables that were not read as they stand there.
    """
    mended = ledger["mended"].dropna()
    examples = "; ".join(sorted(set(mended.str[:100]))[:5])
    found = [f"{len(mended)} rows hold cells that look damaged: {examples}"] if len(mended) else []
    warned = [rule for rule in RULES if rule.warn]
    hits = ledger.loc[ledger["rule"].isin([rule.name for rule in warned]), ["rule", "evidence"]]
    said = dict(iter(hits.groupby("rule")["evidence"]))
    for rule in warned:
        if (evidence := said.get(rule.name)) is not None:
            examples = "; ".join(sorted(set(evidence.dropna().str[:100]))[:5])
            found.append(f"{len(evidence)} x {rule.name}: {rule.reason} {examples}".rstrip())
    return found


def _facts(ledger: pd.DataFrame, inspections: pd.DataFrame, views: str, licences: str, controls: str) -> pd.DataFrame:
    """Add the helper columns that the rules look at."""
    found = [name for name in inspections.columns if name != "sha256"]
    facts = ledger.drop(columns=found, errors="ignore").merge(inspections, on="sha256", how="left")
    if controls == PREFER_UPSTREAM:
        facts["class"] = facts["class"].fillna(facts["finding_kind"].map(CLASS_OF_FINDING))
    facts["diseases"] = diseases_of(facts)
    has_table = facts["source"].isin(facts.loc[facts["metadata_line"].notna(), "source"])
    return facts.assign(
        has_table=has_table,
        view_wanted=facts["view_kind"].isin(views.split("+")),
        licence_allowed=_licence_allowed(facts["license"], licences),
        similar_files=similar_files(facts[has_table]),
        similar_rows=similar_rows(facts[has_table]),
    )


def _licence_allowed(licenses: pd.Series, licences: str) -> pd.Series:
    kinds = licenses.map(licence_kind, na_action="ignore").fillna("none named")
    refused = {ANY_LICENCE: [], NO_NODERIVATIVES: ["no-derivatives"], KNOWN_LICENCES: ["no-derivatives", "none named"]}
    return ~kinds.isin(refused[licences])


def _shown(value: object) -> str:
    return "(empty)" if pd.isna(value) else str(value)  # type: ignore[call-overload]
