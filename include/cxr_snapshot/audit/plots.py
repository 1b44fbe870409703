"""Draws the figures of the audit as SVG in the page's colours and font; equal arguments give equal bytes.

Written here and not by a library of plots, which took half a second to load and to draw; see decision 28.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from cxr_snapshot.audit.drift import titles
from cxr_snapshot.audit.words import CLASSES_QUESTION, ORIGINALS, per_hundred

_COLOURS = ("var(--c0)", "var(--c1)", "var(--c2)")
_WIDTH = 440  # units of a drawing; it fills the place that it has on the page
_LEFT, _RIGHT, _TOP, _ROW = 170, 425, 10, 28  # where the scale begins and ends; where rows begin, and their height
_LETTERS = 12  # size of letters
_PLOT_HEIGHT = 180  # of the trend
_FOLLOWED = ("file_facts_originals", "no_lungs_pictures", "border_pictures")
_SHARES = {share: f"{share:.1f}" for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)}
_AGES = {age / 100: str(age) for age in range(0, 101, 20)}


def plot_probes(probes: Sequence[Mapping[str, Any]]) -> str:
    """Return the balanced accuracy of each probe with its interval, beside guessing.

    Args:
        probes: entries of ``probes`` in ``audit.json``.
    """
    shown = [probe for probe in probes if probe["question"] == CLASSES_QUESTION and probe["accuracy"] is not None]
    rows = [
        (
            f"{probe['name'].replace('_', ' ')}, {probe['of']}",
            _score(probe, probe["accuracy"], probe["of"] == ORIGINALS),
        )
        for probe in shown
    ]
    guessing = {probe["chance"] for probe in shown}
    return _scale("How well each probe names the class", rows, _SHARES, "balanced accuracy; dotted: guessing", guessing)


def plot_hundred(called: Mapping[str, Any]) -> str:
    """Return a hundred people, of whom as many are filled as are called COVID.

    Args:
        called: ``called_covid`` of ``external`` in ``audit.json``.
    """
    filled = int(per_hundred(called["value"]))
    people = []
    for number in range(100):
        left, top = 20 * (number % 20) + 10, 34 * (number // 20) + 7
        looks = 'fill="var(--c0)" stroke="var(--c0)"' if number < filled else 'fill="none" stroke="var(--quiet)"'
        people.append(
            f'<g {looks} stroke-width="1.5"><circle cx="{left}" cy="{top}" r="4"/>'
            f'<path d="M{left - 6} {top + 20}v-8a6 6 0 0 1 12 0v8z"/></g>'
        )
    title = f"A hundred people, {filled} of them filled: as many healthy adults are called COVID."
    return f'<svg viewBox="0 0 400 168" role="img"><title>{title}</title>{"".join(people)}</svg>'


def plot_aucs(external: Mapping[str, Any]) -> str:
    """Return the AUC of COVID against NORMAL with its interval, on patients of the own collections and elsewhere.

    Args:
        external: ``external`` in ``audit.json``.
    """
    shown = {"own collections": external["auc_inside"], "elsewhere": external["auc_outside"]}
    rows = [(name, _score(auc, auc["value"], name == "elsewhere")) for name, auc in shown.items() if auc]
    return _scale("AUC here and there", rows, _SHARES, "AUC of COVID against NORMAL; dotted: guessing", [0.5])


def plot_ages(ages: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a box for the stated ages of each class.

    Args:
        ages: ``ages`` in ``audit.json``.
    """
    rows = [(f"{name} (n = {each['stated']})", _box(each)) for name, each in ages.items() if each["stated"]]
    return _scale("Stated ages by class", rows, _AGES, "age in years: range, middle half, median")


