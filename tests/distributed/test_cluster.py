"""The DAG on Celery workers that share nothing, one of which dies at work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from cxr_snapshot.store.objects import Store
from local_stack import airflow_home
from support.cluster import DAG_ID, Cluster, kill
from support.paths import ROOT
from support.s3_proxy import S3Proxy, S3Request
from support.servers import postgres, redis
from support.stores import new_store
from support.upstreams import ServedUpstream
from support.waiting import PATIENCE, eventually


class Gate:
    """Holds every request to the store, from the third image on that is fetched for inspection, until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        self._fetched = 0

    def __call__(self, request: S3Request) -> None:
        if request.method == "GET" and "/_work/blobs/" in request.key:
            self._fetched += 1
            if self._fetched == 3:
                self.reached.set()
                self.opened.wait(PATIENCE)


def environment(sample: ServedUpstream, store: Store, address: str) -> dict[str, str]:
    """Return what tasks need: the upstream and the store."""
    settings = sample.simulator.settings() | {"bucket": store.bucket, "prefix": store.prefix}
    return {f"CXR_{name.upper()}": value for name, value in settings.items()} | {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def run_in_one_process(folder: Path, variables: dict[str, str]) -> None:
    """Run the DAG without workers, in one process on SQLite."""
    home = folder / "airflow"
    home.mkdir(parents=True)
    keys = airflow_home.load_secrets(folder / "secrets.json")
    airflow = airflow_home.variables(ROOT, home, keys, port=1)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT / "include")}
    command = [sys.executable, "-m", "local_stack.dag_run", DAG_ID, str(folder / "log")]
    subprocess.run(command, env=environ | airflow | variables, check=True, timeout=PATIENCE)


def test_a_worker_that_dies_in_inspect_changes_no_byte(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    calm = new_store(store.client)
    address = store.client.meta.endpoint_url
    run_in_one_process(tmp_path / "calm", environment(sample, calm, address))

    gate = Gate()
    with (
        S3Proxy(address, gate) as proxy,
        postgres(tmp_path / "postgres.log") as database,
        redis(tmp_path, tmp_path / "redis.log") as broker,
        Cluster(tmp_path / "cluster", database, broker, environment(sample, store, proxy.url)) as cluster,
    ):
        run_id = cluster.unpause()
        eventually(gate.reached.is_set, "the third image that is fetched for inspection")

        def inspecting() -> list[int]:
            tasks = cluster.tasks_of(run_id)
            return [t["map_index"] for t in tasks if t["task_id"] == "inspect" and t["state"] == "running"]

        # Each worker runs one task at a time: when two run, each worker has one of them.
        eventually(lambda: len(inspecting()) == 2, "inspection by both workers")
        assert kill(cluster.workers[0]) >= 2, "the worker and its task"
        gate.opened.set()
        eventually(lambda: cluster.run_state(run_id) in ("success", "failed"), "the end of the run")
        tasks = cluster.tasks_of(run_id)

    unsuccessful = {task["task_id"]: task["state"] for task in tasks if task["state"] != "success"}
    assert unsuccessful == {"approve": "skipped"}, "nothing needs a person's word"
    tries = sorted(task["try_number"] for task in tasks if task["task_id"] == "inspect")
    assert tries[-1] == 2 and tries[:-1] == [1] * (len(tries) - 1), "only the dead worker's task was tried again"

    ours, theirs = store.get_json("latest.json"), calm.get_json("latest.json")
    assert ours is not None and theirs is not None
    for name in ("manifest.csv", "manifest.parquet", "excluded.csv"):
        assert store.get(f"{ours['version']}/{name}") == calm.get(f"{theirs['version']}/{name}"), name
    homes = [tmp_path / "cluster" / worker for worker in ("worker-1", "worker-2")]
    kept = {path.name for home in homes for path in home.rglob("*") if path.is_file() and path.suffix != ".log"}
    kept = {name for name in kept if not name.startswith("fontlist-")}  # matplotlib's cache; its loss costs a second
    assert kept == {"airflow.cfg"}, "tasks write to object storage only"
