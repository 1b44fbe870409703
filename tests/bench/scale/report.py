"""Turns what was measured into tables, a CSV file and a plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.scale.nights import Cost, Night

COLUMNS = (
    *("images", "night", "stage", "tasks", "wall_seconds", "cpu_seconds", "cpu_seconds_start", "cpu_seconds_copies"),
    *("peak_mb", "requests", "bytes_sent", "bytes_received"),
)


@dataclass
class Size:
    """What all nights with an upstream of ``images`` images cost; ``server_cpu`` is the S3 server's, by night."""

    images: int
    upstream: dict[str, int]
    nights: list[Night] = field(default_factory=list)
    server_cpu: dict[str, float] = field(default_factory=dict)


def total(night: Night) -> Cost:
    """Return the sum of all stages; the peak is the largest."""
    whole = Cost("total")
    for cost in night.costs.values():
        whole.tasks += cost.tasks
        for name in ("wall", "cpu", "start_cpu", "copy_cpu", "sent", "received"):
            setattr(whole, name, getattr(whole, name) + getattr(cost, name))
        whole.peak_mb = max(whole.peak_mb, cost.peak_mb)
        for name, count in cost.requests.items():
            whole.requests[name] = whole.requests.get(name, 0) + count
    return whole


def exponent(sizes: Sequence[Size], night: int, name: str = "cpu") -> float:
    """Return the slope of a straight line through the logarithms of size and cost."""
    costs = [getattr(total(size.nights[night]), name) for size in sizes]
    return float(np.polyfit(np.log([size.images for size in sizes]), np.log(costs), 1)[0])


def tables(size: Size) -> str:
    """Return a Markdown table for each night."""
    upstream = ", ".join(f"{name} {value:,}" for name, value in size.upstream.items())
    lines = [f"## {size.images:,} images ({upstream})"]
    for night in size.nights:
        lines += [
            "",
            f"{night.name}; S3 server: {size.server_cpu[night.name]:.1f} CPU s",
            "",
            "| stage | tasks | wall s | CPU s | start | copies | peak MB | S3 requests | sent MB | received MB |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(cost) for cost in [*night.costs.values(), total(night)]]
    return "\n".join(lines) + "\n"


def summary(sizes: Sequence[Size]) -> str:
    """Return what the acceptance asks for, by size."""
    lines = [
        "| images | first build, CPU s | refresh, CPU s | share | without copies | work without starts and copies "
        "| nothing new, CPU s | nothing new, requests | largest peak, MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        first, refresh, quiet = map(total, size.nights)
        plain = (refresh.cpu - refresh.copy_cpu) / (first.cpu - first.copy_cpu)
        work = (refresh.cpu - refresh.copy_cpu - refresh.start_cpu) / (first.cpu - first.copy_cpu - first.start_cpu)
        peak = max(first.peak_mb, refresh.peak_mb)
        lines.append(
            f"| {size.images:,} | {first.cpu:.1f} | {refresh.cpu:.1f} | {refresh.cpu / first.cpu:.1%} | {plain:.1%} "
            f"| {work:.1%} | {quiet.cpu:.2f} | {sum(quiet.requests.values())} | {peak:.0f} |"
        )
    if len(sizes) > 1:
        names = {"CPU": "cpu", "wall": "wall"}
        fits = [f"{words} {exponent(sizes, 0, name):.2f}" for words, name in names.items()]
        lines += ["", f"Exponent of the first build's time over the number of images: {', '.join(fits)}"]
    return "\n".join(lines)


def write(sizes: Sequence[Size], folder: Path) -> None:
    """Write ``scale.csv`` and ``scale.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "scale.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for size in sizes:
            for night in size.nights:
                writer.writerows([size.images, night.name, *_values(cost)] for cost in night.costs.values())
            writer.writerows(
                [size.images, name, "S3 server", "", "", f"{cpu:.2f}"] for name, cpu in size.server_cpu.items()
            )
    _plot(sizes, folder / "scale.svg")


def _values(cost: Cost) -> list[object]:
    seconds = [f"{value:.3f}" for value in (cost.wall, cost.cpu, cost.start_cpu, cost.copy_cpu)]
    counts = [sum(cost.requests.values()), cost.sent, cost.received]
    return [cost.stage, cost.tasks, *seconds, f"{cost.peak_mb:.1f}", *counts]


def _row(cost: Cost) -> str:
    requests = ", ".join(f"{name} {count:,}" for name, count in sorted(cost.requests.items()))
    cells = [cost.stage, str(cost.tasks), f"{cost.wall:.1f}", f"{cost.cpu:.1f}", f"{cost.start_cpu:.1f}"]
    cells += [f"{cost.copy_cpu:.1f}", f"{cost.peak_mb:.0f}", requests or "0"]
    return "| " + " | ".join([*cells, f"{cost.sent / 1e6:.1f}", f"{cost.received / 1e6:.1f}"]) + " |"


def _plot(sizes: Sequence[Size], file: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scale"  # equal figures give equal bytes
    from matplotlib import pyplot as plt

    images = [size.images for size in sizes]
    figure, (work, memory) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for number, night in enumerate(sizes[0].nights):
        work.plot(images, [total(size.nights[number]).cpu for size in sizes], marker="o", label=night.name)
    stages = dict.fromkeys(stage for size in sizes for stage in size.nights[0].costs)
    for stage in stages:
        peaks = [max(night.costs[stage].peak_mb for night in size.nights if stage in night.costs) for size in sizes]
        memory.plot(images, peaks, marker="o", label=stage)
    work.set(xscale="log", yscale="log", xlabel="images", ylabel="CPU seconds of all stages")
    memory.set(xscale="log", ylim=0, xlabel="images", ylabel="peak memory of a task, MB")
    for axes in (work, memory):
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.savefig(file, metadata={"Date": None})
