"""Gates: checks that must hold before anything is published. Each result is data, with what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cxr_snapshot.errors import GuardError
from cxr_snapshot.ingestion.delivered import Delivered
from cxr_snapshot.plan import Plan
from cxr_snapshot.selection.balance import candidate_counts, class_counts
from cxr_snapshot.selection.ledger import load_ledger
from cxr_snapshot.selection.lookalikes import find_lookalikes
from cxr_snapshot.selection.rules import REASONS, taken_by_class
from cxr_snapshot.selection.splits import split_report
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.words import CLASS_OF_FINDING, modality, plain, view_kind
from cxr_snapshot.store.objects import Store

EXAMPLES = 5  # records that the evidence of a failed check names

_OUR_FAULT = "This is a fault of the pipeline. Report it with the run's balanced.parquet."
_ROW = ["source", "metadata_line"]


@dataclass(frozen=True)
class Check:
    """One result.

    Attributes:
        name: short name.
        description: what must hold.
        value: what was measured.
        threshold: what it was measured against.
        passed: whether it holds.
        remedy: what to do when it does not.
        required: whether nothing may be published without it; if not, a person may decide to publish all the same.
        evidence: some of the records that break it.
    """

    name: str
    description: str
    value: Any
    threshold: Any
    passed: bool
    remedy: str
    required: bool = True
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data for an XCom and for ``audit.json``."""
        return asdict(self) | {"evidence": list(self.evidence)}


def run_checks(
    store: Store, settings: Settings, plan: Plan, delivered: Delivered, base: Mapping[str, Any] | None
) -> tuple[list[Check], dict[str, Any]]:
    """Run all checks on a balanced ledger.

    Args:
        store: holds the run's tables.
        settings: of the run.
        plan: of the run.
        delivered: what the sources delivered.
        base: ``snapshot.json`` of the snapshot to compare with, or ``None``.

    Returns:
        The results, and how the images fall into the splits; see :func:`cxr_snapshot.selection.splits.split_report`.
    """
    # Before the ledger is here, and no more of it than is needed: each of the two takes much memory.
    records, images = delivered.records()[["metadata_line"]], delivered.images()
    paths = set(zip(images["source"], images["path"], strict=True))
    del images
    ledger = load_ledger(store, plan["folder"], "balanced")
    published, lookalikes = ledger[ledger["rule"].isna()], find_lookalikes(store, ledger["phash"].dropna())
    splits = split_report(published)
    checks = [
        *check_ledger(ledger, records, paths),
        *check_pictures(published, lookalikes, plan["settings"]["views"]),
        check_patients(ledger),
        *check_splits(splits),
        *check_classes(
            candidate_counts(ledger),
            class_counts(ledger),
            previous_candidates(base, plan["settings"]),
            settings.max_shrink,
            accept_shrink=plan["accept_shrink"],
            taken=taken_by_class(ledger),
        ),
        check_labels(ledger, settings.max_unknown),
    ]
    return checks, splits


def check_ledger(ledger: pd.DataFrame, records: pd.DataFrame, paths: set[tuple[str, str]]) -> list[Check]:
    """Check that nothing was lost and nothing is there twice.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        records: the records as the sources gave them, before any rule; their ``metadata_line``.
        paths: source and path of every file that was delivered, counted apart from the records.
    """
    images = ledger[ledger["in_upstream"].eq(other=True)]
    with_row = ledger[ledger["metadata_line"].notna()]
    lost = paths ^ set(zip(images["source"], images["path"], strict=True))
    rows_lost = [f"line {n}" for n in set(with_row["metadata_line"]) ^ set(records["metadata_line"].dropna())]
    twice = pd.concat([images[images.duplicated(["source", "path"])], with_row[with_row.duplicated(_ROW)]])
    unexplained = ledger[ledger["rule"].notna() & ~ledger["rule"].isin(list(REASONS))]
    return [
        _none("images_lost", "Every upstream image is in the manifest or excluded.", [":".join(p) for p in lost]),
        _none("rows_lost", "Every row of metadata.csv is in the manifest or excluded.", rows_lost),
        _none("counted_twice", "Nothing is in the ledger twice.", _names(twice)),
        _none("unexplained", "Every exclusion has a known rule.", _names(unexplained)),
    ]


def check_pictures(published: pd.DataFrame, lookalikes: Mapping[str, int], views: str) -> list[Check]:
    """Check once more, from the upstreams' own words and the pictures' hashes, what is about to be published.

    Args:
        published: the ledger's rows that are in, columns of ``LEDGER_SCHEMA``.
        lookalikes: by fingerprint, a number that is the same for those that look alike.
        views: setting of that name.
    """
    undecoded = published[published[["pixel_sha256", "phash", "width", "height"]].isna().any(axis=1)]
    in_several = published.groupby("pixel_sha256")["class"].transform("nunique") > 1
    alike = published[
        published["phash"].dropna().map(lookalikes).duplicated().reindex(published.index, fill_value=False)
    ]
    unwanted = published[
        published["modality"].map(modality).ne("X-ray")
        | ~published["view"].map(view_kind).isin(views.split("+"))
        | published["folder"].fillna("images").map(lambda text: plain(text).strip("/")).ne("images")
    ]
    contradicted = published[published["finding_kind"].map(CLASS_OF_FINDING).ne(published["class"])]
    return [
        _none("undecoded", "Every published file was decoded to its end.", _names(undecoded)),
        _none("duplicates_across_classes", "No picture is published in two classes.", _names(published[in_several])),
        _none("unresolved_lookalikes", "No picture is published twice, not even resized.", _names(alike)),
        _none("unwanted_pictures", "No CT, no CT volume and no view that was not asked for.", _names(unwanted)),
        _none("contradicted_labels", "The upstream's own words agree with the class.", _names(contradicted)),
    ]


