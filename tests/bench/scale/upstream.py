"""An upstream of any size, as the simulator serves it: a third of the images on GitHub, two thirds in Kaggle's zip.

The pictures are random and slow waves, so that their fingerprints differ in about half of the 256 bits, in 64 x 64
pixels, so that they are small. A second commit, to which ``sample.advance`` moves, adds 1 % new COVID images.
"""

from __future__ import annotations

import csv
import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME

SIDE = 64  # pixels; the smallest that the inspection takes
WAVES = 16  # in each direction, as many as the fingerprint looks at
HEADER = (
    *("patientid", "offset", "sex", "age", "finding", "survival", "view", "modality", "date", "location", "folder"),
    *("filename", "doi", "url", "license", "clinical_notes", "other_notes"),
)
IDENTITY = "Generated Upstream <generated@example.org> 1600000000 +0000"


def picture(number: int, side: int = SIDE) -> bytes:
    """Return a JPEG of ``side`` x ``side`` pixels; each number gives another picture."""
    gray = np.random.default_rng(number).integers(0, 256, (WAVES, WAVES), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(gray).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=75)
    return file.getvalue()


def write_upstream(folder: Path, images: int, side: int = SIDE) -> dict[str, int]:
    """Write ``images`` images to ``folder``, and a commit with 1 % more; return the number and bytes of both parts."""
    new, covid = max(images // 100, 1), images // 3
    (folder / GIT_NAME).mkdir(parents=True)
    _write_repository(folder / GIT_NAME, covid, new, side)
    path = folder / KAGGLE_NAME / "paultimothymooney/chest-xray-pneumonia/1.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(covid, images):
            archive.writestr(zipfile.ZipInfo(kaggle_path(number)), picture(number, side))
    return {"covid": covid, "new": new, "kaggle": images - covid, "zip_bytes": path.stat().st_size}


def kaggle_path(number: int) -> str:
    """Return a path in the zip; odd numbers are normal, two images make a person."""
    if number % 2:
        return f"chest_xray/train/NORMAL/IM-{number // 4:06d}-{number:06d}.jpeg"
    cause = "virus" if number % 4 else "bacteria"
    return f"chest_xray/train/PNEUMONIA/person{number // 4}_{cause}_{number}.jpeg"


def covid_name(number: int) -> str:
    """Return a file name; those of the second commit lie between those of the first."""
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


def _write_repository(git_dir: Path, covid: int, new: int, side: int) -> None:
    git = ["git", f"--git-dir={git_dir}"]
    subprocess.run([*git, "init", "--quiet", "--bare", "--template=", "--initial-branch=master"], check=True)
    with subprocess.Popen([*git, "fast-import", "--quiet"], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for piece in _import_stream(covid, new, side):
            process.stdin.write(piece)
    if process.returncode:
        raise RuntimeError(f"git fast-import failed on {git_dir}")


def _import_stream(covid: int, new: int, side: int) -> Iterator[bytes]:
    """Yield two commits in the language of ``git fast-import``."""
    for step, first, last in ((1, 0, covid), (2, 1_000_000 - new, 1_000_000)):
        yield f"commit refs/replay/step-{step}\nmark :{step}\ncommitter {IDENTITY}\n".encode() + _data(b"images")
        if step == 2:
            yield b"from :1\n"
            rows = metadata(range(covid)) + metadata(range(first, last)).partition(b"\n")[2]
        else:
            rows = metadata(range(covid))
        yield b"M 100644 inline metadata.csv\n" + _data(rows)
        for number in range(first, last):
            yield f"M 100644 inline images/{covid_name(number)}\n".encode() + _data(picture(number, side))
    yield b"reset refs/heads/master\nfrom :1\n\n"


def _data(body: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(body), body)
