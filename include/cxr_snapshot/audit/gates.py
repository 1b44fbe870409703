"""Gates: checks that must hold before anything is published. Each result is data, with what shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pandas as pd

from cxr_snapshot.audit.history import REMEMBERED, Entry, best
from cxr_snapshot.audit.words import exact_percent
from cxr_snapshot.errors import GuardError
from cxr_snapshot.ingestion.delivered import Delivered
from cxr_snapshot.inspection.descriptions import Descriptions
from cxr_snapshot.plan import Plan
from cxr_snapshot.selection.balance import candidate_counts, class_counts, withdrawn_counts
from cxr_snapshot.selection.duplicates import clusters_of
from cxr_snapshot.selection.ledger import load_ledger
from cxr_snapshot.selection.lookalikes import find_copies
from cxr_snapshot.selection.rules import REASONS, taken_by_class
from cxr_snapshot.selection.splits import split_report
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.words import CLASS_OF_FINDING, modality, plain, view_kind
from cxr_snapshot.store.objects import Store

EXAMPLES = 5  # records that the evidence of a failed check names

_OUR_FAULT = "This is a fault of the pipeline. Report it with the run's balanced.parquet."
_ROW = ["source", "metadata_line"]
_LAST = "the last snapshot with these settings"


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
        finding: what was found, in a sentence for the person who decides; made of name, value and limit if not given.
        measured: the same in numbers, with the ``fraction`` that the threshold limits; a lost ``class`` is named.
    """

    name: str
    description: str
    value: Any
    threshold: Any
    passed: bool
    remedy: str
    required: bool = True
    evidence: tuple[str, ...] = ()
    finding: str = ""
    measured: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> str:
        """What was found, in a sentence."""
        return self.finding or f"{self.name} is {self.value}, limit {self.threshold}."

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data for an XCom and for ``audit.json``."""
        return asdict(self) | {"evidence": list(self.evidence), "finding": self.found}


def run_checks(
    store: Store, settings: Settings, plan: Plan, delivered: Delivered, earlier: Sequence[Entry]
) -> tuple[list[Check], dict[str, Any]]:
    """Run all checks on a balanced ledger.

    Args:
        store: holds the run's tables.
        settings: of the run.
        plan: of the run.
        delivered: what the sources delivered.
        earlier: snapshots with the same settings, from :func:`cxr_snapshot.audit.history.comparable`.

    Returns:
        The results, and how the images fall into the splits; see :func:`cxr_snapshot.selection.splits.split_report`.
    """
    # Before the ledger is here, and no more of it than is needed: each of the two takes much memory.
    records, images = delivered.records()[_ROW], delivered.images()
    paths = set(zip(images["source"], images["path"], strict=True))
    del images
    ledger = load_ledger(store, plan["folder"], "balanced")
    published = ledger[ledger["rule"].isna()]
    numbers = find_copies(store, ledger, delivered.searched(), Descriptions(store))
    clusters = clusters_of(published, numbers, delivered.republished())
    splits = split_report(published)
    candidates = candidate_counts(ledger)
    checks = [
        *check_ledger(ledger, records, paths),
        *check_pictures(published, clusters, plan["settings"]["views"]),
        check_patients(ledger),
        *check_splits(splits),
        *check_classes(candidates, class_counts(ledger), taken_by_class(ledger)),
        *check_losses(candidates, earlier, settings.max_shrink, withdrawn_counts(ledger)),
        check_labels(ledger, settings.max_unknown),
    ]
    return checks, splits


def check_ledger(ledger: pd.DataFrame, records: pd.DataFrame, paths: set[tuple[str, str]]) -> list[Check]:
    """Check that nothing was lost and nothing is there twice.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        records: the records as the sources gave them, before any rule; their ``source`` and ``metadata_line``.
        paths: source and path of every file that was delivered, counted apart from the records.
    """
    images = ledger[ledger["in_upstream"].eq(other=True)]
    with_row = ledger[ledger["metadata_line"].notna()]
    lost = paths ^ set(zip(images["source"], images["path"], strict=True))
    rows_lost = [f"{source}, line {line}" for source, line in _rows(with_row) ^ _rows(records)]
    twice = pd.concat([images[images.duplicated(["source", "path"])], with_row[with_row.duplicated(_ROW)]])
    unexplained = ledger[ledger["rule"].notna() & ~ledger["rule"].isin(list(REASONS))]
    return [
        _none("images_lost", "Every upstream image is in the manifest or excluded.", [":".join(p) for p in lost]),
        _none("rows_lost", "Every row of metadata.csv is in the manifest or excluded.", rows_lost),
        _none("counted_twice", "Nothing is in the ledger twice.", _names(twice)),
        _none("unexplained", "Every exclusion has a known rule.", _names(unexplained)),
    ]


def check_pictures(published: pd.DataFrame, clusters: pd.Series, views: str) -> list[Check]:
    """Check once more, from the upstreams' own words and the pictures' hashes, what is about to be published.

    Args:
        published: the ledger's rows that are in, columns of ``LEDGER_SCHEMA``.
        clusters: from :func:`cxr_snapshot.selection.duplicates.clusters_of`.
        views: setting of that name.
    """
    undecoded = published[published[["pixel_sha256", "phash", "width", "height"]].isna().any(axis=1)]
    in_several = published.groupby("pixel_sha256")["class"].transform("nunique") > 1
    alike = published[clusters.duplicated().reindex(published.index, fill_value=False)]
    unwanted = published[
        published["modality"].map(modality).ne("X-ray")
        | ~published["view"].map(view_kind).isin(views.split("+"))
        | published["folder"].fillna("images").map(lambda text: plain(text).strip("/")).ne("images")
    ]
    contradicted = published[published["finding_kind"].map(CLASS_OF_FINDING).ne(published["class"])]
    return [
        _none("undecoded", "Every published file was decoded to its end.", _names(undecoded)),
        _none("duplicates_across_classes", "No picture is published in two classes.", _names(published[in_several])),
        _none("unresolved_lookalikes", "No picture is published twice, not even resized or cropped.", _names(alike)),
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
    candidates: Mapping[str, int], published: Mapping[str, int], taken: Mapping[str, str] | None = None
) -> list[Check]:
    """Check that no class is empty and that all have the same size.

    Args:
        candidates: images of each class before balancing.
        published: images of each class after it.
        taken: by class, what became of its images; from :func:`cxr_snapshot.selection.rules.taken_by_class`.
    """
    smallest = min(candidates, key=lambda name: candidates[name])
    return [
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


def check_losses(
    candidates: Mapping[str, int],
    earlier: Sequence[Entry],
    max_shrink: float,
    withdrawn: Mapping[str, int] = MappingProxyType({}),
) -> list[Check]:
    """Check that no class shrank suspiciously: not since the snapshot before, and not little by little.

    Both have the same limit. A larger one for the slow loss would let through by and by what is refused at once.

    Args:
        candidates: images of each class before balancing.
        earlier: snapshots with the same settings, the newest first, from :func:`cxr_snapshot.audit.history.comparable`.
        max_shrink: largest fraction that a class may lose.
        withdrawn: images of each class that were withdrawn until now. Who withdrew them wanted the loss: those that an
            earlier snapshot may still have had are not held against this one.

    Returns:
        ``shrink_<class>`` for each class; and ``slow_loss_<class>`` where the best of the last snapshots is another one
        than the newest. None where there is nothing to compare with.
    """
    checks = []
    for name, count in candidates.items() if earlier else ():
        gone = withdrawn.get(name, 0)
        newest, top = earlier[0], best(name, earlier)
        checks.append(_loss(f"shrink_{name}", name, count, newest, gone=gone, since=_LAST, limit=max_shrink))
        if top is not newest:
            since = f"the best of the last {REMEMBERED} with these settings"
            checks.append(_loss(f"slow_loss_{name}", name, count, top, gone=gone, since=since, limit=max_shrink))
    return checks


def _loss(check: str, name: str, after: int, then: Entry, *, gone: int, since: str, limit: float) -> Check:
    """Return how much of a class was lost against an earlier snapshot, which ``since`` describes.

    Of what that one had, those do not count that were withdrawn later: ``gone`` were until now.
    """
    taken = max(gone - int(then.get("withdrawn", {}).get(name, 0)), 0)
    before = max(int(then["candidates"].get(name, 0)) - taken, 0)
    lost = max(before - after, 0)
    fraction = round(lost / before, 4) if lost else 0.0
    had = f"{before:,}" + (" without what was withdrawn since" if taken else "")
    change = f"{exact_percent(lost / before)} lost, the limit is {exact_percent(limit)}" if lost else "nothing lost"
    return Check(
        check,
        f"{name} loses at most {exact_percent(limit)} of its candidates against {since}.",
        f"{before} to {after}",
        limit,
        within(lost, before, limit),
        "Look at what upstream removed. If it is right, trigger one run with accept_shrink.",
        required=False,
        finding=f"{name} has {after:,} candidates; {since}, {then['version']}, had {had}: {change}.",
        measured={"class": name, "before": before, "after": after, "since": then["version"], "fraction": fraction},
    )


def within(part: int, whole: int, limit: float) -> bool:
    """Say whether ``part`` is at most the fraction ``limit`` of ``whole``, exactly: 29 is not over 0.29 of 100."""
    return part <= Fraction(str(limit)) * whole


def check_labels(ledger: pd.DataFrame, max_unknown: float) -> Check:
    """Check that upstream did not start to use words that nobody here knows yet.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
        max_unknown: largest fraction of the rows of ``metadata.csv`` that may be left out for such a word.
    """
    rows = ledger[ledger["metadata_line"].notna()]
    unknown = rows.loc[rows["rule"].str.startswith("unknown_", na=False), "rule"]
    names = ", ".join(f"{rule} {count}" for rule, count in unknown.value_counts().items())
    fraction = len(unknown) / len(rows) if len(rows) else 0.0
    value = f"{len(unknown)} of {len(rows)}" + (f" ({names})" if names else "")
    return Check(
        "unknown_labels",
        f"Not more than {exact_percent(max_unknown)} of the rows of metadata.csv are left out for words that are not "
        "known.",
        value,
        max_unknown,
        within(len(unknown), len(rows), max_unknown),
        "Look at the warnings of the task filter. Teach the collection's file in sources/ the new words, or raise "
        "CXR_MAX_UNKNOWN.",
        required=False,
        finding=f"{value} rows of metadata.csv are left out for words that are not known: {exact_percent(fraction)}, "
        f"the limit is {exact_percent(max_unknown)}.",
        measured={"unknown": len(unknown), "rows": len(rows), "fraction": round(fraction, 4)},
    )


def require(checks: Sequence[Check], *, accepted: Collection[str] = (), approval: bool = False) -> list[Check]:
    """Refuse to go on when a check failed.

    Args:
        checks: the results.
        accepted: names of failed checks that the run's setting accepts.
        approval: whether a person is asked about checks that are not ``required``; then these alone refuse nothing.

    Returns:
        The failed checks about which a person is asked.

    Raises:
        GuardError: names every failed check, what was found and the remedy.
    """
    failed = [check for check in checks if not check.passed and check.name not in accepted]
    if failed and not (approval and not any(check.required for check in failed)):
        found = [f"{check.name}: {check.finding}" if check.finding else check.found for check in failed]
        lines = [f"{what} {check.remedy}" for what, check in zip(found, failed, strict=True)]
        raise GuardError("Nothing is published; the previous snapshot stays the latest. " + " ".join(lines))
    return failed


def _rows(records: pd.DataFrame) -> set[tuple[str, int]]:
    """Return source and line of each row of a table."""
    return set(records.dropna(subset=_ROW)[_ROW].itertuples(index=False, name=None))


def _names(rows: pd.DataFrame) -> list[str]:
    """Name records as people find them: source and path, or the line of metadata.csv."""
    lines = "line " + rows["metadata_line"].astype("string")
    return list(rows["source"] + ":" + rows["path"].fillna(lines))


def _none(name: str, description: str, found: list[str]) -> Check:
    """Return the result of a check that nothing may break."""
    return Check(name, description, len(found), 0, not found, _OUR_FAULT, evidence=tuple(sorted(found)[:EXAMPLES]))
