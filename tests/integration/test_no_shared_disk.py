"""No stage needs another's disk: each runs in a process and folders of its own, which are gone before the next runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.settings import INSPECT_SHARDS, Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.objects import Store
from support.publishers import forkserver
from support.stages import EARLIER
from support.stores import client_of, store_in
from support.upstreams import ServedUpstream
from support.waiting import PATIENCE

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def run_alone(
    folder: Path, settings: dict[str, Any], endpoint: str, stage: str, arguments: list[Any], answer: Connection
) -> None:
    """Run one stage with ``folder`` as the only place for files, and send what it returns as JSON."""
    for name in ("home", "tmp", "work"):
        (folder / name).mkdir()
    os.environ |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}
    tempfile.tempdir = None  # it remembers the first one
    os.chdir(folder / "work")
    sys.dont_write_bytecode = True

    def refuse_writing_elsewhere(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], (str, bytes, os.PathLike)) and details[2] & WRITING:
            path = Path(os.fsdecode(details[0])).absolute()
            if not path.is_relative_to(folder) and not path.is_relative_to("/dev"):
                raise PermissionError(f"{stage} writes to {path}")

    sys.addaudithook(refuse_writing_elsewhere)
    loaded = Settings.load({**settings, "scratch_dir": folder / "tmp" / "scratch"}, environ={})
    store = store_in(client_of(endpoint), loaded.bucket, loaded.prefix)
    result = getattr(Pipeline(loaded, store, build_sources(loaded)), stage)(*arguments)
    answer.send_bytes(json.dumps(result).encode())


@pytest.mark.long
def test_stages_share_nothing_but_the_object_store(
    first_state: Store, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    other = first_state  # made in one process
    expected, _ = read_latest(other)
    assert expected is not None

    settings = sample.settings(tmp_path / "unused", bucket=store.bucket)

    def run(stage: str, *arguments: Any) -> Any:
        folder = tmp_path / "machine"
        folder.mkdir()
        receiver, sender = forkserver().Pipe(duplex=False)
        endpoint = store.client.meta.endpoint_url
        process = forkserver().Process(
            target=run_alone, args=(folder, settings, endpoint, stage, json.loads(json.dumps(arguments)), sender)
        )
        process.start()
        sender.close()
        process.join(PATIENCE)
        assert process.exitcode == 0, stage
        shutil.rmtree(folder)
        return json.loads(receiver.recv_bytes())

    plan = run("poll", *EARLIER)
    for source in ("covid", "pneumonia"):
        run("ingest", plan, source)
    for shard in range(INSPECT_SHARDS):
        run("inspect", plan, shard)
    for stage in ("filter", "balance", "audit"):
        run(stage, plan)
    snapshot = run("publish", plan)
    run("verify", snapshot["version"])

    assert not (tmp_path / "unused").exists()
    version = expected["version"]
    ours, theirs = store.list(f"{version}/"), other.list(f"{version}/")
    assert ours.keys() == theirs.keys()
    for name in ours:
        if not name.endswith(("SHA256SUMS", "_SUCCESS")):  # some files name the bucket, and so have another checksum
            assert store.get(name) == other.get(name).replace(other.bucket.encode(), store.bucket.encode()), name
