"""What `make test-stores` says of its runs; that it runs is seen by running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.processes import StackError
from stores.__main__ import TESTS, read, table
from support.paths import ROOT

CASES = (
    ("test_objects.TestWriting", "test_a", ""),
    ("test_objects.TestWriting", "test_b[x]", '<failure message="one&#10;two" />'),
    ("test_seals", "test_c", '<error message="no server" />'),
    ("test_seals", "test_d", '<skipped type="pytest.xfail" message="it cannot" />'),
    ("test_seals", "test_e", '<skipped type="pytest.skip" message="no data" />'),
)


def junit() -> str:
    cases = [
        f'<testcase classname="tests.unit.store.{where}" name="{name}">{end}</testcase>' for where, name, end in CASES
    ]
    return f'<testsuites><testsuite name="pytest" time="61.5">{"".join(cases)}</testsuite></testsuites>'


def test_nothing_that_did_not_pass_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(junit())
    outcome = read(tmp_path / "report.xml")
    assert outcome.failed == {
        "unit.store.test_objects.TestWriting.test_b[x]": "one",
        "unit.store.test_seals.test_c": "no server",
    }
    shown = table({"ministack": outcome}).splitlines()
    assert shown[2].startswith("| MiniStack 1.")
    assert shown[2].endswith(" | yes | 1 | 1 | 2 | 1 |")
    assert shown[3:] == [
        "MiniStack, known: unit.store.test_seals.test_d: it cannot",
        "MiniStack, failed: unit.store.test_objects.TestWriting.test_b[x]: one",
        "MiniStack, failed: unit.store.test_seals.test_c: no server",
        "MiniStack, skipped: unit.store.test_seals.test_e: no data",
        "MiniStack took 62 s",
    ]


def test_a_run_that_did_not_end_is_no_run_without_failures(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"pytest ended without writing .*report\.xml"):
        read(tmp_path / "report.xml")


@pytest.mark.parametrize("path", TESTS)
def test_what_is_run_is_there(path: str) -> None:
    assert (ROOT / path).exists()
