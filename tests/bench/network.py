"""The same as ``compare``, over a network: a store that answers after 30 ms, and upstreams that share 100 Mbit/s.

The network is a proxy in a process of its own, whose processor time counts for no way. See ``support.slow_network`` for
what it is and what it is not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

import compare  # noqa: E402

from support.bench import Upstream  # noqa: E402
from support.slow_network import slow_network  # noqa: E402

DELAY = 0.03  # seconds
RATE = 100e6 / 8  # bytes a second


@contextmanager
def network(upstream: Upstream, files: Path, folder: Path) -> Iterator[compare.Bench]:
    """Run what ``compare`` runs, and lead all ways there through proxies."""
    with compare.loopback(upstream, files, folder) as bench:
        simulator = bench.simulator
        targets = [simulator.url, simulator.files_url, bench.files_url]
        with slow_network([bench.s3_url], delay=DELAY) as store, slow_network(targets, rate=RATE) as line:
            (bench.s3_url,), (api, downloads, bench.files_url) = store, line
            near_and_far = {simulator.url: api, simulator.files_url: downloads}
            for name, address in bench.settings.items():
                (near,) = (each for each in near_and_far if address.startswith(each))
                bench.settings[name] = address.replace(near, near_and_far[near])
            simulator.kaggle.storage_url = lambda _: downloads  # to where it redirects a download
            yield bench


if __name__ == "__main__":
    print(f"Store: {DELAY * 1000:.0f} ms; upstreams: {RATE * 8 / 1e6:.0f} Mbit/s\n")
    compare.main(network)
