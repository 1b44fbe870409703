"""Measures a first build, a refresh with new images and a night without news, for each size that is named."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from bench.scale import report
from bench.scale.nights import Night, inspect_with, stack
from bench.scale.upstream import REAL, SIDE, Shape, small, write_upstream
from support.bench import server_cpu
from upstream_simulator.sample import GIT_NAME, advance

NIGHTS = {"first build": "2026-11-21", "refresh": "2026-11-22", "nothing new": "2026-11-23"}


def measure(folder: Path, shape: Shape) -> report.Size:
    """Return what the three nights cost with an upstream of this shape."""
    sizes, images = write_upstream(folder, shape), shape.images
    print(f"{images:,} images: {sizes}", file=sys.stderr, flush=True)
    found = report.Size(images)
    with stack(folder) as environ:
        for name, date in NIGHTS.items():
            if name == "refresh":
                advance(folder / GIT_NAME)
            before = server_cpu()
            night = Night(name, environ)
            night.run(date)
            found.nights.append(night)
            found.server_cpu[name] = server_cpu() - before
            print(f"{images:,} images, {name}: done", file=sys.stderr, flush=True)
    return found


def workers(images: int, side: int) -> str:
    """Return a table row: how long one and two workers take for the stage ``inspect`` of such an upstream."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as name:
        write_upstream(Path(name), small(images, side))
        with stack(Path(name)) as environ:
            night = Night("inspect", environ)
            plan = night.task("poll", run_id="inspect", created="2026-11-21T03:00:00+00:00")
            for source in plan["revisions"]:
                night.task("ingest", plan=plan, source=source)
            one, two = (min(inspect_with(environ, plan, count) for _ in range(2)) for count in (1, 2))
    return f"| {images:,} of {side} x {side} | {one:.1f} | {two:.1f} | {two / one:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, metavar="N", help="small images of the upstream")
    parser.add_argument("--real", action="store_true", help="one more, of as many images, and as large, as in reality")
    parser.add_argument("--out", type=Path, required=True, help="folder for scale.csv, scale.svg and the upstream")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    for shape in [small(images) for images in options.sizes] + [REAL] * options.real:
        folder = Path(tempfile.mkdtemp(prefix="upstream-", dir=options.out))
        try:
            found.append(report.table(measure(folder, shape)))
        finally:
            shutil.rmtree(folder)
        report.write(pd.concat(found), options.out)  # after each size, so that a broken run leaves what it has
    print(report.markdown(pd.concat(found)))
    if options.sizes:
        print("\n| inspected images | 1 worker, s | 2 workers, s | ratio |\n|---|---|---|---|")
        for images, side in ((4_000, SIDE), (1_000, 1_500)):
            print(workers(images, side), flush=True)


if __name__ == "__main__":
    main()
