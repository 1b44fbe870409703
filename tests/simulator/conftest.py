"""A tiny git repository and a tiny zip, and a simulator that serves them."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from upstream_simulator.server import UpstreamSimulator

FILES = {
    "metadata.csv": b"patientid,filename\r\n1,a.jpg\r\n",
    "images/a.jpg": bytes(range(256)) * 1024,  # more than one chunk
    "images/b #1%.jpg ": b"odd name",
    "images/é.png": b"accent",
    "empty": b"",
}
OTHER = b"commit refs/heads/main\ncommitter B <b@example.invalid> 1 +0000\ndata 0\nM 100644 inline empty\ndata 1\n!\n"
# Author dates are a year earlier: choosing by them would choose wrongly.
COMMITTED = (1583971200, 1584057600, 1584144000)  # 2020-03-12, -13 and -14, midnight UTC


def git(git_dir: Path, *arguments: str, stdin: bytes = b"") -> str:
    command = ["git", f"--git-dir={git_dir}", *arguments]
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def write_repository(git_dir: Path) -> None:
    """Three commits on master: all files, one more file, metadata.csv changed. The tag v1 is the first."""
    stream = b""
    changes = (FILES, {"README.md": b"words"}, {"metadata.csv": b"patientid,filename\r\n"})
    for number, (seconds, files) in enumerate(zip(COMMITTED, changes, strict=True), start=1):
        message = f"commit {number}\n\nwith a body\n".encode()
        stream += b"commit refs/heads/master\n"
        stream += b"author Ann <ann@example.invalid> %d +0000\n" % (seconds - 365 * 86400)
        stream += b"committer Bob <bob@example.invalid> %d +0100\n" % seconds
        stream += b"data %d\n%b\n" % (len(message), message)
        for name, data in files.items():
            stream += b"M 100644 inline %b\ndata %d\n%b\n" % (name.encode(), len(data), data)
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=master", git_dir], check=True)
    git(git_dir, "fast-import", "--quiet", stdin=stream)
    git(git_dir, "tag", "v1", "master~2")


@pytest.fixture(scope="session")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``github/`` and ``kaggle/``; read only."""
    folder = tmp_path_factory.mktemp("upstream")
    write_repository(folder / "github/ann/covid.git")
    (folder / "github/ann/older-name.git").symlink_to("covid.git")
    for name in ("ann/empty", "bob/other"):
        git_dir = folder / f"github/{name}.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", git_dir], check=True)
    git(git_dir, "fast-import", "--quiet", stdin=OTHER)
    dataset = folder / "kaggle" / "ann" / "x-rays"
    dataset.mkdir(parents=True)
    for version in (9, 10):
        with zipfile.ZipFile(dataset / f"{version}.zip", "w") as archive:
            archive.writestr("chest_xray/train/NORMAL/a.jpeg", bytes(range(256)) * 40 * version)
    return folder


@pytest.fixture(scope="module")
def running(upstream: Path) -> Iterator[UpstreamSimulator]:
    with UpstreamSimulator(upstream / "github", upstream / "kaggle") as simulator:
        yield simulator


@pytest.fixture
def sim(running: UpstreamSimulator) -> UpstreamSimulator:
    """A simulator without faults and with an empty log."""
    running.faults.clear()
    running.requests.clear()
    return running


@pytest.fixture
def shas(upstream: Path) -> list[str]:
    """The commits, oldest first."""
    return git(upstream / "github/ann/covid.git", "rev-list", "--reverse", "master").split()
