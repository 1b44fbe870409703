"""Each check finds what it is for, and is quiet otherwise."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.audit.gates import (
    candidate_counts,
    check_classes,
    check_labels,
    check_ledger,
    check_losses,
    check_patients,
    require,
)
from cxr_snapshot.errors import GuardError
from cxr_snapshot.tables import LEDGER_SCHEMA, conform

EQUAL = {"COVID": 3, "NORMAL": 3, "PNEUMONIA": 3}


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    return conform(pd.DataFrame(list(rows)), LEDGER_SCHEMA)


IN = {"source": "covid", "path": "images/a.png", "metadata_line": 2, "in_upstream": True, "class": "COVID"}
OUT = {"source": "covid", "path": "images/b.png", "metadata_line": 3, "in_upstream": True, "rule": "not_xray"}
ROW = {"source": "covid", "path": "images/c.png", "metadata_line": 4, "in_upstream": False, "rule": "missing_file"}
PATHS = {("covid", "images/a.png"), ("covid", "images/b.png")}


def failed(rows: list[dict[str, Any]], paths: set[tuple[str, str]] = PATHS) -> list[str]:
    checks = check_ledger(ledger(*rows), ledger(IN, OUT, ROW), paths)
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([IN, OUT, ROW], []),
        ([IN, ROW], ["images_lost", "rows_lost"]),
        ([IN, OUT], ["rows_lost"]),
        ([IN, OUT, ROW | {"source": "nih"}], ["rows_lost"]),  # each table has a line of this number
        ([IN, OUT, ROW, IN], ["counted_twice"]),
        ([IN, OUT | {"rule": "because"}, ROW], ["unexplained"]),
    ],
)
def test_ledger_checks(rows: list[dict[str, Any]], found: list[str]) -> None:
    assert failed(rows) == found


@pytest.mark.parametrize(
    ("published", "others", "found"),
    [
        ("COVID", ["covid", "normal", "viral"], 0),
        ("NORMAL", ["normal", "normal"], 0),
        ("NORMAL", ["normal", "other", "not labelled"], 0),  # these name no class
        ("NORMAL", ["normal", "covid"], 1),
        ("NORMAL", ["normal", "bacterial"], 1),
        ("PNEUMONIA", ["viral", "covid"], 1),
        ("PNEUMONIA", ["viral", "normal"], 0),
    ],
)
def test_patient_of_two_classes_is_found_whatever_says_so(published: str, others: list[str], found: int) -> None:
    rows = [OUT | {"patient_id": "covid:1", "finding_kind": kind} for kind in others]
    first = IN | {"patient_id": "covid:1", "class": published, "finding_kind": others[0]}
    check = check_patients(ledger(first, *rows, IN | {"patient_id": None, "finding_kind": "normal"}))
    assert (check.name, check.value, check.passed, check.required) == (
        "patients_in_several_classes",
        found,
        not found,
        True,
    )


def test_remedy_for_an_empty_class_names_rule_count_and_example() -> None:
    taken = {"NORMAL": "unexpected_path 5856 (such as xray/a.jpeg)"}
    checks = check_classes(EQUAL | {"NORMAL": 0}, EQUAL, taken)
    with pytest.raises(GuardError, match=r"NORMAL was left out by these rules: unexpected_path 5856 \(such as xray/a"):
        require(checks)


def test_file_that_no_source_delivered_is_found() -> None:
    assert failed([IN, OUT, ROW], PATHS - {("covid", "images/a.png")}) == ["images_lost"]


@pytest.mark.parametrize(
    ("candidates", "published", "found"),
    [
        (EQUAL, EQUAL, []),
        (EQUAL | {"COVID": 0}, EQUAL, ["smallest_class"]),
        (EQUAL, EQUAL | {"COVID": 2}, ["classes_equal"]),
    ],
)
def test_class_checks(candidates: dict[str, int], published: dict[str, int], found: list[str]) -> None:
    assert [check.name for check in check_classes(candidates, published) if not check.passed] == found


def earlier(*counts: int) -> list[dict[str, Any]]:
    """Return snapshots of so many COVID candidates, the newest first."""
    return [
        {"version": f"night-{len(counts) - place}", "candidates": EQUAL | {"COVID": count}, "accepted": []}
        for place, count in enumerate(counts)
    ]


def losses(count: int, *before: int, limit: float = 0.1) -> list[str]:
    """Return the checks that fail where COVID has ``count`` candidates and had ``before``, the newest first."""
    checks = check_losses(EQUAL | {"COVID": count}, earlier(*before), limit)
    return [check.name for check in checks if not check.passed]


@pytest.mark.parametrize(
    ("count", "before", "found"),
    [
        (3, (), []),
        (100, (100,), []),
        (120, (100,), []),
        (90, (100,), []),
        (89, (100,), ["shrink_COVID"]),
        (0, (100,), ["shrink_COVID"]),
        (0, (0,), []),
        (5, (0,), []),
        (89, (95, 100), ["slow_loss_COVID"]),
        (60, (95, 100), ["shrink_COVID", "slow_loss_COVID"]),
        (60, (100, 100), ["shrink_COVID"]),
        (90, (95, 100), []),
    ],
)
def test_a_class_is_compared_with_the_night_before_and_with_its_best(
    count: int, before: tuple[int, ...], found: list[str]
) -> None:
    assert losses(count, *before) == found


@pytest.mark.parametrize(("limit", "count"), [(0.29, 71), (0.3, 70), (0.07, 93), (0, 100), (1, 0)])
def test_a_loss_of_exactly_the_limit_is_within_it(limit: float, count: int) -> None:
    """In floating point 0.29 x 100 is less than 29."""
    assert losses(count, 100, limit=limit) == []
    assert count == 0 or losses(count - 1, 100, limit=limit) == ["shrink_COVID"]


def test_a_loss_is_told_in_words_and_in_numbers() -> None:
    newest, best = [
        check for check in check_losses(EQUAL | {"COVID": 600}, earlier(950, 1000), 0.1) if not check.passed
    ]
    had = "COVID has 600 candidates; the {} with these settings, {}: {} lost, the limit is 10 %."
    assert newest.found == had.format("last snapshot", "night-2, had 950", "36.84 %")
    assert best.found == had.format("best of the last 30", "night-1, had 1,000", "40 %")
    assert best.measured == {"class": "COVID", "before": 1000, "after": 600, "since": "night-1", "fraction": 0.4}
    barely = check_losses(EQUAL | {"COVID": 8999}, earlier(10_000), 0.1)[0]
    assert "10.01 % lost, the limit is 10 %" in barely.found, "what is over a limit does not read like the limit"


def test_failed_check_names_value_limit_and_remedy() -> None:
    checks = check_losses(EQUAL | {"COVID": 50}, earlier(100), 0.10)
    with pytest.raises(GuardError, match=r"shrink_COVID: COVID has 50 .* had 100: 50 % lost.* 10 %\. .*accept_shrink"):
        require(checks)
    require(check_losses(EQUAL, [], 0.10))


def test_records_that_were_not_drawn_count_as_candidates() -> None:
    table = ledger(IN, IN | {"rule": "not_drawn"}, IN | {"rule": "too_small"}, IN | {"class": "NORMAL"})
    assert candidate_counts(table) == {"COVID": 2, "NORMAL": 1, "PNEUMONIA": 0}


@pytest.mark.parametrize(("limit", "passed"), [(0.3, False), (0.34, True), (1.0, True)])
def test_unknown_words_are_counted_over_the_rows_of_metadata(limit: float, passed: bool) -> None:
    no_row = {"source": "pneumonia", "path": "b.jpeg", "in_upstream": True, "rule": "unexpected_path"}
    check = check_labels(ledger(IN, OUT | {"rule": "unknown_view"}, ROW, no_row), limit)
    assert (check.passed, check.value, check.required) == (passed, "1 of 3 (unknown_view 1)", False)


def test_a_person_may_overrule_guards_but_no_fault_of_the_pipeline() -> None:
    lost = check_losses(EQUAL, earlier(100), 0.1)
    (asked,) = require(lost, approval=True)
    assert asked.name == "shrink_COVID"
    with pytest.raises(GuardError, match="accept_shrink"):
        require(lost)
    assert require(lost, accepted={"shrink_COVID"}) == []
    unequal = [*lost, *check_classes(EQUAL, EQUAL | {"COVID": 2})]
    for refused in (
        {"approval": True},
        {"accepted": {"shrink_COVID"}},
        {"approval": True, "accepted": {"shrink_COVID"}},
    ):
        with pytest.raises(GuardError, match="classes_equal"):
            require(unequal, **refused)


@pytest.mark.parametrize(
    ("then", "now", "passed"),
    [({}, {"COVID": 15}, True), ({"COVID": 10}, {"COVID": 15}, False), ({"COVID": 15}, {"COVID": 15}, False)],
)
def test_what_was_withdrawn_since_is_no_loss_and_what_was_before_is(
    then: dict[str, int], now: dict[str, int], passed: bool
) -> None:
    before = [entry | {"withdrawn": then} for entry in earlier(100)]
    (check,) = [each for each in check_losses(EQUAL | {"COVID": 85}, before, 0.1, now) if each.name == "shrink_COVID"]
    assert check.passed is passed
    assert ("without what was withdrawn since" in check.finding) is (then != now)
