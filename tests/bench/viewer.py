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
from support.bench import peak_mb  # noqa: E402
from support.many_images import RARE, put_many  # noqa: E402
from support.real_stores import chosen  # noqa: E402
from support.requests_made import requests_to  # noqa: E402
from support.stores import client_of, new_store  # noqa: E402

VERSION = "2026-11-23"
SIZES = {10_000: 40_000, 100_000: 400}  # bytes of a picture, by number of images: as real ones have, and few
OTHERS = 20  # versions that have the same images
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


def main() -> None:
    """Print a table for each size."""
    with tempfile.TemporaryDirectory() as folder, chosen().run(Path(folder)) as address:
        for count, size in SIZES.items():
            store = new_store(client_of(address))
            put_many(store, VERSION, count, left_out=count, picture=incompressible(size))
            for number in range(OTHERS):
                for name in store.list(f"{VERSION}/"):
                    store.copy(name, name.replace(VERSION, f"2026-10-{number + 1:02}"))
            print(f"\n{count:,} images, pictures of {size:,} bytes\n")
            print("| step | requests | MB in ranges | seconds |\n|---|---|---|---|")
            first = measure(store, "first page", lambda store=store: load_gallery(store, VERSION, ANY, 1))
            measure(store, "its 36 pictures", lambda store=store, first=first: pictures(store, first))
            measure(store, "the same again", lambda store=store, first=first: pictures(store, first))
            one = {**ANY, "class": "NORMAL", "split": "train"}
            chosen_page = measure(store, "page 5 of a choice", lambda store=store: load_gallery(store, VERSION, one, 5))
            measure(store, "its 36 pictures", lambda store=store, page=chosen_page: pictures(store, page))
            rare = {**ANY, "view": RARE}
            scattered = measure(store, "a rare view", lambda store=store: load_gallery(store, VERSION, rare, 1))
            measure(
                store,
                f"its {len(scattered.cards)} pictures",
                lambda store=store, page=scattered: pictures(store, page),
            )
            name = first.cards[0].name
            measure(store, "one image", lambda store=store, name=name: load_image(store, VERSION, name))
            wanted = {"rule": "near_duplicate_image", "source": "", "path": ""}
            measure(store, "left out, by rule", lambda store=store: load_excluded(store, VERSION, wanted, 5))
            print(f"\nKept in memory: {KEPT.size / 1e6:.0f} MB; the process at most {peak_mb():.0f} MB")


if __name__ == "__main__":
    main()
