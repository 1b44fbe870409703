"""The page of an audit that could measure next to nothing."""

from __future__ import annotations

import pytest

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.audit.report import write_report
from cxr_snapshot.plan import make_plan
from cxr_snapshot.store.objects import Store
from support.ledgers import small_ledger

REVISIONS = {"covid": "1" * 40, "pneumonia": "2"}
PLAN = make_plan("one", "2026-11-23", "2026-11-23", REVISIONS, {}, licences={}, accept_shrink=False)


@pytest.mark.parametrize("missing", ["age", "sex", "url", "license", "view"])
def test_a_column_that_is_empty_is_no_fault(store: Store, missing: str) -> None:
    ledger = small_ledger(store)
    ledger[missing] = ledger[missing].where(ledger[missing].isna())
    found = write_report(store, ledger, [], plan=PLAN, splits={})
    assert found["figures"]["images"] == 6
    report, page = store.get_json(f"{PLAN['folder']}/{REPORT}"), store.get(f"{PLAN['folder']}/{PAGE}").decode()
    assert report is not None
    assert {probe["level"] for probe in report["probes"]} == {"unmeasured"}
    assert page.count("Not measured") >= 2
    assert ("No age is stated." in page) == (missing == "age")


@pytest.mark.parametrize("other", ["pneumonia", "nih"])
def test_ages_that_a_collection_keeps_to_itself_are_spoken_of_where_it_is_in(store: Store, other: str) -> None:
    plan = make_plan(
        "one", "2026-11-23", "2026-11-23", {"covid": "1" * 40, other: "2"}, {}, licences={}, accept_shrink=False
    )
    write_report(store, small_ledger(store), [], plan=plan, splits={})
    page = store.get(f"{plan['folder']}/{PAGE}").decode()
    assert "Ages as stated." in page
    assert ("its children were 1 to 5 years old" in page) == (other == "pneumonia")