def check_patients(ledger: pd.DataFrame) -> Check:
    """Check that each published image is of the class of its patient, of whom any record may say what it is.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
    """
    order = {"COVID": 0, "PNEUMONIA": 1, "NORMAL": 2}
    said = ledger["finding_kind"].map(CLASS_OF_FINDING).map(order).groupby(ledger["patient_id"]).min()
    published = ledger[ledger["rule"].isna() & ledger["patient_id"].notna()]
    elsewhere = published["class"].map(order) > published["patient_id"].map(said)
    found = _names(published[elsewhere])
    return _none("patients_in_several_classes", "No patient is in two classes, nor in one that a row denies.", found)


def check_splits(report: Mapping[str, Any]) -> list[Check]:
    """Check that no patient and no group of look-alikes is in two splits.

    Args:
        report: from :func:`cxr_snapshot.selection.splits.split_report`.
    """
    return [
        Check(name, f"No {what} is in two splits.", report[name], 0, report[name] == 0, _OUR_FAULT)
        for name, what in (("groups_in_several_splits", "group"), ("patients_in_several_splits", "patient"))
    ]


def check_classes(
    candidates: Mapping[str, int],
    published: Mapping[str, int],
    previous: Mapping[str, int] | None,
    max_shrink: float,
    *,
    accept_shrink: bool,
    taken: Mapping[str, str] | None = None,
) -> list[Check]:
    """Check that no class is empty, that all have the same size, and that none shrank suspiciously.

    Args:
        candidates: images of each class before balancing.
        published: images of each class after it.
        previous: candidates of the latest snapshot with the same settings, or ``None``.
        max_shrink: largest fraction that a class may lose.
        accept_shrink: publish although a class shrank.
        taken: by class, what became of its images; from :func:`cxr_snapshot.selection.rules.taken_by_class`.
    """
    smallest = min(candidates, key=lambda name: candidates[name])
    checks = [
        Check(
            "smallest_class",
            "Every class has images.",
            f"{smallest}: {candidates[smallest]}",
            1,
            candidates[smallest] > 0,
            f"What could be {smallest} was left out by these rules: {(taken or {}).get(smallest, 'none')}.",
        ),
        Check(
            "classes_equal",
            "All classes have the same size.",
            dict(published),
            "equal",
            len(set(published.values())) == 1,
            "This is a fault of the pipeline. Report it.",
        ),
    ]
    for name, before in (previous or {}).items():
        loss = 1 - candidates[name] / before if before else 0.0
        checks.append(
            Check(
                f"shrink_{name}",
                f"{name} did not lose more than {max_shrink:.0%} of its candidates since the latest snapshot.",
                f"{before} to {candidates[name]}",
                max_shrink,
                loss <= max_shrink or accept_shrink,
                "Look at what upstream removed. If it is right, trigger one run with accept_shrink.",
                required=False,
            )
        )
    return checks


def check_labels(ledger: pd.DataFrame, max_unknown: float) -> Check:
    """Check that upstream did not start to use words that nobody here knows yet.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
        max_unknown: largest fraction of the rows of ``metadata.csv`` that may be left out for such a word.
    """
    rows = ledger[ledger["metadata_line"].notna()]
    unknown = rows.loc[rows["rule"].str.startswith("unknown_", na=False), "rule"]
    names = ", ".join(f"{rule} {count}" for rule, count in unknown.value_counts().items())
    return Check(
        "unknown_labels",
        f"Not more than {max_unknown:.0%} of the rows of metadata.csv are left out for words that are not known.",
        f"{len(unknown)} of {len(rows)}" + (f" ({names})" if names else ""),
        max_unknown,
        len(unknown) <= max_unknown * len(rows),
        "Look at the warnings of the task filter. Teach the collection's file in sources/ the new words, or raise "
        "CXR_MAX_UNKNOWN.",
        required=False,
    )


def require(checks: list[Check], *, approval: bool = False) -> list[Check]:
    """Refuse to go on when a check failed.

    Args:
        checks: the results.
        approval: whether a person is asked about checks that are not ``required``; then these alone refuse nothing.

    Returns:
        The failed checks, about which a person is asked.

    Raises:
        GuardError: names every failed check, its value, its limit and the remedy.
    """
    failed = [check for check in checks if not check.passed]
    if failed and not (approval and not any(check.required for check in failed)):
        lines = [f"{check.name} is {check.value}, limit {check.threshold}. {check.remedy}" for check in failed]
        raise GuardError("Nothing is published; the previous snapshot stays the latest. " + " ".join(lines))
    return failed


def describe(failed: list[Check]) -> str:
    """Return a Markdown list of failed checks, for the person who decides; empty for none."""
    return "\n".join(
        f"- **{check.name}**: {check.value}, limit {check.threshold}. {check.description} {check.remedy}"
        for check in failed
    )


def previous_candidates(latest: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return the candidates of the latest snapshot, if it was made with the same settings and so can be compared."""
    if latest is None or latest["settings"] != settings:
        return None
    candidates: Mapping[str, int] = latest["candidates"]
    return candidates


def _names(rows: pd.DataFrame) -> list[str]:
    """Name records as people find them: source and path, or the line of metadata.csv."""
    lines = "line " + rows["metadata_line"].astype("string")
    return list(rows["source"] + ":" + rows["path"].fillna(lines))


def _none(name: str, description: str, found: list[str]) -> Check:
    """Return the result of a check that nothing may break."""
    return Check(name, description, len(found), 0, not found, _OUR_FAULT, evidence=tuple(sorted(found)[:EXAMPLES]))
