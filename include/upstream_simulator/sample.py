"""Writes a generated upstream to a folder, and moves it on from one commit to the next.

The folder then holds what the simulator serves: ``github/<owner>/<name>.git``, a bare repository whose states are
``refs/replay/step-1`` and on, with branch ``master`` at the first; and ``kaggle/<owner>/<slug>/1.zip``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from upstream_simulator import covid_sample, kaggle_sample

GITHUB_NAME = "github"
GIT_NAME = f"{GITHUB_NAME}/ieee8023/covid-chestxray-dataset.git"
_OLD_GIT_NAME = "covid.git"  # until version 0.2
KAGGLE_NAME = "kaggle"
_ZIP_NAME = f"{KAGGLE_NAME}/paultimothymooney/chest-xray-pneumonia/1.zip"
_ZIP_DATE = (2018, 3, 25, 0, 0, 0)
_IDENTITY = "Sample Upstream <sample-upstream@example.org>"
_BRANCH = "refs/heads/master"
_STEPS = "refs/replay/"


class SampleError(Exception):
    """The sample cannot be written or moved on. The text says what to do."""


def has_sample(folder: Path) -> bool:
    """Say whether ``folder`` holds a whole sample."""
    return (folder / GIT_NAME).exists() and (folder / _ZIP_NAME).exists()


def move_older(folder: Path) -> bool:
    """Move the repository that an older version wrote to where it is looked for now; say whether there was one."""
    old, new = folder / _OLD_GIT_NAME, folder / GIT_NAME
    if new.exists() or not old.exists():
        return False
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)
    return True


def write_sample(folder: Path, seed: int = 0) -> None:
    """Write the sample to ``folder``; a repository or zip that is there already is left as it is.

    The same seed gives the same commit SHAs and the same zip bytes with the same versions of numpy and Pillow.

    Raises:
        SampleError: git is missing or failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Both parts are made under another name and then renamed: a kill leaves no half of a part under its own name.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".sample-") as scratch:
        if not (folder / GIT_NAME).exists():
            write_repository(Path(scratch) / "covid.git", covid_sample.history(seed))
            (folder / GIT_NAME).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / "covid.git").rename(folder / GIT_NAME)
        if not (folder / _ZIP_NAME).exists():
            write_zip(Path(scratch) / "1.zip", kaggle_sample.members(seed))
            (folder / _ZIP_NAME).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / "1.zip").rename(folder / _ZIP_NAME)


def advance(git_dir: Path) -> str | None:
    """Move branch ``master`` on to the next replay step.

    Returns:
        The new step's name, such as ``step-2``, or ``None`` where ``master`` is at the last one.

    Raises:
        SampleError: the repository has no replay steps, or ``master`` is at none of them.
    """
    steps = _replay_steps(git_dir)
    current = _git(git_dir, "rev-parse", _BRANCH).strip()
    shas = [sha for _, sha in steps]
    if current not in shas:
        raise SampleError(
            f"master of {git_dir} is at {current}, which is no replay step; "
            f"set it to one: git --git-dir={git_dir} update-ref {_BRANCH} {_STEPS}step-1"
        )
    following = shas.index(current) + 1
    if following == len(steps):
        return None
    name, sha = steps[following]
    _git(git_dir, "update-ref", _BRANCH, sha, current)
    return name


def rewind(git_dir: Path) -> None:
    """Move branch ``master`` back to the first replay step.

    Raises:
        SampleError: the repository has no replay steps.
    """
    _git(git_dir, "update-ref", _BRANCH, _replay_steps(git_dir)[0][1])


def _replay_steps(git_dir: Path) -> list[tuple[str, str]]:
    """Return name and SHA of every replay step, in the order of their numbers."""
    listing = _git(git_dir, "for-each-ref", "--sort=version:refname", "--format=%(refname) %(objectname)", _STEPS)
    steps = [line.split() for line in listing.splitlines()]
    if not steps:
        raise SampleError(
            f"{git_dir} has no {_STEPS}step-N; write a sample first: python -m upstream_simulator sample DIR"
        )
    return [(ref.removeprefix(_STEPS), sha) for ref, sha in steps]


def write_repository(git_dir: Path, commits: Iterable[covid_sample.Commit]) -> None:
    """Write a bare repository with a replay step for each commit and ``master`` at the first."""
    git_dir.mkdir(parents=True)
    _git(git_dir, "init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch=master")
    _git(git_dir, "fast-import", "--quiet", stdin=b"".join(_import_stream(commits)))


def _import_stream(commits: Iterable[covid_sample.Commit]) -> Iterator[bytes]:
    """Yield the commits in the language of ``git fast-import``."""
    for number, commit in enumerate(commits, start=1):
        when = f"{int(datetime.fromisoformat(commit.date).timestamp())} +0000"
        yield f"commit {_STEPS}step-{number}\nmark :{number}\n".encode()
        yield f"author {_IDENTITY} {when}\ncommitter {_IDENTITY} {when}\n".encode()
        yield _data(commit.subject.encode())
        if number > 1:
            yield f"from :{number - 1}\ndeleteall\n".encode()
        for path, body in commit.files.items():
            yield f"M 100644 inline {path}\n".encode() + _data(body)
    yield f"reset {_BRANCH}\nfrom :1\n\n".encode()


def _data(body: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(body), body)


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write members, given as path and bytes, to a zip; equal arguments give equal bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members:
            info = zipfile.ZipInfo(name, _ZIP_DATE)
            info.create_system = 3  # Unix, on every system: the bytes must not depend on where they are written
            info.external_attr = 0o100644 << 16
            archive.writestr(info, body)


def _git(git_dir: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git on ``git_dir`` without the user's configuration and return what it printed."""
    program = shutil.which("git")
    if program is None:
        raise SampleError("the program git is not on PATH; install git")
    environment = {"PATH": os.environ.get("PATH", ""), "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = [program, f"--git-dir={git_dir}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
    if done.returncode:
        problem = done.stderr.decode(errors="replace").strip()
        raise SampleError(f"git {arguments[0]} failed on {git_dir}: {problem}. Check that this is a git repository.")
    return done.stdout.decode()
