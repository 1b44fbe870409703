"""Upstreams of real size for benchmarks: the real states where they are at hand, else generated ones."""

from __future__ import annotations

import csv
import io
import multiprocessing
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from local_stack.stack import SERVER
from support.paths import REAL_DATA, ROOT
from upstream_simulator.sample import GIT_NAME, GITHUB_NAME

REPOSITORY = "ieee8023/covid-chestxray-dataset"
KAGGLE = "kaggle/paultimothymooney/chest-xray-pneumonia"
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test-secret", "region_name": "us-east-1"}
KEY_VARIABLES = {name.upper().replace("REGION_NAME", "AWS_DEFAULT_REGION"): value for name, value in KEYS.items()}


class Spent(NamedTuple):
    """Seconds by the clock, and of processor time of this process and its children."""

    wall: float
    cpu: float

    def plus(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


class Stopwatch:
    """What each step took, by name; the same name adds up."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        before = _now()
        yield
        spent = Spent(*(after - since for after, since in zip(_now(), before, strict=True)))
        self.spent[name] = self.spent.get(name, Spent(0, 0)).plus(spent)


def _now() -> tuple[float, float]:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), time.process_time() + children.ru_utime + children.ru_stime


def peak_mb() -> float:
    """Return the most memory that this process ever had; ``getrusage`` would give that of its parent, if higher."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def server_cpu() -> float:
    """Return the CPU seconds so far of the S3 server that this process started."""
    children = psutil.Process().children(recursive=True)
    times = [child.cpu_times() for child in children if str(SERVER) in child.cmdline()]
    assert times, "the S3 server is not found"
    return sum(spent.user + spent.system for spent in times)


def in_fresh_process(work: Callable[..., dict], *arguments: object) -> dict:
    """Return ``work(*arguments)`` of a process that has nothing imported yet."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


@dataclass(frozen=True)
class Upstream:
    """What a simulator serves, with ``first`` and ``then`` as two states of the repository."""

    name: str
    folder: Path
    first: str
    then: str

    @property
    def git_dir(self) -> Path:
        return self.folder / GIT_NAME

    @property
    def github_dir(self) -> Path:
        return self.folder / GITHUB_NAME

    @property
    def kaggle_dir(self) -> Path:
        return self.folder / "kaggle"

    @property
    def zip(self) -> Path:
        (file,) = (self.folder / KAGGLE).glob("*.zip")
        return file

    def git(self, *arguments: str) -> bytes:
        command = ["git", f"--git-dir={self.git_dir}", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def commit(self, step: str) -> str:
        return self.git("rev-parse", f"refs/replay/{step}").decode().strip()

    def move_to(self, step: str) -> None:
        self.git("update-ref", "refs/heads/master", f"refs/replay/{step}")


def real(folder: Path, first: str, then: str) -> Upstream:
    """Copy the real repository, which is read-only, and link the real zip."""
    upstream = Upstream("real", folder, first, then)
    shutil.copytree(REAL_DATA / "covid-chestxray-dataset.git", upstream.git_dir)
    subprocess.run(["chmod", "-R", "u+w", upstream.git_dir], check=True)
    (folder / KAGGLE).mkdir(parents=True)
    (folder / KAGGLE / "2.zip").symlink_to(REAL_DATA / "chest-xray-pneumonia.zip")
    return upstream


def generated(count: int) -> Upstream:
    """Draw ``count`` images of real size, 1/5 COVID, 3/10 normal, 1/2 pneumonia; kept in ``.local``.

    The second state has 1 % more COVID images than the first.
    """
    from upstream_simulator.covid_sample import Commit
    from upstream_simulator.kaggle_sample import with_leftovers
    from upstream_simulator.sample import write_repository, write_zip

    folder = ROOT / f".local/bench-upstream-{count}"
    upstream = Upstream(f"{count:,} generated", folder, "step-1", "step-2")
    if folder.exists():
        return upstream
    covid, normal, new = count // 5, count * 3 // 10, count // 100
    kinds = ["covid"] * (covid + new) + ["normal"] * normal + ["pneumonia"] * (count - covid - normal)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        bodies = pool.starmap(draw_large, list(zip(kinds, range(len(kinds)), strict=True)), chunksize=20)
    draft = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / KAGGLE).mkdir(parents=True)
    images = {f"images/case-{number}.jpg": body for number, body in enumerate(bodies[: covid + new])}
    commits = []
    for date, size in (("2020-10-01T10:00:00+00:00", covid), ("2020-10-02T10:00:00+00:00", covid + new)):
        files = {"metadata.csv": _metadata(size), **dict(list(images.items())[:size])}
        commits.append(Commit(date, f"{size} images", files))
    write_repository(draft / GIT_NAME, commits)
    members = {
        f"chest_xray/train/{kind.upper()}/{_kaggle_name(kind, number)}": body
        for number, (kind, body) in enumerate(zip(kinds, bodies, strict=True))
        if kind != "covid"
    }
    write_zip(draft / KAGGLE / "1.zip", with_leftovers(members))
    draft.rename(folder)
    return upstream


def draw_large(kind: str, number: int) -> bytes:
    """Return a gray JPEG as wide as radiographs in the collections are, 1,000 to 1,700 pixels."""
    import numpy as np
    from PIL import Image

    from upstream_simulator.phantom import draw

    rng = np.random.default_rng(number)
    picture = Image.fromarray(draw(kind, rng))
    width = int(rng.integers(1000, 1700))
    file = io.BytesIO()
    size = (width, round(width * picture.height / picture.width))
    picture.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def _kaggle_name(kind: str, number: int) -> str:
    return f"IM-{number:04d}-0001.jpeg" if kind == "normal" else f"person{number}_bacteria_{number}.jpeg"


def _metadata(count: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patientid", "finding", "view", "modality", "folder", "filename", "license"])
    for number in range(count):
        finding = "Pneumonia/Viral/COVID-19"
        writer.writerow([number, finding, "PA", "X-ray", "images", f"case-{number}.jpg", "CC BY"])
    return text.getvalue().encode()
