"""How fast images are inspected: against the bare decoding of the same images by Pillow, and with two processes; and
what all that is ever made of an image costs.

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

from cxr_snapshot.audit.looks import describe_picture
from cxr_snapshot.inspection import decoding as inspection
from cxr_snapshot.inspection.forms import SMALL
from upstream_simulator.phantom import draw

REAL = Path(__file__).parents[3] / "shared/real-data"
ROUNDS = 5
PARTS = {"_check": "checks", "_decode": "decoding", "shrink": "shrinking", "contrast": "contrast", "describe": "hashes"}

SHARES = 16  # as many as the pipeline has partitions; dealt out one by one, so that no worker waits long for the other
held: list[bytes] = []  # by a worker, so that nothing is sent in the time that is measured


def generated() -> list[bytes]:
    """Return 40 gray JPEG files of 1.5 to 3 million pixels."""
    pictures = [Image.fromarray(draw("normal", np.random.default_rng(number))) for number in range(40)]
    return [jpeg(each, (1500, round(1500 / each.width * each.height)), quality=90) for each in pictures]


def square() -> list[bytes]:
    """Return nine gray JPEG files of 1,350 x 1,350 pixels."""
    kinds = ("covid", "normal", "pneumonia") * 3
    pictures = [Image.fromarray(draw(kind, np.random.default_rng(number))) for number, kind in enumerate(kinds)]
    return [jpeg(each, (1350, 1350), quality=75) for each in pictures]


def jpeg(picture: Image.Image, size: tuple[int, int], *, quality: int) -> bytes:
    """Return a picture of another size as a file."""
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
    return file.getvalue()


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


def made(files: Sequence[bytes]) -> list[str]:
    """Return the milliseconds of the processor for each sound image, of all that is made of it, and the sums.

    The sums are for each second of bare decoding: for an image of which inspection makes all in one pass, which it does
    not, for one that the audit or the shards decode again, and for one that nothing but inspection looks at.
    """
    sound = [body for body in files if "problem" not in inspection.inspect_image(body)]
    images = [image_of(body) for body in sound]
    drawn = [SMALL.draw(image) for image in images]
    seconds = best(
        (time.process_time, lambda: decode_all(sound)),
        (time.process_time, lambda: inspect_all(sound)),
        (time.process_time, lambda: decode_again(sound)),
        (time.process_time, lambda: [SMALL.make(image) for image in images]),
        (time.process_time, lambda: [describe_picture(*each, 1) for each in zip(images, drawn, strict=True)]),
    )
    bare, inspecting, again, picture, look = seconds
    sums = inspecting + picture + look, inspecting + again + picture + look, inspecting
    each = [f"{1000 * part / len(sound):.2f}" for part in seconds]
    return [str(len(sound)), *each, *(f"{total / bare:.2f}" for total in sums)]


def image_of(body: bytes) -> Image.Image:
    """Return the pixels that all stages see."""
    with inspection.decoded(body) as image:
        return image


def decode_again(files: Sequence[bytes]) -> None:
    """Decode the files as all stages do. None is held, as a new place for each image would cost half as much again."""
    for body in files:
        image_of(body)


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
    steps = ["number", "bare decode, ms", "inspect, ms", "decode again, ms", "picture, ms", "looks, ms"]
    table([*steps, "in one pass, ratio", "drawn, ratio", "others, ratio"], made, {"1,350 x 1,350": square()} | sets)


if __name__ == "__main__":
    main()
