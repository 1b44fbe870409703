"""An upstream of any size, as the simulator serves it: some images on GitHub, the others in Kaggle's zip.

A second commit, to which ``sample.advance`` moves, adds new COVID images. The pictures are random and slow waves, so
that their fingerprints differ in about half of the 256 bits: of 64 x 64 pixels, or as large as the collections' are.
"""

from __future__ import annotations

import csv
import io
import multiprocessing
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from upstream_simulator.kaggle_sample import APPLE_DOUBLE
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME

SIDE = 64  # pixels; the smallest that the inspection takes
WAVES = 16  # in each direction, as many as the fingerprint looks at
GRAIN = 2100  # pixels; the side of the noise that large pictures take theirs from
DEVIATION = 7.5  # gray levels; by this, a JPEG of such noise takes about 0.15 bytes a pixel
LAST = 1_000_000  # the images of the second commit have the numbers before this one
HEADER = (
    *("patientid", "offset", "sex", "age", "finding", "survival", "view", "modality", "date", "location", "folder"),
    *("filename", "doi", "url", "license", "clinical_notes", "other_notes"),
)
IDENTITY = "Generated Upstream <generated@example.org> 1600000000 +0000"


@dataclass(frozen=True)
class Shape:
    """How large an upstream is, and what it holds.

    Args:
        covid: images of the first commit on GitHub.
        new: images that the second commit adds.
        kaggle: images in the zip, each once.
        normal: how many of how many of these are normal; the others are pneumonia.
        twice: whether the zip holds its content twice, and what a Mac leaves there, as Kaggle's does.
        draw: makes the file of an image from its kind and number.
    """

    covid: int
    new: int
    kaggle: int
    normal: tuple[int, int]
    twice: bool
    draw: Callable[[str, int], bytes]

    @property
    def images(self) -> int:
        """Return the number of images at first."""
        return self.covid + self.kaggle

    def kind(self, number: int) -> str:
        """Return ``covid``, ``normal`` or ``pneumonia``."""
        if not self.covid <= number < self.images:
            return "covid"
        some, of = self.normal
        return "normal" if number % of < some else "pneumonia"

    def picture(self, number: int) -> bytes:
        """Return the file of an image; each number gives another picture."""
        return self.draw(self.kind(number), number)


