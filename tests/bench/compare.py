"""A first build and a refresh by this pipeline, by three other ways: same images, same machine.

The others are a script that does the same work and no more, a plain notebook, and img2dataset.

Each way is a process (or two) of its own that starts from nothing; its processor time is counted with that of its
children, and next to it what the S3 server spends for it. That server, the upstreams and the web server for img2dataset
run beside it. The ways take turns, and the medians of the rounds count. Then it is counted what each way left in the
store.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

from first_build import is_original  # noqa: E402

from local_stack.stack import s3_server  # noqa: E402
from support.bench import KEY_VARIABLES, REPOSITORY, Spent, Upstream, generated, real, server_cpu  # noqa: E402
from support.paths import REAL_DATA, ROOT  # noqa: E402
from support.stores import client_of  # noqa: E402
from upstream_simulator.server import UpstreamSimulator  # noqa: E402

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROUNDS, COUNT = 3, 2_000
STORED = {  # where each way leaves its images, below its bucket and the day
    "pipeline": "bench/{day}/images/",
    "same-work": "{day}/images/",
    "notebook": "{day}/",
    "img2dataset": "{day}/",
}
# The most that the pipeline may take of the time of each way on a first build, and on a refresh.
FIRST_AIMS = {"same-work": 1.0, "notebook": 1.5}
REFRESH_AIM = 0.5
KINDS = ("first", "refresh")
WAYS = Path(__file__).parent / "ways"
IMG2DATASET = ROOT / ".local/compare-venv/bin/img2dataset"
OPTIONS = {
    "resize_mode": "no",
    "output_format": "files",
    "disable_all_reencoding": "True",  # bytes are kept; and nothing is decoded, which makes it faster
    "processes_count": "2",
    "thread_count": "16",
    "number_sample_per_shard": "500",
}
ENVIRON = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT / "include"),
    "NO_ALBUMENTATIONS_UPDATE": "1",  # else it asks the internet
    **KEY_VARIABLES,
}


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def web(folder: Path) -> Iterator[str]:
    """Serve a folder's files; give the address."""
    with Server(("127.0.0.1", 0), functools.partial(Files, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def unpack(upstream: Upstream, folder: Path) -> dict[str, list[str]]:
    """Write all images of both states to a folder, without the zip's copies; return the names in each, and the new."""
    names = {}
    for step in (upstream.first, upstream.then):
        (folder / step).mkdir(parents=True)
        archive = upstream.git("archive", f"refs/replay/{step}", "images")
        subprocess.run(["tar", "-x", "-C", str(folder / step)], input=archive, check=True)
        names[step] = [f"{step}/images/{file.name}" for file in sorted((folder / step / "images").iterdir())]
    with zipfile.ZipFile(upstream.zip) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if is_original(name)])
    others = [str(file.relative_to(folder)) for file in sorted((folder / "chest_xray").rglob("*.jpeg"))]
    old = {Path(name).name for name in names[upstream.first]}
    new = [name for name in names[upstream.then] if Path(name).name not in old]
    return {step: images + others for step, images in names.items()} | {"new": new}


