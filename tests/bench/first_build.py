"""What the first build takes beside the physical work that nobody can save: each part done by the barest code.

All stages run in one fresh process, on an empty store, and then the parts in another one. The rounds' medians count.
The processor time is that of the client; the upstreams and the S3 server run beside it, on the same machine.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

from support.bench import (  # noqa: E402
    KEY_VARIABLES,
    KEYS,
    REPOSITORY,
    Spent,
    Stopwatch,
    Upstream,
    generated,
    in_fresh_process,
    real,
)
from support.paths import REAL_DATA, ROOT  # noqa: E402

ROUNDS, THREADS, COUNT = 3, 16, 600
READ = "read all back, in no sum"  # what it costs that stages share nothing but the store
NECESSARY = ("download", "unpacking", "hashing", "decoding", "pixel hashing", "upload", "copy")


def build(address: str, bucket: str, settings: dict[str, Any]) -> dict[str, Spent]:
    """Run all stages; return what each took."""
    clock = Stopwatch()
    with clock("import"):
        import boto3
        import kagglesdk.datasets.types.dataset_api_service  # what stages import when they first need it
        import kagglesdk.kaggle_client  # noqa: F401

        from cxr_snapshot.pipeline import Pipeline
        from cxr_snapshot.settings import INSPECT_SHARDS, Settings
        from cxr_snapshot.sources import build_sources
        from cxr_snapshot.store.client import CLIENT_CONFIG
        from cxr_snapshot.store.objects import Store
    with clock("connect"):
        store = Store(boto3.client("s3", endpoint_url=address, config=CLIENT_CONFIG, **KEYS), bucket, "bench")
        loaded = Settings.load(settings | {"bucket": bucket, "prefix": "bench"}, environ={})
        pipeline = Pipeline(loaded, store, build_sources(loaded))
    with clock("poll"):
        plan = pipeline.poll("bench", "2026-11-23T03:00:00+00:00")
    assert plan is not None
    for source in pipeline.sources:
        with clock(f"ingest {source}"):
            pipeline.ingest(plan, source)
    with clock("inspect"):
        for shard in range(INSPECT_SHARDS):
            pipeline.inspect(plan, shard)
    with clock("filter"):
        pipeline.filter(plan)
    with clock("balance"):
        pipeline.balance(plan)
    with clock("audit"):
        pipeline.audit(plan)
    with clock("publish"):
        snapshot = pipeline.publish(plan)
    assert snapshot is not None
    with clock("verify"):
        pipeline.verify(snapshot["version"])
    return clock.spent


def parts(address: str, bucket: str, settings: dict[str, Any], commit: str, folder: str) -> dict[str, Any]:
    """Do each physical part of the build that is in ``bucket`` once more, by the barest code; return what each took."""
    import base64
    import hashlib
    import io
    import tarfile
    import zipfile
    import zlib
    from concurrent.futures import ThreadPoolExecutor

    import boto3
    import pandas as pd
    import requests
    from botocore.config import Config
    from PIL import Image, ImageOps

    clock = Stopwatch()
    config = Config(max_pool_connections=THREADS, request_checksum_calculation="when_required")
    client = boto3.client("s3", endpoint_url=address, config=config, **KEYS)
    target = f"parts-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=target)

    def put(name: str, body: bytes, sha256: bytes) -> None:
        checksum = base64.b64encode(sha256).decode()
        client.put_object(Bucket=target, Key=name, Body=body, ChecksumSHA256=checksum)

    archives = Path(folder) / "images.tar.gz", Path(folder) / "images.zip"
    service = f"{settings['kaggle_api_url']}/v1/datasets.DatasetApiService/DownloadDataset"
    asked = {"ownerSlug": "paultimothymooney", "datasetSlug": "chest-xray-pneumonia"}
    with clock("download"):
        tar = requests.get(
            f"{settings['github_codeload_url']}/{REPOSITORY}/tar.gz/{commit}",
            stream=True,
            timeout=60,
        )
        save(tar, archives[0])
        save(requests.post(service, json=asked, stream=True, timeout=60), archives[1])
    with clock("unpacking"):
        with tarfile.open(archives[0], "r:gz") as archive:
            bodies = [file.read() for member in archive if (file := archive.extractfile(member))]
        with zipfile.ZipFile(archives[1]) as zipped:
            bodies += [zipped.read(name) for name in zipped.namelist() if is_original(name)]
    with clock("hashing"):
        hashes = [hashlib.sha256(body).digest() for body in bodies]
    distinct = dict(zip(hashes, bodies, strict=True))
    for body in distinct.values():
        with clock("decoding"):
            try:
                image = Image.open(io.BytesIO(body))
                image.load()
            except OSError:  # metadata.csv and other texts
                continue
        pixels = image.tobytes()
        with clock("pixel hashing"):
            hashlib.sha256(pixels).digest()
    with clock("upload"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda item: put(item[0].hex(), item[1], item[0]), distinct.items()))

    with clock(READ), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: client.get_object(Bucket=target, Key=name.hex())["Body"].read(), distinct))

    version = "bench/2026-11-23"
    manifest = pd.read_csv(client.get_object(Bucket=bucket, Key=f"{version}/manifest.csv")["Body"])
    published = {name: bytes.fromhex(name) for name in manifest["sha256"]}

    def copy(name: str) -> None:
        client.copy_object(Bucket=target, Key=f"copies/{name}", CopySource={"Bucket": target, "Key": name})

    def picture(sha256: bytes) -> None:
        image = Image.open(io.BytesIO(distinct[sha256]))
        image.draft("L", (448, 448))
        gray = image.convert("L")
        png = io.BytesIO()
        ImageOps.pad(gray, (224, 224), method=Image.Resampling.LANCZOS).save(png, "PNG", compress_type=zlib.Z_RLE)

    with clock("copy"), ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(copy, published))
    with clock("pictures"), ThreadPoolExecutor(4) as pool:  # as many as the pipeline has
        list(pool.map(picture, published.values()))
    facts = {"images": len(distinct), "published": len(published), "bytes": sum(map(len, distinct.values()))}
    return clock.spent | {"facts": facts}


def save(response: Any, file: Path) -> None:
    """Write what a request answers to a file."""
    response.raise_for_status()
    with file.open("wb") as sink:
        for piece in response.iter_content(1 << 20):
            sink.write(piece)


def is_original(name: str) -> bool:
    """Say whether a member of the zip is an image of its outer folder."""
    return name.endswith(".jpeg") and name.count("/") == 3 and "/._" not in name


def measure(upstream: Upstream, scratch: Path) -> tuple[dict[str, Spent], dict[str, Spent], dict[str, int]]:
    """Return the median of each stage and of each part, and facts about the data."""
    import boto3

    from local_stack.stack import s3_server
    from upstream_simulator.server import UpstreamSimulator

    builds, bare, facts = [], [], {}
    environ = {"PATH": os.environ["PATH"], "HOME": str(scratch)} | KEY_VARIABLES
    for number in range(ROUNDS):
        folder = scratch / str(number)
        folder.mkdir()
        with (
            UpstreamSimulator(upstream.github_dir, upstream.kaggle_dir) as simulator,
            s3_server(ROOT, folder / "s3", folder / "log", environ) as (address, _),
        ):
            client = boto3.client("s3", endpoint_url=address, **KEYS)
            client.create_bucket(Bucket="built")
            settings = simulator.settings() | {"scratch_dir": str(folder / "scratch")}
            builds.append(in_fresh_process(build, address, "built", settings))
            commit = upstream.commit(upstream.first)
            found = in_fresh_process(parts, address, "built", simulator.settings(), commit, str(folder))
            facts = found.pop("facts")
            bare.append(found)
        print(f"round {number + 1} of {ROUNDS} done", file=sys.stderr, flush=True)
    return medians(builds), medians(bare), facts


def medians(rounds: list[dict[str, Spent]]) -> dict[str, Spent]:
    """Return the median of each step, of wall and processor time separately."""
    return {
        name: Spent(*(statistics.median(values) for values in zip(*(found[name] for found in rounds), strict=True)))
        for name in rounds[0]
    }


def total(spent: dict[str, Spent], names: Any) -> Spent:
    """Add up the steps of these names."""
    chosen = [spent[name] for name in names]
    return Spent(sum(item.wall for item in chosen), sum(item.cpu for item in chosen))


def rows(spent: dict[str, Spent], sums: dict[str, Spent]) -> None:
    """Print one table."""
    for name, (wall, cpu) in (spent | sums).items():
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
    print()


def report(upstream: Upstream, scratch: Path) -> None:
    """Print stages, parts and ratios."""
    upstream.move_to(upstream.first)
    stages, bare, facts = measure(upstream, scratch)
    size = f"{facts['images']:,} distinct files, {facts['bytes'] / 1e6:.0f} MB, {facts['published']:,} published"
    print(f"{upstream.name} images: {size}\n")
    work = total(stages, [name for name in stages if name not in ("import", "connect")])
    print("| stage | seconds | CPU seconds |")
    print("|---|---|---|")
    rows(stages, {"all stages, without import and connect": work})
    sums = {
        "all parts but the pictures": total(bare, NECESSARY),
        "all parts": total(bare, [name for name in bare if name != READ]),
    }
    print("| part | seconds | CPU seconds |")
    print("|---|---|---|")
    rows(bare, sums)
    print("| stages against | seconds | CPU seconds |")
    print("|---|---|---|")
    for name, (wall, cpu) in sums.items():
        print(f"| {name} | {work.wall / wall:.2f} | {work.cpu / cpu:.2f} |")
    print(flush=True)


def main() -> None:
    """Print the tables for the real images, if they are at hand, and for generated ones."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("upstream", "real", "generated")]
        for folder in folders:
            folder.mkdir()
        if REAL_DATA.exists():
            report(real(folders[0], "step-8", "step-8"), folders[1])
        else:
            print("The real images are not at hand.\n")
        report(generated(COUNT), folders[2])


if __name__ == "__main__":
    main()
