"""Upstreams on loopback ports, which a test may change."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_judges, build_sources
from cxr_snapshot.store.objects import Store
from support.paths import REAL_DATA
from upstream_simulator.covid_sample import Commit
from upstream_simulator.kaggle_sample import with_leftovers
from upstream_simulator.sample import GIT_NAME, GITHUB_NAME, KAGGLE_NAME, write_zip
from upstream_simulator.server import UpstreamSimulator

ZIP_NAME = f"{KAGGLE_NAME}/paultimothymooney/chest-xray-pneumonia/1.zip"
NIH_NAME = f"{KAGGLE_NAME}/nih-chest-xrays/sample/4.zip"
HANNOVER_NAME = f"{GITHUB_NAME}/ml-workgroup/covid-19-image-repository.git"
FEW = 4  # images of each class: enough for every stage, too few for the audit's probes, which take seconds


@dataclass
class ServedUpstream:
    """An upstream on a loopback port that a test may change."""

    simulator: UpstreamSimulator
    git_dir: Path
    kaggle_dir: Path

    def move_to_step(self, step: int) -> str:
        """Let the branch ``master`` point at replay step ``step``; return the commit."""
        git = ["git", "--git-dir", str(self.git_dir)]
        subprocess.run([*git, "update-ref", "refs/heads/master", f"refs/replay/step-{step}"], check=True)
        return subprocess.run([*git, "rev-parse", "master"], check=True, capture_output=True, text=True).stdout.strip()

    def settings(self, folder: Path, **others: object) -> dict[str, object]:
        """Return settings that lead to this upstream, hardly wait, and draw ``FEW`` images unless told otherwise."""
        fast = {"scratch_dir": folder, "http_max_wait": 1, "max_per_class": FEW}
        return {**self.simulator.settings(), **fast, **others}

    def pipeline(self, store: Store, folder: Path, **others: object) -> Pipeline:
        """Return a pipeline from this upstream into ``store``, with a memory of nothing."""
        settings = Settings.load(self.settings(folder, bucket=store.bucket, prefix=store.prefix, **others), environ={})
        return Pipeline(settings, store, build_sources(settings), build_judges(settings))


@contextmanager
def served_with_hannover(folder: Path) -> Iterator[ServedUpstream]:
    """Serve all repositories and datasets in ``folder``. It is Hannover's repository that a test moves."""
    with UpstreamSimulator(folder / GITHUB_NAME, folder / KAGGLE_NAME, synthetic=False) as simulator:
        yield ServedUpstream(simulator, folder / HANNOVER_NAME, folder / KAGGLE_NAME)


def commit_at(sample: Path, step: int) -> Commit:
    """Return the commit of a replay step of a generated sample."""
    git, name = ["git", "--git-dir", str(sample / GIT_NAME)], f"refs/replay/step-{step}"
    log = subprocess.run([*git, "log", "-1", "--format=%cI%n%s", name], check=True, capture_output=True, text=True)
    date, subject = log.stdout.splitlines()
    packed = subprocess.run([*git, "archive", name], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        files = {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}
    return Commit(date, subject, files)


def zipped_images(sample: Path) -> dict[str, bytes]:
    """Return Kaggle's images of a generated sample by path."""
    with zipfile.ZipFile(sample / ZIP_NAME) as archive:
        names = [name for name in archive.namelist() if re.match("chest_xray/(train|test|val)/", name)]
        return {name: archive.read(name) for name in names}


def write_zipped_images(folder: Path, images: Mapping[str, bytes]) -> None:
    """Write the zip of a sample that has these images of Kaggle's, with all that lies beside them."""
    (folder / ZIP_NAME).parent.mkdir(parents=True)
    write_zip(folder / ZIP_NAME, with_leftovers(images))


def write_small_sample(whole: Path, folder: Path) -> None:
    """Write the generated sample ``whole`` to ``folder``, with an eighth of Kaggle's images."""
    shutil.copytree(whole / GIT_NAME, folder / GIT_NAME)
    write_zipped_images(folder, dict(list(zipped_images(whole).items())[::8]))


@contextmanager
def served_sample(sample: Path, folder: Path, *, synthetic: bool = False) -> Iterator[ServedUpstream]:
    """Serve a copy of a generated sample, made in ``folder``, at its first commit.

    Unless it is to be ``synthetic``, it does not say what it is, so that tests see what is said of the real ones.
    """
    git_dir, kaggle_dir = folder / GIT_NAME, folder / KAGGLE_NAME
    shutil.copytree(sample, folder, dirs_exist_ok=True)
    with UpstreamSimulator(folder / GITHUB_NAME, kaggle_dir, synthetic=synthetic) as simulator:
        yield ServedUpstream(simulator, git_dir, kaggle_dir)


@contextmanager
def served_real(folder: Path) -> Iterator[ServedUpstream]:
    """Serve eight states of the real COVID collection, and real Kaggle images in a zip of Kaggle's layout."""
    git_dir, kaggle_dir = folder / GIT_NAME, folder / KAGGLE_NAME
    shutil.copytree(REAL_DATA / "covid-chestxray-dataset.git", git_dir)
    subprocess.run(["chmod", "-R", "u+w", git_dir], check=True)
    dataset = kaggle_dir / "paultimothymooney/chest-xray-pneumonia"
    dataset.mkdir(parents=True)
    (dataset / "2.zip").symlink_to(REAL_DATA / "chest-xray-pneumonia.zip")
    with UpstreamSimulator(folder / GITHUB_NAME, kaggle_dir, synthetic=False) as simulator:
        yield ServedUpstream(simulator, git_dir, kaggle_dir)
