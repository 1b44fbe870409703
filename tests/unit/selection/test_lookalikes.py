"""What is remembered of close fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_snapshot.selection import lookalikes
from cxr_snapshot.selection.lookalikes import find_lookalikes
from cxr_snapshot.store.objects import Store

ONE, NEAR, FAR = f"{0:064x}", f"{1:064x}", "f" * 64


def test_close_ones_get_the_same_number_with_and_without_memory(store: Store) -> None:
    for _ in range(2):
        found = find_lookalikes(store, [ONE, FAR, NEAR, ONE])
        assert found.keys() == {ONE, NEAR, FAR}
        assert found[ONE] == found[NEAR] != found[FAR]


def test_only_new_ones_are_compared_and_the_same_ones_are_not_written_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, int]] = []
    search = lookalikes.close_fingerprints

    def spy(fingerprints: list[str], distance: int, known: dict[str, int]) -> Any:
        asked.append(known)
        return search(fingerprints, distance, known)

    monkeypatch.setattr(lookalikes, "close_fingerprints", spy)
    find_lookalikes(store, [ONE])
    before = store.list("_work/lookalikes/")
    find_lookalikes(store, [ONE])
    assert store.list("_work/lookalikes/") == before
    assert find_lookalikes(store, [ONE, NEAR])[NEAR] == find_lookalikes(store, [ONE, NEAR])[ONE]
    assert [list(known) for known in asked] == [[], [ONE], [ONE], [ONE, NEAR]]
