"""Real images are sound, decode to Pillow's pixels, and are not when half of them is missing."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zipfile
from collections.abc import Callable, Iterator

import pytest
from PIL import Image

from cxr_snapshot.inspection.decoding import inspect_image
from support.paths import REAL_DATA

pytestmark = pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")


def covid_images() -> Iterator[bytes]:
    git = ["git", "--git-dir", str(REAL_DATA / "covid-chestxray-dataset.git")]
    listed = subprocess.run([*git, "ls-tree", "--object-only", "master:images"], check=True, capture_output=True)
    for name in listed.stdout.decode().split():
        yield subprocess.run([*git, "cat-file", "blob", name], check=True, capture_output=True).stdout


def kaggle_images() -> Iterator[bytes]:
    with zipfile.ZipFile(REAL_DATA / "chest-xray-pneumonia.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".jpeg") and "/._" not in name and name.count("/") == 3:
                yield archive.read(name)


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("images", [covid_images, kaggle_images])
def test_real_images(images: Callable[[], Iterator[bytes]], every: int) -> None:
    bodies = list(images())
    assert len(bodies) > 120
    for body in bodies[::every]:
        facts = inspect_image(body)
        assert "problem" not in facts
        image = Image.open(io.BytesIO(body))
        whole = [b"%dx%d" % image.size + image.convert(mode).tobytes() for mode in ("L", "RGB")]
        assert facts["pixel_sha256"] in [hashlib.sha256(each).hexdigest() for each in whole]
        if facts["format"] == "JPEG":
            assert inspect_image(body[: len(body) // 2] + b"\xff\xd9")["problem"] == "truncated_or_damaged"
