"""What is guaranteed names the tests that hold it."""

from __future__ import annotations

import re

from support.paths import ROOT

GUARANTEES = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")


def test_every_guarantee_names_tests_that_there_are() -> None:
    guarantees = GUARANTEES.split("\n- ")[1:]
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py")]
    there = {name for source in sources for name in re.findall(r"^def (test_\w+)\(", source, re.MULTILINE)}
    assert len(guarantees) > 10
    for guarantee in guarantees:
        named = set(re.findall(r"`(test_\w+)`", guarantee))
        assert named, f"no test: {guarantee}"
        assert named <= there, f"no such test: {named - there}"
