"""Runs the tests that ask most of a store against servers of several makers, and prints a table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from local_stack.processes import StackError
from support.paths import ROOT
from support.real_stores import STORES

# Requests of each kind, the protocol, publications that are killed, that race, and whose files are damaged.
TESTS = (
    *("tests/unit/store/test_conditional.py", "tests/unit/store/test_objects.py", "tests/unit/store/test_seals.py"),
    *("tests/unit/publication/test_protocol.py", "tests/unit/publication/test_versions.py"),
    *("tests/unit/publication/test_archive.py", "tests/unit/catalog", "tests/integration/test_crash.py"),
    *("tests/integration/test_kill.py", "tests/integration/test_race.py", "tests/integration/test_damage.py"),
    "tests/integration/test_repair.py",
)
EPILOG = "What else is given is passed on to pytest. Long tests are left out but with: -m ''"
REPORTS = ROOT / ".local/test-stores"


@dataclass
class Outcome:
    """How the tests of one store ended: seconds, how many passed, and the others by name, with words."""

    seconds: float = 0.0
    passed: int = 0
    known: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run(name: str, arguments: list[str]) -> Outcome:
    """Run the tests against a store and read pytest's report."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", f"--junitxml={report}", "-m", "not long", *TESTS, *arguments]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "TEST_STORE": name}, check=False)
    return read(report)


def read(report: Path) -> Outcome:
    """Return what a report in JUnit's form says.

    Raises:
        StackError: there is none: pytest did not come to its end.
    """
    if not report.exists():
        raise StackError(f"pytest ended without writing {report}; see what it printed")
    outcome = Outcome()
    root = ElementTree.parse(report).getroot()
    outcome.seconds = sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))
    for case in root.iter("testcase"):
        test = f"{case.get('classname', '')}.{case.get('name')}".removeprefix("tests.")
        ended = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        words = "" if ended is None else (ended.get("message") or "").splitlines()[0]
        if ended is None:
            outcome.passed += 1
        elif ended.tag == "skipped":
            (outcome.known if ended.get("type") == "pytest.xfail" else outcome.skipped)[test] = words
        else:
            outcome.failed[test] = words
    return outcome


def table(outcomes: dict[str, Outcome]) -> str:
    """Return what docs/storage.md shows."""
    lines = [
        "| store | conditional writes | passed | failed as known | failed | skipped |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in outcomes.items():
        store = STORES[name]
        setting = "yes" if store.conditional_writes else "no; set to `unavailable`"
        counts = (found.passed, len(found.known), len(found.failed), len(found.skipped))
        lines.append(f"| {' | '.join([f'{store.title} {store.measured_version}', setting, *map(str, counts)])} |")
    for name, found in outcomes.items():
        for what in ("known", "failed", "skipped"):
            lines += [f"{STORES[name].title}, {what}: {test}: {why}" for test, why in getattr(found, what).items()]
    lines += [f"{STORES[name].title} took {found.seconds:.0f} s" for name, found in outcomes.items()]
    return "\n".join(lines)


def main() -> int:
    """Run all stores or those asked for; end with 1 where a test failed that is not known to."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--store", action="append", choices=STORES, help="only this one; may be given again")
    options, arguments = parser.parse_known_args()
    REPORTS.mkdir(parents=True, exist_ok=True)
    try:
        names = options.store or list(STORES)
        for name in names:
            print(f"{STORES[name].title} {STORES[name].measured_version} is installed")
        outcomes = {name: run(name, arguments) for name in names}
        print(f"\n{table(outcomes)}")
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return int(any(found.failed or not found.passed for found in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
