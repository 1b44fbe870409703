"""The lock files: whole, with a hash for every package, and without a word on where they were made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_environment import ROOT

LOCKS = sorted(ROOT.glob("requirements*.txt"))


def pins(lock: Path) -> dict[str, str]:
    """Return the lines of each package: its version, and its hashes."""
    blocks = re.findall(r"^([\w.-]+)(==[^\\]*(?:\\\n.*)*)", lock.read_text(), flags=re.MULTILINE)
    return {f"{name} {lines.splitlines()[0]}": lines for name, lines in blocks}


def asked_for(wishes: Path) -> set[str]:
    """Return the packages that a ``requirements*.in`` and the files that it includes name."""
    names: set[str] = set()
    for line in wishes.read_text().splitlines():
        if line.startswith("-r "):
            names |= asked_for(ROOT / line.removeprefix("-r "))
        else:
            names.add(re.split(r"[\[=<>]", line)[0])
    return names


def test_every_wish_has_its_lock() -> None:
    assert {lock.stem for lock in LOCKS} == {wishes.stem for wishes in ROOT.glob("requirements*.in")}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_what_is_asked_for_by_hash(lock: Path) -> None:
    pinned = pins(lock)
    assert asked_for(lock.with_suffix(".in")) <= {pin.split()[0] for pin in pinned}
    for pin, lines in pinned.items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", lines), pin


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_does_not_say_where_it_was_made(lock: Path) -> None:
    assert not re.search(r"://|--index|--extra-index|--find-links", lock.read_text())


def test_what_is_developed_with_is_what_runs() -> None:
    run, distributed, dev = (
        set(pins(ROOT / f"{name}.txt").items())
        for name in ("requirements", "requirements-distributed", "requirements-dev")
    )
    assert run < distributed < dev


def test_whoever_installs_checks_the_hashes() -> None:
    for file in ("Makefile", "Dockerfile"):
        for line in (ROOT / file).read_text().splitlines():
            if re.search(r"pip (install|sync)", line):
                assert "--require-hashes" in line, line
