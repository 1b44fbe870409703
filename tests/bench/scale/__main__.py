"""Measures a first build, a refresh with 1 % new images and a night without news, for each size that is named."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench.scale import report
from bench.scale.nights import Night, server_cpu, stack
from bench.scale.upstream import write_upstream
from upstream_simulator.sample import GIT_NAME, advance

NIGHTS = {"first build": "2026-11-21", "refresh": "2026-11-22", "nothing new": "2026-11-23"}


def measure(folder: Path, images: int) -> report.Size:
    """Return what the three nights cost with an upstream of so many images."""
    sizes = write_upstream(folder, images)
    found = report.Size(images, sizes)
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("sizes", nargs="+", type=int, metavar="N", help="images of the upstream")
    parser.add_argument("--out", type=Path, required=True, help="folder for scale.csv and scale.svg")
    options = parser.parse_args()
    found = []
    for images in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="bench-scale-"))
        try:
            found.append(measure(folder, images))
        finally:
            shutil.rmtree(folder)
        report.write(found, options.out)  # after each size, so that a broken run leaves what it has
        print(report.tables(found[-1]), flush=True)
    print(report.summary(found))


if __name__ == "__main__":
    main()