class Bench:
    """The ways to do it, in one round."""

    def __init__(
        self, upstream: Upstream, simulator: UpstreamSimulator, files_url: str, s3_url: str, folder: Path
    ) -> None:
        self.upstream, self.files_url, self.s3_url, self.folder = upstream, files_url, s3_url, folder
        self.simulator, self.settings = simulator, simulator.settings()
        self.spent: dict[str, Spent] = {}
        self.served: dict[str, float] = {}
        self.received: dict[str, int] = {}
        self._cpu = 0.0

    def run(self, *command: object) -> None:
        log = self.folder / "log.txt"
        with log.open("ab") as sink:
            output = {"stdout": sink, "stderr": sink}
            process = subprocess.Popen([*map(str, command)], env=ENVIRON, cwd=self.folder, **output)
            # Not RUSAGE_CHILDREN, which has what the upstreams' own children took, too.
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self._cpu += used.ru_utime + used.ru_stime
        if process.returncode:
            raise RuntimeError(f"{command[0]} {command[1]} failed:\n{log.read_text()[-3000:]}")

    @contextmanager
    def measuring(self, name: str) -> Iterator[None]:
        """Note the seconds by the clock and of the commands' CPU, the S3 server's, and how much the upstreams send."""
        requests, server, cpu, started = len(self.simulator.requests), server_cpu(), self._cpu, time.perf_counter()
        yield
        self.spent[name] = Spent(time.perf_counter() - started, self._cpu - cpu)
        self.served[name] = server_cpu() - server
        self.received[name] = sum(request.sent_bytes for request in self.simulator.requests[requests:])

    def pipeline(self, day: str) -> None:
        settings = self.settings | {"scratch_dir": str(self.folder / "scratch")}
        created = f"{day}T03:00:00+00:00"
        self.run(sys.executable, WAYS / "pipeline.py", self.s3_url, "pipeline", created, json.dumps(settings))

    def script(self, name: str, step: str, day: str, bucket: str) -> None:
        """Run a way that starts from both archives."""
        archive = f"{self.settings['github_codeload_url']}/{REPOSITORY}/tar.gz/{self.upstream.commit(step)}"
        kaggle = f"{self.settings['kaggle_api_url']}/v1/datasets.DatasetApiService/DownloadDataset"
        file = WAYS / f"{name.replace('-', '_')}.py"
        self.run(sys.executable, file, archive, kaggle, self.s3_url, bucket, day)

    def img2dataset(self, names: list[str], output: Path, *, mode: str = "incremental") -> None:
        urls = self.folder / "urls.txt"
        urls.write_text("".join(f"{self.files_url}/{name.replace(' ', '%20')}\n" for name in names))
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        self.run(IMG2DATASET, f"--url_list={urls}", f"--output_folder={output}", f"--incremental_mode={mode}", *options)

    def upload(self, output: Path, pattern: str, day: str) -> None:
        self.run(sys.executable, WAYS / "upload.py", output, pattern, self.s3_url, "img2dataset", day)


Network = Callable[[Upstream, Path, Path], AbstractContextManager[Bench]]


def one_round(bench: Bench, names: dict[str, list[str]]) -> None:
    """Let every way build the first state and then the second."""
    upstream = bench.upstream
    output = bench.folder / "img2dataset"
    states = (upstream.first, "2026-11-22"), (upstream.then, "2026-11-23")
    for kind, (step, day) in zip(KINDS, states, strict=True):
        upstream.move_to(step)
        with bench.measuring(f"pipeline, {kind}"):
            bench.pipeline(day)
        for script in ("same-work", "notebook"):
            with bench.measuring(f"{script}, {kind}"):
                bench.script(script, step, day, script)
        with bench.measuring(f"img2dataset, {kind}"):
            bench.img2dataset(names[step], output / day)
        with bench.measuring(f"upload, {kind}"):
            bench.upload(output / day, "*/*.jpg", day)
    with bench.measuring("img2dataset, extend"):
        bench.img2dataset(names["new"], output / "2026-11-22", mode="extend")
    shard = max(folder.name for folder in (output / "2026-11-22").iterdir() if folder.is_dir())
    with bench.measuring("upload, extend"):
        bench.upload(output / "2026-11-22", f"{shard}/*.jpg", "extended")


