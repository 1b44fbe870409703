"""Counts images for bar charts. Each chart is a table too: the numbers stand beside the bars."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cxr_snapshot.selection.splits import TARGET
from cxr_snapshot.tables import CLASSES

NOT_STATED = "not stated"
_MOST = 12  # bars of one chart; the rest is one more bar


@dataclass(frozen=True)
class Segment:
    """A part of a bar: the class by its number, where it begins and how long it is, in percent of the longest bar."""

    number: int
    start: float
    length: float


@dataclass(frozen=True)
class Bar:
    """One line: its label, the images of each class and of all, and the parts to draw."""

    label: str
    counts: tuple[int, ...]
    total: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Chart:
    """A title, what the lines are, and the lines."""

    title: str
    lines: str
    bars: tuple[Bar, ...]


def draw_charts(manifest: pd.DataFrame) -> tuple[Chart, ...]:
    """Return how the images are spread over sources, views, ages and splits.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
    """
    source = manifest["source"].fillna(NOT_STATED).astype(str)
    view = _rare_together(manifest["view"].fillna(NOT_STATED).astype(str))
    age = manifest["age"].map(_decade, na_action="ignore").fillna(NOT_STATED).astype(str)
    split = manifest["split"].fillna(NOT_STATED).astype(str)
    decades = [_decade(years) for years in range(0, 100, 10)]
    return (
        _chart("Classes", "Class", manifest["class"].astype(str), manifest, list(CLASSES)),
        _chart("Sources", "Source", source, manifest, sorted(set(source))),
        _chart("Recommended split", "Split", split, manifest, [*TARGET, NOT_STATED]),
        _chart("Views", "View", view, manifest, _by_frequency(view)),
        _chart("Age of the patient", "Years", age, manifest, [*decades, NOT_STATED]),
    )


def _chart(title: str, lines: str, labels: pd.Series, manifest: pd.DataFrame, order: list[str]) -> Chart:
    counts = manifest.groupby([labels, manifest["class"].astype(str)]).size()
    table = {label: tuple(int(counts.get((label, name), 0)) for name in CLASSES) for label in order}
    table = {label: numbers for label, numbers in table.items() if any(numbers)}
    longest = max((sum(numbers) for numbers in table.values()), default=1)
    return Chart(title, lines, tuple(_bar(label, numbers, longest) for label, numbers in table.items()))


def _bar(label: str, counts: tuple[int, ...], longest: int) -> Bar:
    segments, start = [], 0.0
    for number, count in enumerate(counts):
        length = 100 * count / longest
        if count:
            segments.append(Segment(number, round(start, 2), round(length, 2)))
        start += length
    return Bar(label, counts, sum(counts), tuple(segments))


def _decade(years: float) -> str:
    first = min(int(years // 10 * 10), 90)
    return "90 or more" if first == 90 else f"{first} to {first + 9}"


def _by_frequency(labels: pd.Series) -> list[str]:
    """Return the labels, the most frequent first, those that are no real ones last."""
    found = [str(label) for label in labels.value_counts().index]
    return sorted(found, key=lambda label: (label == NOT_STATED, label.startswith("other (")))


def _rare_together(labels: pd.Series) -> pd.Series:
    frequent = _by_frequency(labels)[:_MOST]
    rare = set(labels) - set(frequent)
    return labels.where(labels.isin(frequent), f"other ({len(rare)} values)")
