from __future__ import annotations

import pytest

from cxr_snapshot.plan import RUNS, run_folder


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x:1", "x+1"),
        ("x:1", "x_1"),
        ("a/b", "a//b"),
        ("manual__2026-11-23T03:00:00+00:00", "manual__2026-11-23T03:00:00-00:00"),
        ("r" * 300, "r" * 301),
        ("\u00e9", "e\u0301"),
        ("x:1", run_folder("x:1").removeprefix(RUNS)),  # the id that reads as another one's folder
    ],
)
def test_each_run_has_a_folder_of_its_own(one: str, other: str) -> None:
    assert run_folder(one) == run_folder(one)
    assert run_folder(one) != run_folder(other)
    for name in (run_folder(one), run_folder(other)):
        assert name.startswith(RUNS)
        assert name.count("/") == 2
        assert len(name) < 120