def small(images: int, side: int = SIDE) -> Shape:
    """Return a shape of so many images of ``side`` x ``side`` pixels, equally many of each kind, and 1 % more later."""
    covid = images // 3
    return Shape(covid, max(images // 100, 1), images - covid, (1, 2), twice=False, draw=partial(square, side=side))


def square(kind: str, number: int, side: int) -> bytes:
    """Return a JPEG of ``side`` x ``side`` pixels."""
    return _jpeg(_waves(np.random.default_rng(number), (side, side)))


def radiograph(kind: str, number: int) -> bytes:
    """Return a file as large, in pixels and bytes, as those of its kind in the collections are: most are JPEGs."""
    rng = np.random.default_rng(number)
    is_png = kind == "covid" and number % 4 == 0
    width, shape = {"covid": (700 if is_png else 1600, 0.95), "normal": (1650, 0.79), "pneumonia": (1200, 0.69)}[kind]
    width = round(width * rng.uniform(0.75, 1.25))
    waves = _waves(rng, (width, round(width * shape)))
    left, top = (int(rng.integers(0, GRAIN - side + 1)) for side in waves.size)
    noise = _grain().crop((left, top, left + waves.width, top + waves.height))
    picture = ImageChops.add(waves, noise, offset=-128)
    if not is_png:
        return _jpeg(picture)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


# As many, and as large, as the two collections were in 2020; a commit adds a tenth of the COVID images.
REAL = Shape(760, 76, 5856, (3, 11), twice=True, draw=radiograph)


def _waves(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    gray = rng.integers(0, 256, (WAVES, WAVES), dtype=np.uint8)
    return Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC)


@cache
def _grain() -> Image.Image:
    """Return noise around 128; made once, since it takes a while."""
    noise = np.random.default_rng(0).normal(128, DEVIATION, (GRAIN, GRAIN))
    return Image.fromarray(noise.round().astype(np.uint8))


def _jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return file.getvalue()


def write_upstream(folder: Path, shape: Shape) -> dict[str, int]:
    """Write an upstream to ``folder``, one image after the other; return the number and bytes of both parts."""
    (folder / GIT_NAME).mkdir(parents=True)
    path = folder / KAGGLE_NAME / "paultimothymooney/chest-xray-pneumonia/1.zip"
    path.parent.mkdir(parents=True)
    with multiprocessing.get_context("spawn").Pool(2) as pool:

        def pictures(numbers: range) -> Iterable[bytes]:
            return pool.imap(shape.picture, numbers, chunksize=8)

        _write_repository(folder / GIT_NAME, shape, pictures)
        _write_zip(path, shape, pictures)
    counts = {"covid": shape.covid, "new": shape.new, "kaggle": shape.kaggle, "zip_bytes": path.stat().st_size}
    return counts | {"git_bytes": sum(file.stat().st_size for file in (folder / GIT_NAME).rglob("*.pack"))}


def _write_zip(path: Path, shape: Shape, pictures: Callable[[range], Iterable[bytes]]) -> None:
    numbers = range(shape.covid, shape.images)
    with zipfile.ZipFile(path, "w") as archive:
        for number, body in zip(numbers, pictures(numbers), strict=True):
            name = kaggle_path(number, shape.kind(number))
            members = {name: body}
            if shape.twice:
                members |= {f"chest_xray/__MACOSX/{name}": APPLE_DOUBLE, f"chest_xray/{name}": body}
            for member, content in members.items():
                archive.writestr(zipfile.ZipInfo(member), content)


def kaggle_path(number: int, kind: str) -> str:
    """Return a path in the zip; two images make a person."""
    if kind == "normal":
        return f"chest_xray/train/NORMAL/IM-{number // 4:06d}-{number:06d}.jpeg"
    cause = ("virus", "bacteria")[number // 4 % 2]
    return f"chest_xray/train/PNEUMONIA/person{number // 4}_{cause}_{number}.jpeg"


def covid_name(number: int) -> str:
    """Return a file name; those of the second commit lie between those of the first. PNGs have it too."""
    return f"film-{number * 7919 % 1_000_003:07d}.jpg"


def metadata(numbers: range) -> bytes:
    """Return ``metadata.csv`` with a row for each image; two make a patient."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for number in numbers:
        patient = number // 2
        facts = {
            "patientid": str(patient),
            "offset": str(number % 2 * 5),
            "sex": "MF"[patient % 2],
            "age": str(20 + patient % 70),
            "finding": "Pneumonia/Viral/COVID-19",
            "view": ("PA", "AP", "AP Supine")[number % 3],
            "modality": "X-ray",
            "date": "2020",
            "location": f"Model Clinic {patient % 40}, Testford",
            "folder": "images",
            "filename": covid_name(number),
            "url": f"https://example.org/cases/{patient}",
            "license": ("CC BY-NC-SA", "CC0", "", "CC BY-NC-ND")[patient % 4],
            "clinical_notes": f"fever and dry cough for {patient % 9} days",
        }
        writer.writerow([facts.get(name, "") for name in HEADER])
    return text.getvalue().encode()


def _write_repository(git_dir: Path, shape: Shape, pictures: Callable[[range], Iterable[bytes]]) -> None:
    git = ["git", f"--git-dir={git_dir}"]
    subprocess.run([*git, "init", "--quiet", "--bare", "--template=", "--initial-branch=master"], check=True)
    # Pictures do not get smaller, and to try takes longer than all else.
    importing = [*git, "-c", "core.compression=0", "fast-import", "--quiet", "--depth=0"]
    with subprocess.Popen(importing, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for piece in _import_stream(shape, pictures):
            process.stdin.write(piece)
    if process.returncode:
        raise RuntimeError(f"git fast-import failed on {git_dir}")


def _import_stream(shape: Shape, pictures: Callable[[range], Iterable[bytes]]) -> Iterator[bytes]:
    """Yield two commits in the language of ``git fast-import``."""
    first, second = range(shape.covid), range(LAST - shape.new, LAST)
    rows = metadata(first)
    for step, numbers in ((1, first), (2, second)):
        yield f"commit refs/replay/step-{step}\nmark :{step}\ncommitter {IDENTITY}\n".encode() + _data(b"images")
        if step == 2:
            yield b"from :1\n"
            rows += metadata(second).partition(b"\n")[2]
        yield b"M 100644 inline metadata.csv\n" + _data(rows)
        for number, body in zip(numbers, pictures(numbers), strict=True):
            yield f"M 100644 inline images/{covid_name(number)}\n".encode() + _data(body)
    yield b"reset refs/heads/master\nfrom :1\n\n"


def _data(body: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(body), body)
