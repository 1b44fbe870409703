"""What giant files upstream cost in memory: a process of its own takes them in, and the kernel says how much it had."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store, blob_name
from support.giants import FILES, SIZE, served, write_zip
from support.paths import ROOT
from support.stages import STAGE_ALONE
from support.upstreams import served_sample, write_zipped_images
from upstream_simulator.covid_sample import Commit
from upstream_simulator.sample import GIT_NAME, write_repository

pytestmark = pytest.mark.long

MOST = 600 * 1024  # KB
PICTURES = 5

Measure = Callable[..., tuple[int, int]]

PEAK = """
import re
from pathlib import Path
print(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def giant_picture(seed: int) -> bytes:
    body = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (7_500, 7_500), np.uint8)
    Image.fromarray(pixels).save(body, "PNG", compress_level=0)
    return body.getvalue()


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


@pytest.mark.parametrize("kind", ["singly", "archive"])
def test_of_a_repository(measure: Measure, kind: str) -> None:
    with served() as address:
        read, peak = measure(kind, address)
    assert read == FILES * SIZE
    assert peak < MOST


def test_of_a_zip(measure: Measure, tmp_path: Path) -> None:
    write_zip(tmp_path / "giants.zip")
    read, peak = measure("zip", str(tmp_path / "giants.zip"))
    assert read == FILES * SIZE
    assert peak < MOST


def test_of_the_store(measure: Measure, store: Store) -> None:
    for number in range(PICTURES):
        body = giant_picture(number)
        store.put(blob_name(hashlib.sha256(body).hexdigest()), body)
    read, peak = measure("inspect", store.client.meta.endpoint_url, store.bucket, store.prefix)
    assert read == PICTURES * SIZE
    assert peak < MOST


def test_of_the_stages_after_inspect(store: Store, tmp_path: Path) -> None:
    rows = "".join(f"{n},Pneumonia/Viral/COVID-19,PA,X-ray,images,g{n}.png\n" for n in range(PICTURES))
    table = f"patientid,finding,view,modality,folder,filename\n{rows}".encode()
    covid = {f"images/g{n}.png": giant_picture(n) for n in range(PICTURES)}
    kinds = {"NORMAL/IM-000{}-0001": 100, "PNEUMONIA/person{}_virus_1": 200}
    others = {
        f"chest_xray/train/{name.format(n)}.jpeg": giant_picture(first + n)
        for name, first in kinds.items()
        for n in range(1, PICTURES + 1)
    }
    (tmp_path / "giants").mkdir()
    commit = Commit("2020-03-01T00:00:00+00:00", "Giants", {"metadata.csv": table, **covid})
    write_repository(tmp_path / "giants" / GIT_NAME, [commit])
    write_zipped_images(tmp_path / "giants", others)
    with served_sample(tmp_path / "giants", tmp_path / "upstream") as upstream:
        upstream.move_to_step(1)
        whole = {"bucket": store.bucket, "prefix": store.prefix, "max_per_class": None}
        settings = json.dumps(upstream.settings(tmp_path / "scratch", **whole), default=str)
        pipeline = upstream.pipeline(store, tmp_path / "scratch", max_per_class=None)
        plan = pipeline.poll("run", "2026-11-23T03:00:00+00:00")
        assert plan is not None
        for source in pipeline.sources:
            pipeline.ingest(plan, source)
        for shard in range(INSPECT_SHARDS):
            pipeline.inspect(plan, shard)
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("include", "tests"))}
        for stage in ("filter", "balance", "audit", "publish"):
            arguments = [store.client.meta.endpoint_url, settings, json.dumps(plan), stage]
            command = [sys.executable, "-c", STAGE_ALONE + PEAK, *arguments]
            done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
            assert int(done.stdout) < MOST, stage
    snapshot = store.get_json("2026-11-23/snapshot.json")
    assert snapshot is not None
    assert set(snapshot["counts"].values()) == {PICTURES}
