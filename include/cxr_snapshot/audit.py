"""Checks that must hold before anything is published. Each result is data: what was measured, against which limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from cxr_snapshot.balancing import class_counts
from cxr_snapshot.errors import GuardError
from cxr_snapshot.filtering import REASONS

_OUR_FAULT = "This is a fault of the pipeline. Report it with the run's balanced.parquet."


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
        overridable: whether a person may decide to publish although it does not hold.
    """

    name: str
    description: str
    value: Any
    threshold: Any
    passed: bool
    remedy: str
    overridable: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain data for an XCom."""
        return asdict(self)


def check_ledger(ledger: pd.DataFrame, records: pd.DataFrame, paths: set[tuple[str, str]]) -> list[Check]:
    """Check that nothing was lost and nothing is there twice.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        records: the records as the sources gave them, before any rule.
        paths: source and path of every file that was delivered, counted apart from the records.
    """
    images = ledger[ledger["in_upstream"].eq(other=True)]
    lost = len(paths ^ set(zip(images["source"], images["path"], strict=True)))
    rows, delivered = ledger["metadata_line"].dropna(), records["metadata_line"].dropna()
    rows_lost = len(set(rows) ^ set(delivered))
    with_row = ledger[ledger["metadata_line"].notna()]
    twice = int(images.duplicated(["source", "path"]).sum() + with_row.duplicated(["source", "metadata_line"]).sum())
    unexplained = int((ledger["rule"].notna() & ~ledger["rule"].isin(list(REASONS))).sum())
    measured = {
        "images_lost": ("Every upstream image is in the manifest or excluded.", lost),
        "rows_lost": ("Every row of metadata.csv is in the manifest or excluded.", rows_lost),
        "counted_twice": ("Nothing is in the ledger twice.", twice),
        "unexplained": ("Every exclusion has a known rule.", unexplained),
    }
    return [Check(name, text, value, 0, value == 0, _OUR_FAULT) for name, (text, value) in measured.items()]


def check_splits(report: Mapping[str, Any]) -> list[Check]:
    """Check that no patient and no group of look-alikes is in two splits.

    Args:
        report: from :func:`cxr_snapshot.splitting.split_report`.
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
) -> list[Check]:
    """Check that no class is empty, that all have the same size, and that none shrank suspiciously.

    Args:
        candidates: images of each class before balancing.
        published: images of each class after it.
        previous: candidates of the latest snapshot with the same settings, or ``None``.
        max_shrink: largest fraction that a class may lose.
        accept_shrink: publish although a class shrank.
    """
    smallest = min(candidates, key=lambda name: candidates[name])
    checks = [
        Check(
            "smallest_class",
            "Every class has images.",
            f"{smallest}: {candidates[smallest]}",
            1,
            candidates[smallest] > 0,
            f"Look in excluded.csv of this run why no {smallest} image passed.",
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
                overridable=True,
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
        "Look at the warnings of the task filter. Teach labels.py the new words, or raise CXR_MAX_UNKNOWN.",
        overridable=True,
    )


def require(checks: list[Check], *, approval: bool = False) -> None:
    """Refuse to go on when a check failed.

    Args:
        checks: the results.
        approval: whether a person is asked about checks that are ``overridable``; then these alone refuse nothing.

    Raises:
        GuardError: names every failed check, its value, its limit and the remedy.
    """
    failed = [check for check in checks if not check.passed]
    if failed and not (approval and all(check.overridable for check in failed)):
        lines = [f"{check.name} is {check.value}, limit {check.threshold}. {check.remedy}" for check in failed]
        raise GuardError("Nothing is published; the previous snapshot stays the latest. " + " ".join(lines))


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


def candidate_counts(ledger: pd.DataFrame) -> dict[str, int]:
    """Count the images of each class before balancing, from a ledger after it."""
    return class_counts(ledger.assign(rule=ledger["rule"].mask(ledger["rule"].eq("not_drawn"))))
