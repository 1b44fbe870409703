"""Runs every benchmark beside this file, or those that are named: ``python tests/bench/run.py dedup parse``.

``compare``, ``network`` and ``one_request`` run only when they are named: they take programs of 760 MB. Nor
does ``picture``, which measures nothing, run by itself.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
NOT_BY_ITSELF = ("run", "compare", "network", "one_request", "picture")


def main() -> None:
    """Print each benchmark's name and its table."""
    sys.path.append(sys.path.pop(0))  # last: a benchmark may have the name of the package that it measures
    names = sys.argv[1:] or sorted(file.stem for file in FOLDER.glob("*.py") if file.stem not in NOT_BY_ITSELF)
    for name in names:
        print(f"\n## {name}\n", flush=True)
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")


if __name__ == "__main__":
    main()
