"""Runs many damaged inputs through all that reads, on all processors: ``python -m fuzz --cases 10000``."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from fuzz.runner import TARGETS, Report, Target, run

_AT_A_TIME = 100  # cases
_MOST = 8 * 1024**3  # bytes of addresses, most of which libraries reserve and never use


def main() -> int:
    """Print what became of the cases of each target; return 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *TARGETS], help="all when none is named")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case; with --cases 1 repeats one")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for target in (TARGETS[name] for name in options.targets or TARGETS):
        started, outcomes, failures = time.monotonic(), Counter[str](), list[str]()
        for report in _reports(target, options.seed, range(options.first, options.first + options.cases)):
            outcomes += report.outcomes
            failures += report.failures
        listed = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(f"{target.name}: {options.cases} cases in {time.monotonic() - started:.0f} s: {listed or 'none passed'}")
        for failure in failures[:10]:
            print(f"\n{failure}", file=sys.stderr)
        failed |= bool(failures)
        if failures:
            print(f"{target.name}: {len(failures)} cases failed", file=sys.stderr)
    return int(failed)


def _reports(target: Target, seed: int, cases: range) -> list[Report]:
    parts = [cases[start : start + _AT_A_TIME] for start in range(0, len(cases), _AT_A_TIME)]
    with ProcessPoolExecutor(max_workers=os.cpu_count(), initializer=_limit_memory) as pool:
        return list(pool.map(run, [target] * len(parts), [seed] * len(parts), parts))


def _limit_memory() -> None:
    """Let a case that wants far too much memory fail, before the machine does."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST, _MOST))


if __name__ == "__main__":
    sys.exit(main())