def plot_trend(
    trend: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> str:
    """Return how some figures went from snapshot to snapshot; the last point is the snapshot of this audit.

    Args:
        trend: ``trend`` in ``audit.json``.
        figures: ``figures`` there.
        settings: ``settings`` there.
    """
    title, left, bottom = titles(settings), 60, _TOP + _PLOT_HEIGHT
    versions = [*(str(entry["version"]) for entry in trend), "this one"]
    step = (_RIGHT - left) / max(len(trend), 1)
    parts = []
    for share, text in _SHARES.items():
        level = bottom - share * _PLOT_HEIGHT
        parts.append(_line(left, level, _RIGHT, level, "var(--line)"))
        parts.append(_text(left - 8, level + 4, text, "end"))
    parts.append(_text(left, bottom + 18, versions[0], "start"))
    if trend:
        parts.append(_text(_RIGHT, bottom + 18, versions[-1], "end"))
    for number, (name, colour) in enumerate(zip(_FOLLOWED, _COLOURS, strict=True)):
        values = [*(entry["figures"].get(name) for entry in trend), figures[name]]
        points = [
            None if value is None else (left + place * step, bottom - value * _PLOT_HEIGHT)
            for place, value in enumerate(values)
        ]
        for known, together in groupby(points, key=lambda point: point is not None):
            if known:
                run = [(x, y) for x, y in filter(None, together)]
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
                parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
                parts += [_mark(x, y, colour, square=number == 1) for x, y in run]
        legend = bottom + 42 + 20 * number
        parts.append(_mark(left + 6, legend - 4, colour, square=number == 1))
        parts.append(_text(left + 20, legend, title[name], "start"))
    return _drawing("Balanced accuracy from snapshot to snapshot", bottom + 42 + 20 * len(_FOLLOWED), parts)


def _scale(
    title: str, rows: Sequence[tuple[str, str]], ticks: Mapping[float, str], measured: str, dotted: Iterable[float] = ()
) -> str:
    """Return a drawing of rows over one scale.

    Args:
        title: of the drawing, for those who do not see it.
        rows: from top to bottom, each what stands beside it, and the marks in it; they lie about the height 0.
        ticks: texts by place on the scale, 0 to 1.
        measured: what the scale says.
        dotted: places on the scale of dotted lines.
    """
    bottom = _TOP + _ROW * len(rows)
    parts = [_line(_x(share), _TOP, _x(share), bottom, "var(--line)") for share in ticks]
    parts += [_text(_x(share), bottom + 16, text, "middle") for share, text in ticks.items()]
    parts.append(_text(_x(0.5), bottom + 36, measured, "middle"))
    for number, (name, marks) in enumerate(rows):
        middle = _TOP + _ROW * (number + 0.5)
        parts.append(_text(_LEFT - 10, middle + 4, name, "end"))
        parts.append(f'<g transform="translate(0 {middle:g})">{marks}</g>')
    parts += [_line(_x(share), _TOP, _x(share), bottom, "var(--text)", dotted=True) for share in sorted(dotted)]
    return _drawing(title, bottom + 44, parts)


def _score(bounds: Mapping[str, Any], value: float, first: bool) -> str:
    """Return a value, a disk or a square, on its interval."""
    colour = _COLOURS[0 if first else 2]
    bar = f'x1="{_x(bounds["low"]):.1f}" x2="{_x(bounds["high"]):.1f}" y1="0" y2="0"'
    interval = f'<line {bar} stroke="{colour}" stroke-width="7" opacity="0.35"/>'
    return interval + _mark(_x(value), 0, colour, square=not first)


def _box(ages: Mapping[str, Any]) -> str:
    least, low, median, high, most = (_x(ages[name] / 100) for name in ("min", "q1", "median", "q3", "max"))
    ends = "".join(_line(end, -5, end, 5, "var(--text)") for end in (least, most))
    whiskers = _line(least, 0, low, 0, "var(--text)") + _line(high, 0, most, 0, "var(--text)")
    half = f'x="{low:.1f}" y="-8" width="{high - low:.1f}" height="16"'
    middle = f'x1="{median:.1f}" x2="{median:.1f}" y1="-8" y2="8"'
    return (
        f'{ends}{whiskers}<rect {half} fill="none" stroke="var(--text)"/>'
        f'<line {middle} stroke="{_COLOURS[0]}" stroke-width="3"/>'
    )


def _x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _mark(x: float, y: float, colour: str, *, square: bool) -> str:
    if square:
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'


def _line(left: float, top: float, right: float, bottom: float, colour: str, *, dotted: bool = False) -> str:
    dots = ' stroke-dasharray="1.5 3"' if dotted else ""
    return f'<line x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" stroke="{colour}"{dots}/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    shape = f'viewBox="0 0 {_WIDTH} {height:g}" role="img" font-size="{_LETTERS}" fill="var(--text)"'
    return f"<svg {shape}><title>{escape(title)}</title>{''.join(parts)}</svg>"
