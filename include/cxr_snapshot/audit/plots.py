"""Draws the figures of the audit as SVG that follows the page's colours; equal arguments give equal bytes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cxr_snapshot.audit.drift import titles
from cxr_snapshot.audit.words import CLASSES_QUESTION, ORIGINALS, per_hundred

# Stand-ins that no drawing has by itself; on the page they become the colours of its light or dark form.
_INK, _QUIET = "#010203", "#040506"
_COLOURS = ("#070809", "#0a0b0c", "#0d0e0f")
_ON_PAGE = {
    **{_INK: "var(--text)", _QUIET: "var(--line)"},
    **{colour: f"var(--c{number})" for number, colour in enumerate(_COLOURS)},
}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "audit",  # else ids are random
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _QUIET,
}
_WIDTH = 4.6  # inches: read on a telephone, it shrinks little
_FOLLOWED = ("file_facts_originals", "no_lungs_pictures", "border_pictures")


def plot_probes(probes: Sequence[Mapping[str, Any]]) -> str:
    """Return the balanced accuracy of each probe with its interval, beside guessing.

    Args:
        probes: entries of ``probes`` in ``audit.json``.
    """
    shown = [probe for probe in probes if probe["question"] == CLASSES_QUESTION and probe["accuracy"] is not None][::-1]
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.6 + 0.32 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        for place, probe in enumerate(shown):
            colour = _COLOURS[0 if probe["of"] == ORIGINALS else 2]
            axes.plot([probe["low"], probe["high"]], [place, place], color=colour, linewidth=5, alpha=0.35)
            axes.plot(probe["accuracy"], place, "o" if probe["of"] == ORIGINALS else "s", color=colour, markersize=7)
        for chance in {probe["chance"] for probe in shown}:
            axes.axvline(chance, color=_INK, linestyle=":", linewidth=1)
        names = [f"{probe['name'].replace('_', ' ')}, {probe['of']}" for probe in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("balanced accuracy; dotted: guessing")
        axes.grid(axis="x")
        return _svg(figure, "probes")


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
    shown = {"elsewhere": external["auc_outside"], "own collections": external["auc_inside"]}
    known = {name: figure for name, figure in shown.items() if figure}
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.6 + 0.32 * len(known)), layout="constrained")
        axes = figure.add_subplot()
        for place, (name, auc) in enumerate(known.items()):
            colour = _COLOURS[0 if name == "elsewhere" else 2]
            axes.plot([auc["low"], auc["high"]], [place, place], color=colour, linewidth=5, alpha=0.35)
            axes.plot(auc["value"], place, "o" if name == "elsewhere" else "s", color=colour, markersize=7)
        axes.axvline(0.5, color=_INK, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(known)), list(known))
        axes.set_ylim(-0.6, len(known) - 0.4)
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("AUC of COVID against NORMAL; dotted: guessing")
        axes.grid(axis="x")
        return _svg(figure, "aucs")


def plot_ages(ages: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a box for the stated ages of each class.

    Args:
        ages: ``ages`` in ``audit.json``.
    """
    known = {name: each for name, each in ages.items() if each["stated"]}
    boxes = [
        {"label": f"{name} (n = {each['stated']})", "whislo": each["min"], "whishi": each["max"], "med": each["median"]}
        | {"q1": each["q1"], "q3": each["q3"], "fliers": []}
        for name, each in reversed(known.items())
    ]
    line = {"color": _INK}
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 0.7 + 0.4 * len(boxes)), layout="constrained")
        axes = figure.add_subplot()
        if boxes:
            axes.bxp(
                boxes,
                orientation="horizontal",
                boxprops=line,
                whiskerprops=line,
                capprops=line,
                medianprops={"color": _COLOURS[0], "linewidth": 2.5},
            )
        axes.set_xlim(0, 100)
        axes.set_xlabel("age in years: range, middle half, median")
        axes.grid(axis="x")
        return _svg(figure, "ages")


def plot_trend(
    trend: Sequence[Mapping[str, Any]], figures: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> str:
    """Return how some figures went from snapshot to snapshot; the last point is the snapshot of this audit.

    Args:
        trend: ``trend`` in ``audit.json``.
        figures: ``figures`` there.
        settings: ``settings`` there.
    """
    title = titles(settings)
    names = [str(entry["version"]) for entry in trend] + ["this one"]
    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, 2.6), layout="constrained")
        axes = figure.add_subplot()
        for name, colour, marker in zip(_FOLLOWED, _COLOURS, "osD", strict=True):
            values = [entry["figures"].get(name) for entry in trend] + [figures[name]]
            known = [float("nan") if value is None else value for value in values]
            axes.plot(known, color=colour, marker=marker, label=title[name])
        ticks = sorted({0, len(names) - 1})
        axes.set_xticks(ticks, [names[place] for place in ticks])
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("balanced accuracy")
        axes.grid(axis="y")
        axes.legend(frameon=False, loc="lower left")
        return _svg(figure, "trend")


def _svg(figure: Figure, name: str) -> str:
    """Return the drawing as an element to put into a page, as wide as its place allows; ``name`` keeps ids apart."""
    file = io.StringIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'<g id="patch_[12]">.*?</g>', "", text, count=2, flags=re.DOTALL)  # the white ground
    text = re.sub(r" font-family: [^;]*;", "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for stand_in, colour in _ON_PAGE.items():
        text = text.replace(stand_in, colour)
    return text
