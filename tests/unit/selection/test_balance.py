"""Equal classes, drawn so that few images change from one snapshot to the next."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.balance import balance, class_counts
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA, conform

Image = tuple[str, int]  # class and number

IMAGES = st.tuples(st.sampled_from(CLASSES), st.integers(0, 40))


def ledger(images: Iterable[Image], subtypes: bool = False) -> pd.DataFrame:
    rows = [
        {
            "class": kind,
            "path": f"{kind}{number}",
            "sha256": f"{kind}{number}",
            "subtype": ("viral", "bacterial", "bacterial")[number % 3] if subtypes and kind == "PNEUMONIA" else None,
        }
        for kind, number in images
    ]
    return conform(pd.DataFrame(rows, columns=["class", "path", "sha256", "subtype"]), LEDGER_SCHEMA)


def drawn(images: Iterable[Image], **settings: object) -> dict[str, set[str]]:
    """Return the paths that are drawn, by class."""
    balanced = balance(ledger(sorted(images), subtypes="subtypes" in settings), "salt", **settings)
    inside = balanced[balanced["rule"].isna()]
    return {kind: set(inside.loc[inside["class"] == kind, "path"]) for kind in CLASSES}


def some(covid: int, normal: int, pneumonia: int) -> set[Image]:
    counts = zip(CLASSES, (covid, normal, pneumonia), strict=True)
    return {(kind, number) for kind, count in counts for number in range(count)}


@pytest.mark.parametrize(
    ("counts", "limit", "size"),
    [((3, 5, 9), None, 3), ((3, 5, 9), 2, 2), ((3, 5, 9), 100, 3), ((0, 5, 9), None, 0), ((4, 4, 4), None, 4)],
)
def test_each_class_gets_the_size_of_the_smallest(counts: tuple[int, int, int], limit: int | None, size: int) -> None:
    assert {kind: len(paths) for kind, paths in drawn(some(*counts), max_per_class=limit).items()} == dict.fromkeys(
        CLASSES, size
    )


def test_who_is_left_out_is_told_why() -> None:
    balanced = balance(ledger(sorted(some(2, 3, 2))), "salt")
    out = balanced[balanced["rule"].notna()]
    assert out[["class", "rule", "evidence"]].to_numpy().tolist() == [
        ["NORMAL", "not_drawn", "2 of 3 NORMAL images were drawn"]
    ]
    assert out["reason"].notna().all()


def test_records_that_are_out_stay_out() -> None:
    rows = ledger(sorted(some(3, 3, 3)))
    rows.loc[rows["path"] == "NORMAL0", ["rule", "evidence"]] = ["too_small", "as it was"]
    balanced = balance(rows, "salt")
    assert class_counts(balanced) == dict.fromkeys(CLASSES, 2)
    assert balanced.set_index("path").loc["NORMAL0", ["rule", "evidence"]].tolist() == ["too_small", "as it was"]


def test_the_salt_draws_another_sample() -> None:
    rows = ledger(sorted(some(5, 40, 40)))
    one, other = (set(rows["path"][balance(rows, salt)["rule"].isna()]) for salt in ("salt", "pepper"))
    assert one != other
    assert len(one) == len(other) == 15


def causes(covid: int, viral: int, bacterial: int, **settings: object) -> dict[str, int]:
    numbers = [3 * number for number in range(viral)] + [3 * number + 1 for number in range(bacterial)]
    images = some(covid, 30, 0) | {("PNEUMONIA", number) for number in numbers}
    inside = drawn(images, **settings)["PNEUMONIA"]
    found = [int(path.removeprefix("PNEUMONIA")) % 3 for path in inside]
    return {"viral": found.count(0), "bacterial": found.count(1)}


@pytest.mark.parametrize("preferred", [0, 2, 3, 5])
def test_a_preferred_source_is_drawn_first_and_the_others_fill_up(preferred: int) -> None:
    table = ledger(sorted(some(3, 9, 9)))
    first = table["path"].isin([f"{kind}{number}" for kind in ("NORMAL", "PNEUMONIA") for number in range(preferred)])
    table["source"] = (first | table["class"].eq("COVID")).map({True: "covid", False: "pneumonia"})
    balanced = balance(table, "salt", prefer_upstream=True)
    inside = balanced[balanced["rule"].isna()]
    assert class_counts(balanced) == dict.fromkeys(CLASSES, 3)
    for kind in ("NORMAL", "PNEUMONIA"):
        assert inside.loc[inside["class"].eq(kind), "source"].eq("covid").sum() == min(preferred, 3)


@pytest.mark.parametrize(
    ("covid", "viral", "bacterial", "expected"),
    [
        (10, 8, 12, {"viral": 5, "bacterial": 5}),
        (10, 3, 12, {"viral": 3, "bacterial": 7}),
        (10, 0, 12, {"viral": 0, "bacterial": 10}),
        (12, 6, 6, {"viral": 6, "bacterial": 6}),
        (10, 5, 13, {"viral": 5, "bacterial": 5}),
        (10, 13, 5, {"viral": 5, "bacterial": 5}),
    ],
)
def test_subtypes_are_drawn_by_turns(covid: int, viral: int, bacterial: int, expected: dict[str, int]) -> None:
    assert causes(covid, viral, bacterial, subtypes="balanced") == expected


def test_an_odd_share_leaves_one_subtype_ahead_by_one() -> None:
    assert sorted(causes(9, 12, 12, subtypes="balanced").values()) == [4, 5]


@given(st.sets(IMAGES, max_size=30), st.none() | st.integers(1, 8), st.randoms(use_true_random=False))
def test_equal_complete_and_without_regard_to_order(images: set[Image], limit: int | None, rng: random.Random) -> None:
    rows = ledger(sorted(images))
    balanced = balance(rows, "salt", limit)
    assert list(balanced["path"]) == list(rows["path"])
    smallest = min(class_counts(rows).values())
    size = smallest if limit is None else min(smallest, limit)
    assert class_counts(balanced) == dict.fromkeys(CLASSES, size)
    order = list(rows.index)
    rng.shuffle(order)
    again = balance(rows.loc[order].reset_index(drop=True), "salt", limit)
    pd.testing.assert_frame_equal(
        again.sort_values("path", ignore_index=True), balanced.sort_values("path", ignore_index=True)
    )


def parts(images: Iterable[Image]) -> dict[str, set[str]]:
    """Return the paths of the images of each subtype, or of each class that has none."""
    found: dict[str, set[str]] = {}
    for kind, number in images:
        cause = str(number % 3 > 0) if kind == "PNEUMONIA" else ""
        found.setdefault(kind + cause, set()).add(f"{kind}{number}")
    return found


@given(
    st.booleans(),
    st.sets(IMAGES, max_size=40),
    st.sets(IMAGES, max_size=8),
    st.sets(IMAGES, max_size=8),
    st.integers(1, 12),
)
def test_a_change_upstream_replaces_no_more_than_balance_requires(
    balanced: bool, before: set[Image], added: set[Image], removed: set[Image], limit: int
) -> None:
    """The property that the docstring of ``balance`` states, for additions and removals together."""
    after = (before | added) - removed
    options = {"subtypes": "balanced"} if balanced else {}
    old, new = (set().union(*drawn(images, max_per_class=limit, **options).values()) for images in (before, after))
    for kind in CLASSES:
        units = parts(image for image in after if image[0] == kind).values()
        for unit in units if balanced else [set().union(*units)]:
            known = {path for paths in parts(before).values() for path in paths}
            survivors, share = old & unit, new & unit
            assert len(survivors - share) <= max(0, len(unit - known) - (len(share) - len(survivors)))


@given(st.booleans(), st.sets(IMAGES, max_size=40), st.sets(IMAGES, max_size=8))
def test_additions_replace_at_most_as_many_as_they_bring(balanced: bool, before: set[Image], added: set[Image]) -> None:
    options = {"subtypes": "balanced"} if balanced else {}
    old, new = drawn(before, **options), drawn(before | added, **options)
    left = sum(len(old[kind] - new[kind]) for kind in CLASSES)
    assert left <= len(added - before)
