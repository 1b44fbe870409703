"""Draws ``docs/benchmarks/compare.svg``, README's picture, out of the table in ``docs/benchmarks/compare.md``."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import matplotlib as mpl  # noqa: E402

FOLDER = ROOT / "docs/benchmarks"
WAYS = ("pipeline", "same-work", "img2dataset and upload", "notebook")
PANELS = {"first build, seconds": 1, "refresh, seconds": 5, "refresh, MB fetched": 8}  # and their columns of the table


def table(text: str) -> dict[str, list[str]]:
    """Return the cells of each way's row in the first table, the way's name first."""
    lines = text.partition("generated images of")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    return {row[0]: row for row in reversed(rows) if row[0] in WAYS}


def main() -> None:
    """Write the picture; equal figures give equal bytes."""
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "compare", "font.size": 9}
    from matplotlib import pyplot as plt

    rows = table((FOLDER / "compare.md").read_text(encoding="utf-8"))
    figure, panels = plt.subplots(1, len(PANELS), figsize=(10, 2.1), layout="constrained", sharey=True)
    for axes, (title, column) in zip(panels, PANELS.items(), strict=True):
        values = [float(rows[way][column]) for way in WAYS]
        bars = axes.barh(WAYS, values, color=["#2c6e8f", *["#b5bcc2"] * 3])
        axes.bar_label(bars, fmt="{:.0f}", padding=3)
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.15)
        axes.xaxis.set_visible(False)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.savefig(FOLDER / "compare.svg", metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
