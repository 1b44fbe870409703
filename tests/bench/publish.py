"""How fast files get into the store and into a snapshot, against bare boto3 and the AWS command line.

2,000 files of 200 KB of random bytes. Each way starts with an empty bucket of one S3 server, on one machine; the ways
take turns, and the fastest of the rounds counts, since other work on the machine can only slow a way down. The CPU time
is that of the client alone. Then 1 % new files come, and the bytes that the refresh uploads are counted.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests")]

import boto3  # noqa: E402
import pandas as pd  # noqa: E402

from cxr_snapshot.ingestion.ingest import ingest, load_inventory  # noqa: E402
from cxr_snapshot.inspection.forms import SMALL  # noqa: E402
from cxr_snapshot.publication import protocol  # noqa: E402
from cxr_snapshot.publication.parts import Copy, Draft  # noqa: E402
from cxr_snapshot.settings import Settings  # noqa: E402
from cxr_snapshot.sources.base import Listing, Revision, UpstreamFile  # noqa: E402
from cxr_snapshot.store.client import CLIENT_CONFIG  # noqa: E402
from cxr_snapshot.store.encoding import csv_bytes, parquet_bytes  # noqa: E402
from cxr_snapshot.store.objects import Store, blob_name  # noqa: E402
from cxr_snapshot.store.parallel import THREADS  # noqa: E402
from cxr_snapshot.tables import CLASSES, MANIFEST_SCHEMA, conform  # noqa: E402
from local_stack.stack import s3_server  # noqa: E402
from support.bench import KEY_VARIABLES  # noqa: E402
from support.ledgers import AUDIT  # noqa: E402

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES, SIZE, ROUNDS = 2_000, 200_000, 3
AWS = ROOT / ".local/consumers-venv/bin/aws"


class LocalFiles:
    """A source whose files lie in a folder."""

    name = "local"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        files = sorted(self.folder.iterdir())
        return Listing(len(files), self._each(files, known))

    def _each(self, files: list[Path], known: Container[str]) -> Iterator[UpstreamFile]:
        for file in files:
            body = None if file.name in known else file.read_bytes()
            yield UpstreamFile(file.name, SIZE, file.name, body)


def make_files(folder: Path, first: int, count: int) -> None:
    """Write ``count`` files of random bytes, the same at each call."""
    folder.mkdir(exist_ok=True)
    for number in range(first, first + count):
        (folder / f"{number:05d}.bin").write_bytes(random.Random(number).randbytes(SIZE))


def new_bucket(client: S3Client) -> str:
    bucket = f"bench-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return bucket


def bare_boto3(client: S3Client, folder: Path) -> None:
    """Put every file with its SHA-256, in as many threads as the pipeline has."""
    bucket = new_bucket(client)

    def put(file: Path) -> None:
        body = file.read_bytes()
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        client.put_object(Bucket=bucket, Key=file.name, Body=body, ChecksumSHA256=checksum)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(put, sorted(folder.iterdir())))


def aws_sync(client: S3Client, folder: Path) -> None:
    """Let the AWS command line copy the folder."""
    target = f"s3://{new_bucket(client)}/"
    environ = {"PATH": os.environ["PATH"], "AWS_ENDPOINT_URL_S3": client.meta.endpoint_url, **KEY_VARIABLES}
    subprocess.run([str(AWS), "s3", "sync", "--only-show-errors", str(folder), target], env=environ, check=True)


def ingested(store: Store, folder: Path, revision: str) -> None:
    """Bring the folder into the store, as the stage ``ingest`` does."""
    source: Any = LocalFiles(folder)
    ingest(store, source, Revision("local", revision))


def published(store: Store, revision: str, date: str, previous: str | None) -> None:
    """Publish every file of a revision."""
    inventory = load_inventory(store, Revision("local", revision))
    assert inventory is not None
    names = "images/COVID/" + inventory["path"]
    rows = pd.DataFrame({"file": names, "sha256": inventory["sha256"], "bytes": inventory["bytes"], "format": "PNG"})
    manifest = conform(rows.assign(**{"class": "COVID"}, source_sha256=rows["sha256"]), MANIFEST_SCHEMA)
    copies = tuple(
        Copy(blob_name(sha256), name, sha256, int(size))
        for sha256, name, size in zip(inventory["sha256"], names, inventory["bytes"], strict=True)
    )
    tables = {"manifest.csv": csv_bytes(manifest), "manifest.parquet": parquet_bytes(manifest, MANIFEST_SCHEMA)}
    zero = dict.fromkeys(CLASSES, 0)
    facts: dict[str, Any] = {
        **{"schema_version": 2, "content_digest": revision, "manifest_sha256": revision, "fingerprint": revision},
        **{"revisions": {"covid": revision, "pneumonia": "2"}, "code_version": "bench", "pictures": SMALL.description},
        **{"counts": zero, "candidates": zero, "excluded": {}, "settings": Settings(bucket="bench").selection()},
        "audit": AUDIT,
        "overrides": [],
        "splits": {"train": zero},
    }
    draft = Draft(manifest, copies, tables, facts, "None.\n", {name: [] for name in CLASSES})
    protocol.publish(store, draft, date, f"{date}T03:00:00+00:00", previous)


class Spent(NamedTuple):
    """Seconds by the clock, and of CPU time of this process and its children."""

    wall: float
    cpu: float

    @staticmethod
    def on(work: Callable[[], object]) -> Spent:
        wall, cpu = time.perf_counter(), sum(os.times()[:4])
        work()
        return Spent(time.perf_counter() - wall, sum(os.times()[:4]) - cpu)

    def plus(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


class Counted:
    """Counts the bytes of the bodies that a client sends."""

    def __init__(self, client: S3Client) -> None:
        self.bytes = 0
        client.meta.events.register("before-send.s3.PutObject", self._count)

    def _count(self, request: Any, **_: object) -> None:
        self.bytes += int(request.headers["Content-Length"])


def measure(client: S3Client, folder: Path) -> None:
    """Print the tables."""
    make_files(folder, 0, FILES)
    spent: dict[str, list[Spent]] = {}
    for number in range(ROUNDS):
        store = Store(client, new_bucket(client), "bench")
        ways: dict[str, Callable[[], object]] = {
            "bare boto3, put_object": lambda: bare_boto3(client, folder),
            "ingest": lambda: ingested(store, folder, "a" * 40),  # noqa: B023 - called in this turn
            "publish": lambda: published(store, "a" * 40, "2026-11-22", None),  # noqa: B023
        }
        if AWS.exists():
            ways["aws s3 sync"] = lambda: aws_sync(client, folder)
        for name, work in ways.items():
            spent.setdefault(name, []).append(Spent.on(work))
        print(f"round {number + 1} of {ROUNDS} done", file=sys.stderr, flush=True)
    pairs = zip(spent["ingest"], spent["publish"], strict=True)
    spent["ingest and publish"] = [ingest_.plus(publish_) for ingest_, publish_ in pairs]
    best = {name: min(rounds) for name, rounds in spent.items()}
    bare = best["bare boto3, put_object"].wall
    print(f"{FILES:,} files of {SIZE // 1000} KB, {THREADS} threads, {os.cpu_count()} cores, best of {ROUNDS} rounds\n")
    print("| way | seconds | CPU seconds | files/s | speed against bare boto3 |")
    print("|---|---|---|---|---|")
    for name, (wall, cpu) in best.items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {FILES / wall:,.0f} | {bare / wall:.2f} |")

    make_files(folder, FILES, FILES // 100)
    sent = Counted(client)
    refresh = Spent.on(lambda: ingested(store, folder, "b" * 40))
    refresh = refresh.plus(Spent.on(lambda: published(store, "b" * 40, "2026-11-23", "2026-11-22")))
    share = sent.bytes / (FILES * SIZE)
    print(f"\n1 % new files: {refresh.wall:.2f} s, {sent.bytes:,} bytes uploaded, {share:.2%} of the first upload")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environ = {"PATH": os.environ["PATH"], "HOME": folder} | KEY_VARIABLES
        with s3_server(ROOT, Path(folder) / "data", Path(folder) / "log", environ) as (url, _):
            client = boto3.client(
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test-secret",
                config=CLIENT_CONFIG,
            )
            measure(client, Path(folder) / "files")


if __name__ == "__main__":
    main()
