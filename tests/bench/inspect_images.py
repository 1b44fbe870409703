"""How fast images are inspected: against the bare decoding of the same images by Pillow, and with two processes.

Uses generated pictures of the size of real radiographs and, where it is there, the real zip in ``../shared/real-data``.
"""

from __future__ import annotations

import io
import multiprocessing
import time
import zipfile
from collections.abc import Callable, Sequence
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
from PIL import Image

from cxr_snapshot.inspection import inspect_image
from upstream_simulator.phantom import draw

REAL = Path(__file__).parents[3] / "shared/real-data/chest-xray-pneumonia.zip"
ROUNDS = 4


def generated() -> list[bytes]:
    """Return 40 gray JPEG files of 1.5 to 3 million pixels."""
    files = []
    for number in range(40):
        rng = np.random.default_rng(number)
        picture = Image.fromarray(draw("normal", rng))
        scale = 1500 / picture.width
        file = io.BytesIO()
        picture.resize((1500, round(scale * picture.height)), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def real() -> list[bytes]:
    """Return the images of the real zip without the second copy that it holds."""
    with zipfile.ZipFile(REAL) as archive:
        names = [name for name in archive.namelist() if name.startswith("chest_xray/") and name.count("/") == 3]
        return [archive.read(name) for name in names if name.endswith(".jpeg") and "/._" not in name]


def decode(body: bytes) -> None:
    """Decode one image and do nothing else."""
    Image.open(io.BytesIO(body)).load()


def best(*works: tuple[Callable[[], float], Callable[[], object]]) -> list[float]:
    """Return the shortest time of each work by its clock. They take turns, so that a busy machine treats all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for (clock, work), found in zip(works, times, strict=True):
            started = clock()
            work()
            found.append(clock() - started)
    return [min(found) for found in times]


def measure(files: Sequence[bytes], pool: Pool) -> str:
    """Return the cells of one row. The first two are by processor time, so that they hold on a busy machine too."""
    decoding, inspecting, alone, together = best(
        (time.process_time, lambda: [decode(body) for body in files]),
        (time.process_time, lambda: [inspect_image(body) for body in files]),
        (time.perf_counter, lambda: [inspect_image(body) for body in files]),
        (time.perf_counter, lambda: pool.map(inspect_image, files, chunksize=4)),
    )
    count = len(files)
    cells = [f"{count / decoding:.0f}", f"{count / inspecting:.0f}", f"{decoding / inspecting:.2f}"]
    return " | ".join([*cells, f"{count / alone:.0f}", f"{count / together:.0f}", f"{alone / together:.2f}"])


def main() -> None:
    """Print a table."""
    sets = {"generated": generated()} | ({"real": real()} if REAL.exists() else {})
    print(
        "| images | number | decode, 1/CPU s | inspect, 1/CPU s | ratio | 1 process, 1/s | 2 processes, 1/s | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for name, files in sets.items():
            print(f"| {name} | {len(files)} | {measure(files, pool)} |", flush=True)


if __name__ == "__main__":
    main()
