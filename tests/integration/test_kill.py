"""SIGKILL in any stage: the next run ends with the same bytes as an undisturbed one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.objects import Store
from support.publishers import forkserver
from support.stages import EARLIER, run_stages
from support.stores import client_of, store_in
from support.upstreams import ServedUpstream
from support.waiting import PATIENCE

# Where each try dies: in which stage, and before which of that stage's requests for names that hold the given text. One
# try goes on where the other left off, so that each stage also meets what a killed one left behind.
DEATHS = [
    *(("poll", 1, ""), ("ingest", 1, ""), ("ingest", 3, ""), ("ingest", 12, "blobs"), ("ingest", 12, "blobs")),
    *(("ingest", 1, "known.parquet"), ("ingest", 1, "covid/"), ("ingest", 5, "blobs"), ("ingest", 1, "pneumonia/")),
    *(("inspect", 2, ""), ("inspect", 30, "blobs"), ("inspect", 1, "7.parquet"), ("filter", 1, ""), ("filter", 9, "")),
    *(("filter", 1, "filtered"), ("balance", 1, ""), ("balance", 1, "balanced"), ("audit", 3, "")),
    *(("audit", 2, "/pictures/"), ("publish", 1, ""), ("publish", 1, "claims"), ("publish", 1, "images")),
    *(("publish", 5, "images"), ("publish", 5, "images"), ("publish", 1, "manifest.csv")),
    *(("publish", 1, "snapshot.json"), ("publish", 1, "SHA256SUMS"), ("publish", 1, "/_SUCCESS")),
    *(("verify", 1, ""), ("verify", 2, "latest.json")),
]
# In the stages that write more than a table or two.
FEW_DEATHS = [("ingest", 5, "blobs"), ("inspect", 30, "blobs"), ("publish", 5, "images"), ("verify", 2, "latest.json")]


class Mortal(Pipeline):
    """Knows which stage it is in."""

    stage = ""

    def __getattribute__(self, name: str) -> Any:
        if name in ("poll", "ingest", "inspect", "filter", "balance", "audit", "publish", "verify"):
            self.stage = name
        return super().__getattribute__(name)


def run_and_die(settings: dict[str, Any], endpoint: str, death: tuple[str, int, str], run_id: str) -> None:
    """Run the stages in this process and kill it as ``death`` says."""
    client = client_of(endpoint)
    loaded = Settings.load(settings, environ={})
    pipeline = Mortal(loaded, store_in(client, loaded.bucket, loaded.prefix), build_sources(loaded))
    stage, number, text = death
    seen = []

    def count(request: Any, **_: object) -> None:
        if pipeline.stage == stage and text in urlsplit(request.url).path:
            seen.append(request.url)
            if len(seen) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    client.meta.events.register("before-send.s3", count)
    run_stages(pipeline, run_id, EARLIER[1])


@pytest.mark.parametrize(
    "deaths",
    [pytest.param(FEW_DEATHS, id="few"), pytest.param(DEATHS, id="all", marks=pytest.mark.long)],
)
def test_killed_runs_end_with_the_bytes_of_an_undisturbed_one(
    first_state: Store, sample: ServedUpstream, store: Store, tmp_path: Path, deaths: list[tuple[str, int, str]]
) -> None:
    calm_store = first_state
    calm, _ = read_latest(calm_store)
    assert calm is not None

    settings = sample.settings(tmp_path / "scratch", bucket=store.bucket)
    for number, death in enumerate(deaths):
        # Airflow retries a task in the same run; a person triggers a new one.
        run_id = "same-run" if number % 2 else f"run-{number}"
        arguments = (settings, store.client.meta.endpoint_url, death, run_id)
        process = forkserver().Process(target=run_and_die, args=arguments)
        process.start()
        process.join(PATIENCE)
        assert process.exitcode == -signal.SIGKILL, f"the try was to die in {death}"
        if (latest := store.get_json("latest.json")) is not None:
            assert f"{latest['version']}/_SUCCESS" in store.list(latest["version"])
    run_stages(sample.pipeline(store, tmp_path / "scratch"), "last", EARLIER[1])

    version = calm["version"]
    ours, theirs = store.list(f"{version}/"), calm_store.list(f"{version}/")
    assert ours.keys() == theirs.keys()
    for name in ours:
        # The first three name the bucket.
        if not name.endswith(("snapshot.json", "README.md", "croissant.json", "SHA256SUMS", "_SUCCESS")):
            assert store.get(name) == calm_store.get(name), name
    assert store.get_json("latest.json")["manifest_sha256"] == calm["manifest_sha256"]
    assert {name.split("/")[0] for name in store.list("2026")} == {version}, "one snapshot, no remains of others"
