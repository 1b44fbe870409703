"""What giant files upstream cost in memory: a process of its own takes them in, and the kernel says how much it had."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.store.objects import Store, blob_name
from support.giants import FILES, SIZE, served, write_zip
from support.paths import ROOT

MOST = 600 * 1024  # KB
PICTURES = 5

Measure = Callable[..., tuple[int, int]]


@pytest.fixture
def measure(tmp_path: Path) -> Measure:
    """Return what runs ``support.giants`` and returns the bytes it read, and its peak of memory in KB."""

    def run(*arguments: str) -> tuple[int, int]:
        paths = os.pathsep.join(str(ROOT / name) for name in ("include", "tests"))
        command = [sys.executable, "-m", "support.giants", *arguments]
        environ = os.environ | {"PYTHONPATH": paths}
        done = subprocess.run(command, env=environ, cwd=tmp_path, check=True, capture_output=True, text=True)
        read, peak = map(int, done.stdout.split())
        print(arguments[0], peak // 1024, "MB", file=sys.stderr)
        return read, peak

    return run


@pytest.mark.parametrize("kind", ["singly", pytest.param("archive", marks=pytest.mark.long)])
def test_of_a_repository(measure: Measure, kind: str) -> None:
    with served() as address:
        read, peak = measure(kind, address)
    assert read == FILES * SIZE
    assert peak < MOST


@pytest.mark.long
def test_of_a_zip(measure: Measure, tmp_path: Path) -> None:
    write_zip(tmp_path / "giants.zip")
    read, peak = measure("zip", str(tmp_path / "giants.zip"))
    assert read == FILES * SIZE
    assert peak < MOST


@pytest.mark.long
def test_of_the_store(measure: Measure, store: Store) -> None:
    for number in range(PICTURES):
        picture = np.random.default_rng(number).integers(0, 256, (7_500, 7_500), np.uint8)
        body = io.BytesIO()
        Image.fromarray(picture).save(body, "PNG", compress_level=0)
        store.put(blob_name(hashlib.sha256(body.getvalue()).hexdigest()), body.getvalue())
    read, peak = measure("inspect", store.client.meta.endpoint_url, store.bucket, store.prefix)
    assert read == PICTURES * SIZE
    assert peak < MOST