def stored(client: S3Client, bucket: str, prefix: str) -> int:
    """Count the objects below a prefix."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sum(page["KeyCount"] for page in pages)


@contextmanager
def loopback(upstream: Upstream, files: Path, folder: Path) -> Iterator[Bench]:
    """Run upstreams, web server and S3 server, as fast as this machine is."""
    with (
        UpstreamSimulator(upstream.github_dir, upstream.kaggle_dir) as simulator,
        web(files) as files_url,
        s3_server(ROOT, folder / "s3", folder / "s3.log", ENVIRON) as (s3_url, _),
    ):
        yield Bench(upstream, simulator, files_url, s3_url, folder)


def measure(upstream: Upstream, scratch: Path, network: Network) -> None:
    """Print the table for one upstream."""
    names = unpack(upstream, scratch / "web")
    rounds: dict[str, list[Spent]] = defaultdict(list)
    served: dict[str, list[float]] = defaultdict(list)
    delivered: dict[str, int] = {}
    for number in range(ROUNDS):
        folder = scratch / f"round-{number}"
        folder.mkdir()
        with network(upstream, scratch / "web", folder) as bench:
            client = client_of(bench.s3_url)
            for bucket in STORED:
                client.create_bucket(Bucket=bucket)
            one_round(bench, names)
            delivered = {way: stored(client, way, where.format(day="2026-11-23")) for way, where in STORED.items()}
        for name, found in bench.spent.items():
            rounds[name].append(found)
            served[name].append(bench.served[name])
        shutil.rmtree(folder)
        print(f"{upstream.name}: round {number + 1} of {ROUNDS} done", file=sys.stderr, flush=True)
    spent = {
        name: Spent(*(statistics.median(values) for values in zip(*found, strict=True)))
        for name, found in rounds.items()
    }
    server = {name: statistics.median(found) for name, found in served.items()}
    for kind in (*KINDS, "extend"):
        server[f"img2dataset and upload, {kind}"] = server[f"upload, {kind}"]
        spent[f"img2dataset and upload, {kind}"] = spent[f"img2dataset, {kind}"].plus(spent[f"upload, {kind}"])
    sizes = {step: sum((scratch / "web" / name).stat().st_size for name in listed) for step, listed in names.items()}
    received = bench.received
    for way in ("img2dataset", "img2dataset and upload"):
        received |= {f"{way}, first": sizes[upstream.first], f"{way}, refresh": sizes[upstream.then]}
        received[f"{way}, extend"] = sizes["new"]
    print(f"{upstream.name} images: {len(names[upstream.first]):,}, and {len(names['new'])} more for the refresh\n")
    print("| way | first build, s | CPU s | server's | MB fetched ", end="")
    print("| refresh, s | CPU s | server's | MB fetched | images in the store |")
    print(f"|{'---|' * 10}")

    def cells(step: str) -> list[str]:
        wall, cpu = spent[step]
        return [f"{value:.1f}" for value in (wall, cpu, server[step], received[step] / 1e6)]

    for way in ("pipeline", "same-work", "notebook", "img2dataset", "img2dataset and upload"):
        held = "not stored" if way == "img2dataset" else f"{delivered[way.split()[0]]:,}"
        both = cells(f"{way}, first") + cells(f"{way}, refresh")
        print(f"| {way} | {' | '.join(both)} | {held} |")
    extended = " | ".join(cells("img2dataset and upload, extend"))
    print(f"| the same, given a list of the new images | | | | | {extended} | {len(names['new'])} |\n")
    print("| the pipeline's seconds in those of | first build | aim | refresh | aim |")
    print("|---|---|---|---|---|")
    print(*ratios(spent), sep="\n", end="\n\n", flush=True)


def ratios(spent: Mapping[str, Spent]) -> list[str]:
    """Return a row of a table for each other way: what the pipeline takes by the clock, as a multiple of that way."""
    rows = []
    for way in ("same-work", "notebook", "img2dataset", "img2dataset and upload"):
        first, refresh = (spent[f"pipeline, {kind}"].wall / spent[f"{way}, {kind}"].wall for kind in KINDS)
        rows.append(f"| {way} | {first:.2f} | {FIRST_AIMS.get(way, '')} | {refresh:.2f} | {REFRESH_AIM} |")
    return rows


def main(network: Network = loopback) -> None:
    """Print versions, and a table for each upstream; ``network`` says over what all of it is reached."""
    pins = dict(line.split("==") for line in (ROOT / "requirements-compare.txt").read_text().split() if "==" in line)
    ours = {name: version(name) for name in ("boto3", "imagehash", "pandas", "pillow")}
    versions = {"img2dataset": pins["img2dataset"], **ours, "Python": platform.python_version()}
    print(", ".join(f"{name} {number}" for name, number in versions.items()), f"; {os.cpu_count()} cores\n", sep="")
    with tempfile.TemporaryDirectory() as scratch:
        upstreams = [generated(COUNT)]
        if REAL_DATA.exists():
            upstreams.insert(0, real(Path(scratch) / "real", "step-5", "step-7"))
        for upstream in upstreams:
            measure(upstream, Path(scratch) / f"work-{upstream.name.split()[0]}", network)


if __name__ == "__main__":
    main()
