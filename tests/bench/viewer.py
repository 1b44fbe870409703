"""What the pages of images ask of the store: requests, bytes and seconds, for snapshots of two sizes.

Each step is done as the pages do it, after those before it, by one thread; the pictures of a page one after another.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "include"), str(ROOT / "plugins"), str(ROOT / "tests")]

from cxr_snapshot.store.objects import Store  # noqa: E402
from snapshot_pages_app.gallery import KEPT, load_excluded, load_gallery  # noqa: E402
from snapshot_pages_app.one_image import load_image, load_picture  # noqa: E402
from support.bench import in_fresh_process, peak_mb  # noqa: E402
from support.many_images import RARE, put_many  # noqa: E402
from support.real_stores import chosen  # noqa: E402
from support.requests_made import requests_to  # noqa: E402
from support.stores import client_of, new_store, store_in  # noqa: E402

VERSION = "2026-11-23"
# Number of images, bytes of a picture (as real ones have; and few, for the disk's sake), other versions that are equal.
SIZES = ((10_000, 40_000, 1), (100_000, 400, 20))
ANY = {"class": "", "split": "", "source": "", "view": ""}


def incompressible(size: int) -> Callable[[str], bytes]:
    """Return what makes bytes in place of a picture."""
    return lambda sha256: hashlib.shake_128(sha256.encode()).digest(size)


def measure(store: Store, step: str, work: Callable[[], Any]) -> Any:
    """Print what a step took, and return what it returned."""
    started = time.perf_counter()
    with requests_to(store) as sent:
        result = work()
    seconds = time.perf_counter() - started
    ranges = [request.headers["Range"] for request in sent if "Range" in request.headers]
    texts = [each.decode() if isinstance(each, bytes) else each for each in ranges]
    ends = [text.removeprefix("bytes=").split("-") for text in texts]
    read = sum(int(end) - int(start) + 1 for start, end in ends) / 1e6
    print(f"| {step} | {len(sent)} | {read:.1f} | {seconds:.2f} |", flush=True)
    return result


def pictures(store: Store, shown: Any) -> None:
    """Fetch the pictures of a page."""
    for card in shown.cards:
        load_picture(store, VERSION, card.name)


def steps(address: str, bucket: str) -> None:
    """Print a row for each step, and what memory they took."""
    store = store_in(client_of(address), bucket, "covid-cxr")
    print("| step | requests | MB in ranges | seconds |\n|---|---|---|---|")
    first = measure(store, "first page", lambda: load_gallery(store, VERSION, ANY, 1))
    measure(store, "its 36 pictures", lambda: pictures(store, first))
    measure(store, "the same again", lambda: pictures(store, first))
    train = {**ANY, "class": "NORMAL", "split": "train"}
    fifth = measure(store, "page 5 of a class and split", lambda: load_gallery(store, VERSION, train, 5))
    measure(store, "its 36 pictures", lambda: pictures(store, fifth))
    rare = measure(store, "a view of one in a thousand", lambda: load_gallery(store, VERSION, {**ANY, "view": RARE}, 1))
    measure(store, f"its {len(rare.cards)} pictures", lambda: pictures(store, rare))
    measure(store, "one image", lambda: load_image(store, VERSION, first.cards[0].name))
    wanted = {"rule": "near_duplicate_image", "source": "", "path": ""}
    measure(store, "left out, by rule", lambda: load_excluded(store, VERSION, wanted, 5))
    print(f"\nKept in memory: {KEPT.size / 1e6:.0f} MB; the process at most {peak_mb():.0f} MB", flush=True)


def main() -> None:
    """Print a table for each size."""
    with tempfile.TemporaryDirectory() as folder, chosen().run(Path(folder)) as address:
        for count, size, others in SIZES:
            store = new_store(client_of(address))
            put_many(store, VERSION, count, count, incompressible(size))
            for number in range(others):
                for name in store.list(f"{VERSION}/"):
                    store.copy(name, name.replace(VERSION, f"2026-10-{number + 1:02}"))
            print(f"\n{count:,} images, pictures of {size:,} bytes, {others + 1} versions\n", flush=True)
            in_fresh_process(steps, address, store.bucket)


if __name__ == "__main__":
    main()
