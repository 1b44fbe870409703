from __future__ import annotations

import pytest

from cxr_snapshot.publication.versions import is_version, version_key


@pytest.mark.parametrize("name", ["2026-11-23", "2026-11-23.1", "2026-11-23.10", "2026-11-23.999"])
def test_names_of_versions(name: str) -> None:
    assert is_version(name)


@pytest.mark.parametrize(
    "name",
    ["", "_work", "latest", "2026-11", "2026-11-23.", "2026-11-23.0", "2026-11-23.01", "2026-11-23/", "x2026-11-23"],
)
def test_other_names(name: str) -> None:
    assert not is_version(name)


def test_versions_are_sorted_by_day_and_number() -> None:
    mixed = ["2026-11-23.10", "2026-11-24", "2026-11-23.2", "2026-11-09", "2026-11-23.1", "2026-11-23"]
    assert sorted(mixed, key=version_key) == [
        *("2026-11-09", "2026-11-23", "2026-11-23.1", "2026-11-23.2", "2026-11-23.10", "2026-11-24")
    ]
