"""The lock files, with a hash for every package, and when make installs from them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements*.txt"))
COMMAND = Path("include/local_stack/cxr.sh")

# Stands for Python: says which one it is, makes environments of itself, and writes down what it is asked to install.
PYTHON = """#!/bin/sh
self=$(readlink -f "$0")
for last; do :; done
case "$*" in
  *realpath*) echo "$self" ;;
  *" venv "*) rm -rf "$last" && mkdir -p "$last/bin" && ln -s "$self" "$last/bin/python" ;;
  *" pip "*) echo "$last" >>"$INSTALLED" ;;
esac
"""
FOR_RUN = ["requirements-uv.txt", "requirements.txt", "requirements-ministack.txt"]


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
    lines = [line for name in ("Makefile", "Dockerfile") for line in (ROOT / name).read_text().splitlines()]
    installing = [line for line in lines if re.search(r"pip (install|sync)", line)]
    assert len(installing) == 3
    assert all("--require-hashes" in line for line in installing)


class Checkout:
    """A folder with what make needs to install; ``home`` lies beside it and holds stand-ins for Python."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "checkout"
        self.folder.mkdir()
        for file in (ROOT / "Makefile", *LOCKS):
            (self.folder / file.name).write_bytes(file.read_bytes())
        (self.folder / COMMAND).parent.mkdir(parents=True)
        shutil.copy(ROOT / COMMAND, self.folder / COMMAND)
        for name in ("python3", "python3.13"):
            (home / name).write_text(PYTHON)
            (home / name).chmod(0o755)

    def make(self, *words: str) -> list[str]:
        """Run make; return the lock files that it installed from."""
        installed = self.home / "installed"
        installed.write_text("")
        environ = {"PATH": f"{self.home}:{os.environ['PATH']}", "INSTALLED": str(installed)}
        subprocess.run(["make", *words], cwd=self.folder, env=environ, check=True, capture_output=True)
        return installed.read_text().splitlines()

    def move(self, name: str) -> None:
        self.folder = self.folder.rename(self.home / name)

    def change(self, lock: str) -> None:
        with (self.folder / lock).open("a") as file:
            file.write("# another version\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


class TestMake:
    def test_installs_once(self, checkout: Checkout) -> None:
        assert checkout.make("run") == FOR_RUN
        assert checkout.make("run") == []
        assert checkout.make("fuzz") == ["requirements-dev.txt"]
        assert checkout.make("run") == []

    def test_installs_a_command_that_works_from_any_folder(self, checkout: Checkout, tmp_path: Path) -> None:
        checkout.move("a folder's new name")
        checkout.make("run")
        link = tmp_path / "link"
        link.symlink_to(checkout.folder / ".local/venv/bin/cxr")
        python = checkout.folder / ".local/venv/bin/python"
        python.unlink()
        python.write_text('#!/bin/sh\ncd "$PYTHONPATH" && pwd && echo "$@"\n')
        python.chmod(0o755)
        said = subprocess.run([link, "show", "a b"], check=True, capture_output=True, text=True).stdout.splitlines()
        assert said == [str(checkout.folder / "include"), "-m local_stack cxr --upstream sample show a b"]

    def test_installs_anew_in_a_folder_that_was_moved(self, checkout: Checkout) -> None:
        checkout.make("run", "fuzz")
        checkout.move("a folder's new name")
        assert checkout.make("run") == FOR_RUN
        assert checkout.make("fuzz") == ["requirements-dev.txt"]
        checkout.move("checkout")
        assert checkout.make("run", "fuzz") == [*FOR_RUN, "requirements-dev.txt"]

    def test_installs_anew_with_another_uv(self, checkout: Checkout) -> None:
        checkout.make("run")
        checkout.change("requirements-uv.txt")
        assert checkout.make("run") == FOR_RUN

    def test_installs_anew_with_another_python_and_stays_with_it(self, checkout: Checkout) -> None:
        checkout.make("run")
        assert checkout.make("run", "PYTHON=python3.13") == FOR_RUN
        assert checkout.make("run") == []
        checkout.move("moved")
        assert checkout.make("run") == FOR_RUN
        assert (checkout.folder / ".local/venv/bin/python").resolve().name == "python3.13"

    def test_installs_anew_what_changed_and_no_more(self, checkout: Checkout) -> None:
        checkout.make("run", "fuzz")
        checkout.change("requirements-ministack.txt")
        assert checkout.make("run") == ["requirements-ministack.txt"]
        checkout.change("requirements-dev.txt")
        assert checkout.make("run", "fuzz") == ["requirements-dev.txt"]
        checkout.change("requirements.txt")
        assert checkout.make("run", "fuzz") == ["requirements.txt", "requirements-dev.txt"]

    def test_installs_what_consumers_use_for_all_tests_only(self, checkout: Checkout) -> None:
        assert checkout.make("test") == [*FOR_RUN[:2], "requirements-dev.txt", FOR_RUN[2]]
        others = ["requirements-consumers.txt", "requirements-predictor.txt"]
        assert checkout.make("test-all", "--ignore-errors") == others  # PostgreSQL may lack

    def test_leaves_to_ci_the_long_tests_alone(self) -> None:
        """CI asks for the long tests after `make test`: what that ignores must be marked, or it would never run."""
        ignored = re.findall(r"--ignore (tests/[a-z]+)", (ROOT / "Makefile").read_text())
        assert {"tests/browser", "tests/consumers", "tests/predictor"} < set(ignored)
        for folder in set(ignored) - {"tests/distributed"}:  # has a target of its own
            for file in (ROOT / folder).rglob("test_*.py"):
                assert "\npytestmark = pytest.mark.long\n" in file.read_text(), file
