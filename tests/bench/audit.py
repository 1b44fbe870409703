"""How long the audit of 3,000 images of realistic size takes, and how much memory; target: 60 s and 600 MB.

The images are generated. The first audit makes and keeps the small pictures that it looks at; a later one of the same
images reads them. CPU seconds are those of the whole process, from the start of Python on.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from cxr_snapshot.store.objects import Store, blob_name  # noqa: E402
from cxr_snapshot.store.parallel import bounded_map  # noqa: E402
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA  # noqa: E402
from local_stack.stack import s3_server  # noqa: E402
from support.bench import KEY_VARIABLES  # noqa: E402
from support.ledgers import ledger, row  # noqa: E402
from support.stores import client_of  # noqa: E402
from upstream_simulator.phantom import draw  # noqa: E402

IMAGES, FOLDER = 3000, "_work/runs/bench"
SCRIPT = """
import json, sys, time
from cxr_snapshot.audit.report import write_report
from cxr_snapshot.store.objects import Store
from support.bench import peak_mb
from support.stores import client_of
endpoint, bucket, folder = sys.argv[1:]
store = Store(client_of(endpoint), bucket, "bench")
ledger = store.get_table(f"{folder}/balanced.parquet")
wall = time.perf_counter()
plan = {"revisions": {"covid": "1", "pneumonia": "2"}, "settings": {}, "folder": folder, "synthetic": False}
write_report(store, ledger, [], plan=plan, splits={})
print(json.dumps([time.perf_counter() - wall, time.process_time(), peak_mb()]))
"""


def image(number: int) -> bytes:
    """Return a radiograph-like JPEG of 1,200 to 1,500 pixels a side."""
    rng = np.random.default_rng(number)
    height, width = (int(side) for side in rng.integers(1200, 1500, 2))
    kind = ("covid", "normal", "pneumonia")[number % 3]
    file = io.BytesIO()
    Image.fromarray(draw(kind, rng)).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def fill(store: Store) -> None:
    """Keep the images and a ledger of them."""
    with ProcessPoolExecutor() as pool:
        bodies = list(pool.map(image, range(IMAGES), chunksize=50))
    rows = [row(number, CLASSES[number % 3], body) for number, body in enumerate(bodies)]
    for _ in bounded_map(lambda each: store.put(blob_name(each[0]["sha256"]), each[1]), zip(rows, bodies, strict=True)):
        pass
    store.put_table(f"{FOLDER}/balanced.parquet", ledger(*rows), LEDGER_SCHEMA)
    print(f"{IMAGES:,} images of {sum(map(len, bodies)) / IMAGES / 1000:.0f} kB, {os.cpu_count()} cores\n")


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"PATH": os.environ["PATH"], "HOME": folder} | KEY_VARIABLES
        with s3_server(ROOT, Path(folder) / "data", Path(folder) / "log", environ) as (url, _):
            client = client_of(url)
            client.create_bucket(Bucket="bench")
            fill(Store(client, "bench", "bench"))
            print("| audit | seconds | CPU seconds | peak memory |")
            print("|---|---|---|---|")
            for name in ("first", "again"):
                paths = os.pathsep.join([str(ROOT / "include"), str(ROOT / "tests")])
                command = [sys.executable, "-c", SCRIPT, url, "bench", FOLDER]
                done = subprocess.run(
                    command, env=os.environ | {"PYTHONPATH": paths}, check=True, capture_output=True, text=True
                )
                wall, cpu, peak = json.loads(done.stdout)
                print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
