"""A small upstream of three commits and a zip, and the real clients that ask it."""

from __future__ import annotations

import random
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import UpstreamFile
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.sources.kaggle import CHUNK
from cxr_snapshot.sources.pneumonia import PneumoniaCollection
from upstream_simulator.sample import GIT_NAME, GITHUB_NAME, KAGGLE_NAME
from upstream_simulator.server import RecordedRequest, UpstreamSimulator

API, TREE, ARCHIVE, RAW = "/commits/", "/git/trees/", "/github-codeload/", "/github-raw/"
GET_DATASET, DOWNLOAD, STORAGE = "/GetDataset", "/DownloadDataset", "/kaggle-storage/"
DATASET = "paultimothymooney/chest-xray-pneumonia"

FIRST = {
    "README.md": b"not wanted",
    "metadata.csv": b"patientid,filename\r\n1,a.jpg\r\n",
    "images/a.jpg": random.Random(1).randbytes(30_000),
    "images/b c #1%.png": b"odd",
    "images/deeper/\u00e9\u4e2d.jpeg": b"far away",
    "images/same as odd": b"odd",
}
SECOND = FIRST | {"images/d.jpg": b"new", "metadata.csv": b"patientid,filename\r\n1,a.jpg\r\n2,d.jpg\r\n"}
THIRD = SECOND | {"README.md": b"other words"}
DAYS = ("2020-03-11", "2020-03-13", "2020-03-14")

ZIPPED = {
    "chest_xray/test/NORMAL/b.jpeg": b"b" * 5_000,
    "chest_xray/train/PNEUMONIA/a.jpeg": random.Random(2).randbytes(5 * CHUNK),
    "chest_xray/chest_xray/test/NORMAL/b.jpeg": b"b" * 5_000,
    "chest_xray/chest_xray/.DS_Store": b"?",
    "chest_xray/__MACOSX/train/._a.jpeg": b"?",
}


def git(git_dir: Path, *arguments: str, stdin: bytes = b"") -> str:
    command = ["git", f"--git-dir={git_dir}", *arguments]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def write_commits(git_dir: Path, states: tuple[dict[str, bytes], ...]) -> None:
    """Write one commit for each state, at noon of its day."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--template=", "--initial-branch=master", git_dir], check=True)
    stream = b""
    for day, state in zip(DAYS, states, strict=False):
        noon = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp())
        stream += b"commit refs/heads/master\ncommitter A <a@example.invalid> %d +0000\ndata 0\n" % noon
        stream += b"deleteall\n"
        for path, body in state.items():
            stream += b'M 100644 inline "%b"\ndata %d\n%b\n' % (path.encode(), len(body), body)
    git(git_dir, "fast-import", "--quiet", stdin=stream)


def write_zip(file: Path, members: dict[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("chest_xray")
        for path, body in members.items():
            archive.writestr(path, body)


class World:
    """An upstream of three commits and a zip, the simulator that serves it, and a scratch folder."""

    def __init__(self, upstream: Path, sim: UpstreamSimulator, scratch: Path) -> None:
        self.sim, self.scratch, self.sleeps = sim, scratch, list[float]()
        self.git_dir, self.kaggle_dir = upstream / GIT_NAME, upstream / KAGGLE_NAME / DATASET
        self.commits = git(self.git_dir, "rev-list", "--reverse", "master").split()

    def settings(self, **changes: Any) -> Settings:
        fast = {"bucket": "abc", "scratch_dir": self.scratch, "http_attempts": 3, "http_max_wait": 30.0}
        return Settings(**{**fast, **self.sim.settings(), **changes})

    def github(self, **changes: Any) -> CovidCollection:
        return CovidCollection(self.settings(**changes), sleep=self.sleeps.append)

    def kaggle(self, **changes: Any) -> PneumoniaCollection:
        return PneumoniaCollection(self.settings(**changes), sleep=self.sleeps.append)

    def asked(self, part: str = "") -> list[RecordedRequest]:
        return [request for request in list(self.sim.requests) if part in request.path]


def start(upstream: Path) -> UpstreamSimulator:
    return UpstreamSimulator(upstream / GITHUB_NAME, upstream / KAGGLE_NAME)


def bodies(files: list[UpstreamFile]) -> dict[str, bytes | None]:
    return {file.path: file.body for file in files}


def wanted(state: dict[str, bytes]) -> dict[str, bytes]:
    return {path: body for path, body in state.items() if path != "README.md"}


def everything(source: CovidCollection | PneumoniaCollection) -> list[UpstreamFile]:
    listing = source.files(source.resolve(), known=())
    files = list(listing.files)
    assert len(files) == listing.total
    return files
