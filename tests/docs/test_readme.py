"""Every block of README is run as it stands, or is listed here with the reason and what covers it."""

from __future__ import annotations

import re

from support.paths import ROOT
from support.snippets import blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")

# How the blocks begin that no test runs as they stand: why, and the tests of what they say. The Python block is run by
# tests/consumers/test_snippets.py.
NOT_RUN = {
    "make run": ("it installs first; test_snippets.py does the rest in a copy", "tests/stack/test_locks.py"),
    "Published snapshot": ("an output", "tests/stack/test_local_stack.py"),
    "latest.json": ("a list of files", "tests/docs/test_schema.py"),
    "export CXR_BUCKET=": ("another store and real upstreams", "tests/stack/test_real_stores.py"),
    "make predictor": ("an environment and minutes of its own", "tests/predictor/test_predictor.py"),
    "flowchart": ("a picture", "tests/dags/test_covid_cxr_snapshot.py"),
}


def test_each_block_is_python_or_is_listed_with_a_reason_and_a_test() -> None:
    others = [block for block in blocks(README) if block.language != "python"]
    listed = [[start for start in NOT_RUN if block.first.startswith(start)] for block in others]
    unlisted = [block.first for block, starts in zip(others, listed, strict=True) if len(starts) != 1]
    assert unlisted == [], "Run it in tests/consumers/test_snippets.py, or say above why not."
    assert {start for starts in listed for start in starts} == set(NOT_RUN)
    assert all(reason and (ROOT / test).is_file() for reason, test in NOT_RUN.values())


def test_each_make_command_is_one_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^|`| {4})make ([a-z-]+)", README, re.MULTILINE)
    assert len(named) > 10
    assert set(named) <= targets
