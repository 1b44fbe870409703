"""How long the search for pictures that look alike takes, and how much memory, by the number of fingerprints.

Each size runs in a process of its own, so that its peak is its own. One in a hundred fingerprints is a near-duplicate
of another, planted 30 bits away.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INCLUDE = Path(__file__).parents[2] / "include"
SIZES = (1_000, 10_000, 100_000)
SCRIPT = """
import resource, sys, time
import numpy as np
from cxr_snapshot.selection.linking import close_pairs
count = int(sys.argv[1])
rng = np.random.default_rng(0)
bits = rng.integers(0, 2, (count, 256), dtype=np.uint8)
copies = count // 100
bits[-copies:] = bits[:copies]
bits[-copies:, :30] ^= 1
fingerprints = [row.tobytes().hex() for row in np.packbits(bits, axis=1)]
del bits
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.perf_counter()
found = sum(len(one) for one, _ in close_pairs(fingerprints, 64, [True] * count))
seconds = time.perf_counter() - started
assert found == copies, "not exactly the planted pairs were found"
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, before / 1024)
"""


def main() -> None:
    """Print a table of time and memory."""
    print("| fingerprints | pairs | seconds | peak memory of the process | of which before the search |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        command = [sys.executable, "-c", SCRIPT, str(size)]
        environ = os.environ | {"PYTHONPATH": str(INCLUDE)}
        done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
        seconds, peak, before = map(float, done.stdout.split())
        pairs = size * (size - 1) // 2
        print(f"| {size:,} | {pairs:,} | {seconds:.2f} | {peak:.0f} MB | {before:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
