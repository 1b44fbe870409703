"""Runs nights of the pipeline, each stage in a process of its own, against a real S3 server and the simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_snapshot.settings import INSPECT_SHARDS
from local_stack.processes import Child
from local_stack.stack import s3_server
from support.bench import KEY_VARIABLES

ROOT = Path(__file__).parents[3]


@dataclass
class Cost:
    """What one stage cost, all its tasks together; ``peak_mb`` is that of its largest task."""

    stage: str
    tasks: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    start_cpu: float = 0.0
    copy_cpu: float = 0.0
    peak_mb: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0

    def add(self, wall: float, costs: Mapping[str, Any]) -> None:
        """Add a task."""
        self.tasks += 1
        self.wall += wall
        for name in ("cpu", "start_cpu", "copy_cpu", "sent", "received"):
            setattr(self, name, getattr(self, name) + costs[name])
        self.peak_mb = max(self.peak_mb, costs["peak_mb"])
        for name, count in costs["requests"].items():
            self.requests[name] = self.requests.get(name, 0) + count


def in_a_process(environ: dict[str, str], stage: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run one task in a process of its own; return its ``result`` and ``costs``."""
    command = [sys.executable, "-m", "bench.scale.stage", stage, json.dumps(arguments)]
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass
class Night:
    """What one run of the pipeline cost, and what its stages returned."""

    name: str
    environ: dict[str, str]
    costs: dict[str, Cost] = field(default_factory=dict)
    returned: list[Any] = field(default_factory=list)

    def task(self, stage: str, **arguments: Any) -> Any:
        """Run one task and return what it returned."""
        started = time.perf_counter()
        answer = in_a_process(self.environ, stage, arguments)
        self.costs.setdefault(stage, Cost(stage)).add(time.perf_counter() - started, answer["costs"])
        self.returned.append(answer["result"])
        return answer["result"]

    def run(self, date: str) -> None:
        """Run the stages in the DAG's order."""
        plan = self.task("poll", run_id=date, created=f"{date}T03:00:00+00:00")
        if plan is None:
            return
        for source in plan["revisions"]:
            self.task("ingest", plan=plan, source=source)
        for shard in range(INSPECT_SHARDS):
            self.task("inspect", plan=plan, shard=shard)
        for stage in ("filter", "balance", "audit"):
            self.task(stage, plan=plan)
        if snapshot := self.task("publish", plan=plan):
            self.task("verify", version=snapshot["version"])


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, str]]:
    """Serve the upstream in ``folder`` and an empty store; give the environment of the stages."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT / "include"), str(ROOT / "tests")])}
    log = folder / "simulator.log"
    command = [sys.executable, "-m", "upstream_simulator", "serve", "--port", "0", str(folder)]
    with (
        s3_server(ROOT, folder / "s3", folder / "s3.log", environ | KEY_VARIABLES) as (store, _),
        Child("The simulator", command, env=environ | paths, log=log) as served,
    ):
        served.wait_until(lambda: "CXR_KAGGLE_API_URL=" in log.read_text(), seconds=60)  # the last that it prints
        urls = dict(line.split("=", 1) for line in log.read_text().splitlines() if line.startswith("CXR_"))
        others = {"CXR_BUCKET": "scale", "CXR_SCRATCH_DIR": str(folder / "scratch"), "AWS_ENDPOINT_URL_S3": store}
        files = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        environ = environ | paths | KEY_VARIABLES | urls | others | files
        make = "from cxr_snapshot.store.client import connect; connect().create_bucket(Bucket='scale')"
        subprocess.run([sys.executable, "-c", make], env=environ, check=True)
        yield environ


def inspect_with(environ: dict[str, str], plan: Any, workers: int) -> float:
    """Forget what was inspected; return the seconds that so many workers need for all shards of ``inspect``."""
    forget = "s = open_store(Settings.load()); s.delete(s.list('_work/inspections/'))"
    imports = "from cxr_snapshot.settings import Settings; from cxr_snapshot.store.client import open_store"
    command = [sys.executable, "-c", f"{imports}; {forget}"]
    subprocess.run(command, env=environ, check=True)
    night, started = Night("inspect", environ), time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda shard: night.task("inspect", plan=plan, shard=shard), range(INSPECT_SHARDS)))
    return time.perf_counter() - started
