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
    check_patients,
    describe,
    previous_candidates,
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
    checks = check_classes(EQUAL | {"NORMAL": 0}, EQUAL, None, 0.1, accept_shrink=False, taken=taken)
    with pytest.raises(GuardError, match=r"NORMAL was left out by these rules: unexpected_path 5856 \(such as xray/a"):
        require(checks)


def test_file_that_no_source_delivered_is_found() -> None:
    assert failed([IN, OUT, ROW], PATHS - {("covid", "images/a.png")}) == ["images_lost"]


@pytest.mark.parametrize(
    ("candidates", "published", "previous", "accept", "found"),
    [
        (EQUAL, EQUAL, None, False, []),
        (EQUAL, EQUAL, EQUAL, False, []),
        (EQUAL | {"COVID": 0}, EQUAL, None, False, ["smallest_class"]),
        (EQUAL, EQUAL | {"COVID": 2}, None, False, ["classes_equal"]),
        (EQUAL | {"COVID": 90}, EQUAL, EQUAL | {"COVID": 100}, False, []),
        (EQUAL | {"COVID": 89}, EQUAL, EQUAL | {"COVID": 100}, False, ["shrink_COVID"]),
        (EQUAL | {"COVID": 89}, EQUAL, EQUAL | {"COVID": 100}, True, []),
        (EQUAL | {"COVID": 0}, EQUAL, EQUAL | {"COVID": 100}, True, ["smallest_class"]),
    ],
)
def test_class_checks(
    candidates: dict[str, int],
    published: dict[str, int],
    previous: dict[str, int] | None,
    accept: bool,
    found: list[str],
) -> None:
    checks = check_classes(candidates, published, previous, 0.10, accept_shrink=accept)
    assert [check.name for check in checks if not check.passed] == found


def test_failed_check_names_value_limit_and_remedy() -> None:
    checks = check_classes(EQUAL | {"COVID": 50}, EQUAL, EQUAL | {"COVID": 100}, 0.10, accept_shrink=False)
    with pytest.raises(GuardError, match=r"shrink_COVID is 100 to 50, limit 0\.1\. .*accept_shrink"):
        require(checks)
    require(check_classes(EQUAL, EQUAL, None, 0.10, accept_shrink=False))


def test_only_snapshots_with_the_same_settings_are_compared() -> None:
    latest = {"settings": {"views": "frontal"}, "candidates": EQUAL}
    assert previous_candidates(latest, {"views": "frontal"}) == EQUAL
    assert previous_candidates(latest, {"views": "frontal+lateral"}) is None
    assert previous_candidates(None, {"views": "frontal"}) is None


def test_records_that_were_not_drawn_count_as_candidates() -> None:
    table = ledger(IN, IN | {"rule": "not_drawn"}, IN | {"rule": "too_small"}, IN | {"class": "NORMAL"})
    assert candidate_counts(table) == {"COVID": 2, "NORMAL": 1, "PNEUMONIA": 0}


@pytest.mark.parametrize(("limit", "passed"), [(0.3, False), (0.34, True), (1.0, True)])
def test_unknown_words_are_counted_over_the_rows_of_metadata(limit: float, passed: bool) -> None:
    no_row = {"source": "pneumonia", "path": "b.jpeg", "in_upstream": True, "rule": "unexpected_path"}
    check = check_labels(ledger(IN, OUT | {"rule": "unknown_view"}, ROW, no_row), limit)
    assert (check.passed, check.value, check.required) == (passed, "1 of 3 (unknown_view 1)", False)


def test_a_person_may_overrule_guards_but_no_fault_of_the_pipeline() -> None:
    shrunken = check_classes(EQUAL, EQUAL, EQUAL | {"COVID": 100}, 0.1, accept_shrink=False)
    require(shrunken, approval=True)
    failed_checks = [check for check in shrunken if not check.passed]
    assert describe(failed_checks).startswith("- **shrink_COVID**: 100 to 3, limit 0.1.")
    assert describe([]) == ""
    with pytest.raises(GuardError, match="accept_shrink"):
        require(shrunken)
    unequal = check_classes(EQUAL, EQUAL | {"COVID": 2}, EQUAL | {"COVID": 100}, 0.1, accept_shrink=False)
    with pytest.raises(GuardError, match=r"classes_equal.*shrink_COVID"):
        require(unequal, approval=True)
