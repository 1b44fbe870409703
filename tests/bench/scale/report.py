"""Turns what was measured into ``scale.csv``, a plot and Markdown tables.

``python -m bench.scale.report FOLDER CSV ...`` joins what several runs measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bench.scale.nights import Night

SERVER = "S3 server"
NUMBERS = {
    "tasks": 0,
    "wall_seconds": 1,
    "cpu_seconds": 1,
    "cpu_seconds_start": 1,
    "cpu_seconds_copies": 1,
    "peak_mb": 0,
    "requests": 0,
    "bytes_sent": 0,
    "bytes_received": 0,
}  # with the digits that a table shows
COLUMNS = ["images", "night", "stage", *NUMBERS]


@dataclass
class Size:
    """What all nights with an upstream of ``images`` images cost; ``server_cpu`` is the S3 server's, by night."""

    images: int
    nights: list[Night] = field(default_factory=list)
    server_cpu: dict[str, float] = field(default_factory=dict)


def table(size: Size) -> pd.DataFrame:
    """Return a row for each night and stage, columns ``COLUMNS``."""
    return pd.DataFrame(_rows(size), columns=COLUMNS)


def _rows(size: Size) -> Iterator[list[object]]:
    for night in size.nights:
        for cost in night.costs.values():
            seconds = [round(value, 3) for value in (cost.wall, cost.cpu, cost.start_cpu, cost.copy_cpu)]
            counts = [sum(cost.requests.values()), cost.sent, cost.received]
            yield [size.images, night.name, cost.stage, cost.tasks, *seconds, round(cost.peak_mb, 1), *counts]
        yield [size.images, night.name, SERVER, None, None, round(size.server_cpu[night.name], 3)]


def totals(found: pd.DataFrame) -> pd.DataFrame:
    """Return the sum of all stages by size and night; the peak is that of the largest task."""
    how = dict.fromkeys(NUMBERS, "sum") | {"peak_mb": "max"}
    return found[found["stage"].ne(SERVER)].groupby(["images", "night"], sort=False).agg(how)


def markdown(found: pd.DataFrame) -> str:
    """Return a table for each size and night, and what the acceptance asks for."""
    lines = [*_summary(totals(found)), ""]
    for (images, night), stages in found.groupby(["images", "night"], sort=False):
        tasks, server = stages[stages["stage"].ne(SERVER)], stages[stages["stage"].eq(SERVER)]
        whole = totals(tasks).assign(stage="total")
        lines += [f"### {images:,} images, {night}", ""]
        lines += ["| stage | tasks | wall s | CPU s | start | copies | peak MB | requests | sent B | received B |"]
        lines += ["|---" * (len(NUMBERS) + 1) + "|"]
        for row in pd.concat([tasks, whole]).to_dict("records"):
            cells = [f"{row[name]:,.{digits}f}" for name, digits in NUMBERS.items()]
            lines.append(f"| {row['stage']} | " + " | ".join(cells) + " |")
        lines += ["", f"S3 server: {server['cpu_seconds'].iloc[0]:.1f} CPU s", ""]
    return "\n".join(lines)


def exponent(images: Sequence[int], costs: Sequence[float]) -> float:
    """Return the slope of a straight line through the logarithms of size and cost."""
    return float(np.polyfit(np.log(images), np.log(costs), 1)[0])


def _summary(sums: pd.DataFrame) -> Iterator[str]:
    yield (
        "| images | first build, CPU s | refresh, CPU s | share | without copies | also without starts "
        "| nothing new, CPU s | its requests | largest peak, MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    work = sums["cpu_seconds"]
    plain = work - sums["cpu_seconds_copies"]
    bare = plain - sums["cpu_seconds_start"]
    sizes = list(dict.fromkeys(sums.index.get_level_values("images")))
    for images in sizes:
        first, refresh, quiet = ((images, night) for night in ("first build", "refresh", "nothing new"))
        shares = [f"{kind[refresh] / kind[first]:.1%}" for kind in (work, plain, bare)]
        night = [f"{work[quiet]:.2f}", f"{sums.loc[quiet, 'requests']:.0f}", f"{sums.loc[images]['peak_mb'].max():.0f}"]
        yield " | ".join([f"| {images:,}", f"{work[first]:.1f}", f"{work[refresh]:.1f}", *shares, *night]) + " |"
    if len(sizes) > 1:
        fits = [
            f"{words} {exponent(sizes, [sums.loc[(images, 'first build'), name] for images in sizes]):.2f}"
            for words, name in (("CPU", "cpu_seconds"), ("wall", "wall_seconds"))
        ]
        yield f"\nExponent of the first build's time over the number of images: {', '.join(fits)}"


def write(found: pd.DataFrame, folder: Path) -> None:
    """Write ``scale.csv`` and ``scale.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "scale.csv", index=False, lineterminator="\n")
    _plot(found, folder / "scale.svg")


def _plot(found: pd.DataFrame, file: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale"  # equal figures give equal bytes
    from matplotlib import pyplot as plt

    figure, (work, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sums = totals(found).reset_index()
    for night, rows in sums.groupby("night", sort=False):
        work.plot(rows["images"], rows["cpu_seconds"], marker="o", label=night)
    stages = found[found["stage"].ne(SERVER)]
    peaks = stages.groupby(["stage", "images"], sort=False)["peak_mb"].max().reset_index()
    for stage, rows in peaks.groupby("stage", sort=False):
        memory.plot(rows["images"], rows["peak_mb"], marker="o", label=stage)
    work.set(xscale="log", yscale="log", xlabel="images", ylabel="CPU seconds of all stages")
    memory.set(xscale="log", ylim=(0, 650), xlabel="images", ylabel="peak memory of a task, MB")
    for axes in (work, memory):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    folder, *files = map(Path, sys.argv[1:])
    found = pd.concat(map(pd.read_csv, files), ignore_index=True)
    write(found, folder)
    print(markdown(found))


if __name__ == "__main__":
    main()
