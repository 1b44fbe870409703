"""The benchmark of the whole pipeline, over a small upstream."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import pytest

from bench.scale import nights, report, stage
from bench.scale.__main__ import measure
from bench.scale.upstream import small

pytestmark = pytest.mark.long


def here(environ: dict[str, str], stage_name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a task in this process, because to start 25 takes a while."""
    with mock.patch.dict(os.environ, environ, clear=True):
        return json.loads(json.dumps(stage.run(stage_name, arguments)))


@pytest.fixture(scope="module")
def size(tmp_path_factory: pytest.TempPathFactory) -> report.Size:
    """What the nights cost; polls run as all do in the benchmark, in processes of their own."""
    apart = nights.in_a_process

    def run(environ: dict[str, str], name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return (apart if name == "poll" else here)(environ, name, arguments)

    with mock.patch.object(nights, "in_a_process", run):
        return measure(tmp_path_factory.mktemp("scale"), small(60))


def test_the_first_build_takes_all_and_the_refresh_publishes_again(size: report.Size) -> None:
    first, refresh, _ = size.nights
    snapshots = [night.costs["publish"].tasks for night in (first, refresh)]
    assert snapshots == [1, 1]
    assert first.returned[-2]["counts"] == {"COVID": 20, "NORMAL": 20, "PNEUMONIA": 20}
    assert refresh.returned[-2]["previous"] == first.returned[-2]["version"]
    assert [answer["fetched"] for answer in refresh.returned[1:3]] == [2, 0]  # the new image and metadata.csv
    assert sum(answer["new"] for answer in refresh.returned[3:7]) == 1
    assert refresh.costs["publish"].requests["CopyObject"] == 60 + 3
    # Every object is read back once before it counts; the pictures came out of the earlier shards.
    assert refresh.costs["publish"].requests["GetObject"] - refresh.returned[-1]["objects"] < 60


def test_a_night_without_news_polls_and_writes_nothing(size: report.Size) -> None:
    quiet = size.nights[2]
    assert quiet.returned == [None]
    assert set(quiet.costs["poll"].requests) == {"GetObject", "ListObjectsV2"}
    assert quiet.costs["poll"].sent == 0


def test_what_was_measured_is_written_as_tables_csv_and_plot(size: report.Size, tmp_path: Path) -> None:
    larger = dataclasses.replace(size, images=120)
    found = pd.concat([report.table(size), report.table(larger)])
    report.write(found, tmp_path)
    again = pd.read_csv(tmp_path / "scale.csv")
    assert list(again) == report.COLUMNS
    assert len(again) == 2 * (8 + 8 + 1 + 3)  # stages of three nights, and the S3 server in each
    assert (tmp_path / "scale.svg").read_text().startswith("<?xml")
    assert report.markdown(again) == report.markdown(found)
    assert "| publish | 1 |" in report.markdown(found)
