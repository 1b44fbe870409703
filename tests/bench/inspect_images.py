"""How fast images are inspected: against the bare decoding of the same images by Pillow, and with two processes.

Uses generated pictures of the size of real radiographs and, where they are there, those in ``../shared/real-data``.
"""

from __future__ import annotations

import io
import multiprocessing
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from cxr_snapshot.inspection import decoding as inspection
from upstream_simulator.phantom import draw

REAL = Path(__file__).parents[3] / "shared/real-data"
ROUNDS = 5
PARTS = {"_check": "checks", "_decode": "decoding", "shrink": "shrinking", "contrast": "contrast", "describe": "hashes"}

SHARES = 16  # as many as the pipeline has partitions; dealt out one by one, so that no worker waits long for the other
held: list[bytes] = []  # by a worker, so that nothing is sent in the time that is measured


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


def kaggle() -> list[bytes]:
    """Return the images of the real zip without the second copy that it holds."""
    with zipfile.ZipFile(REAL / "chest-xray-pneumonia.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("chest_xray/") and name.count("/") == 3]
        return [archive.read(name) for name in names if name.endswith(".jpeg") and "/._" not in name]


def covid() -> list[bytes]:
    """Return the images of the last commit of the real repository."""
    git = ["git", "-C", str(REAL / "covid-chestxray-dataset.git")]
    listed = subprocess.run([*git, "ls-tree", "--object-only", "master:images"], check=True, capture_output=True)
    return [
        subprocess.run([*git, "cat-file", "blob", name], check=True, capture_output=True).stdout
        for name in listed.stdout.decode().split()
    ]


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


def decode_all(files: Sequence[bytes]) -> None:
    """Decode the files."""
    for body in files:
        decode(body)


def inspect_all(files: Sequence[bytes]) -> None:
    """Inspect the files."""
    for body in files:
        inspection.inspect_image(body)


def hold(files: Sequence[bytes]) -> None:
    """Keep the files in this process, the largest first."""
    held.extend(sorted(files, key=len, reverse=True))


def inspect_share(number: int) -> None:
    """Inspect one of the shares of the files that this process holds."""
    inspect_all(held[number::SHARES])


def speed(files: Sequence[bytes]) -> list[str]:
    """Return images per second, of the processor for the first two, so that they hold on a busy machine too."""
    with multiprocessing.get_context("spawn").Pool(2, hold, [files]) as pool:
        decoding, inspecting, alone, together = best(
            (time.process_time, lambda: decode_all(files)),
            (time.process_time, lambda: inspect_all(files)),
            (time.perf_counter, lambda: pool.map(inspect_share, range(SHARES), chunksize=SHARES)),
            (time.perf_counter, lambda: pool.map(inspect_share, range(SHARES), chunksize=1)),
        )
    count = len(files)
    per_core = [f"{count / decoding:.0f}", f"{count / inspecting:.0f}", f"{decoding / inspecting:.2f}"]
    return [str(count), *per_core, f"{count / alone:.0f}", f"{count / together:.0f}", f"{alone / together:.2f}"]


def parts(files: Sequence[bytes]) -> list[str]:
    """Return the processor time of each part of an inspection, and of the rest, for each second of bare decoding."""
    spent: Counter[str] = Counter()

    def timed(name: str, work: Callable[..., object]) -> Callable[..., object]:
        def run(*values: object, **named: object) -> object:
            started = time.process_time()
            found = work(*values, **named)
            spent[name] += time.process_time() - started
            return found

        return run

    clocks = [time.process_time, *(partial(spent.__getitem__, name) for name in PARTS)]
    with ExitStack() as stack:
        for name in PARTS:
            stack.enter_context(mock.patch.object(inspection, name, timed(name, getattr(inspection, name))))
        decoding, whole, *found = best(
            (time.process_time, lambda: decode_all(files)), *((clock, lambda: inspect_all(files)) for clock in clocks)
        )
    return [f"{seconds / decoding:z.2f}" for seconds in (*found, whole - sum(found))]


def table(head: Sequence[str], row: Callable[[Sequence[bytes]], list[str]], sets: dict[str, list[bytes]]) -> None:
    """Print one row for each set of images."""
    print("| images |", " | ".join(head), "|")
    print("|---" * (len(head) + 1) + "|")
    for name, files in sets.items():
        print(f"| {name} |", " | ".join(row(files)), "|", flush=True)
    print()


def main() -> None:
    """Print the tables."""
    sets = {"generated": generated()}
    if REAL.exists():
        sets |= {"real Kaggle": kaggle(), "real COVID-19": covid()}
    speeds = ["decode, 1/CPU s", "inspect, 1/CPU s", "ratio", "1 process, 1/s", "2 processes, 1/s", "ratio"]
    table(["number", *speeds], speed, sets)
    table([*PARTS.values(), "rest"], parts, sets)


if __name__ == "__main__":
    main()
