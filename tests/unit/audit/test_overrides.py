"""Who accepted what, in words and in numbers; and what happens where nobody did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.audit.gates import Check, check_losses
from cxr_snapshot.audit.overrides import by_setting, sentence, settle, tally
from cxr_snapshot.audit.report import write_report
from cxr_snapshot.errors import GuardError
from cxr_snapshot.plan import Plan, make_plan, run_folder
from cxr_snapshot.store.objects import Store
from support.ledgers import small_ledger

WHEN = "2026-11-23T03:00:00+00:00"
ANSWER = {"user": "reviewer", "time": "2026-11-23T04:05:06+00:00"}
FOLDER = run_folder("nightly")
EARLIER = [{"version": "2026-11-22", "candidates": {"COVID": 100}, "accepted": []}]
LOST, *_ = check_losses({"COVID": 60}, EARLIER, 0.1)
WORDS = Check("unknown_labels", "Words are known.", "9 of 20", 0.1, False, "Look.", required=False)
FAULT = Check("images_lost", "Nothing is lost.", 3, 0, False, "Report it.")
FINDING = (
    "COVID has 60 candidates; the last snapshot with these settings, 2026-11-22, had 100: 40 % lost, the limit is 10 %."
)


def plan(**more: Any) -> Plan:
    revisions = {"covid": "1" * 40, "pneumonia": "2"}
    return make_plan("nightly", WHEN, "2026-11-23", revisions, {}, **{"accept_shrink": False, "licences": {}} | more)


def audited(store: Store, checks: list[Check], run: Plan) -> None:
    overrides = by_setting([check.as_dict() for check in checks if not check.passed], run)
    write_report(store, small_ledger(store), checks, plan=run, splits={}, overrides=overrides)


def test_the_setting_accepts_lost_candidates_and_nothing_else() -> None:
    failed = [check.as_dict() for check in (LOST, WORDS, FAULT)]
    assert by_setting(failed, plan()) == []
    (found,) = by_setting(failed, plan(accept_shrink=True, triggered_by="alice"))
    assert found == {
        "check": "shrink_COVID",
        "finding": FINDING,
        "measured": {"class": "COVID", "before": 100, "after": 60, "since": "2026-11-22", "fraction": 0.4},
        "limit": 0.1,
        "over": 0.3,
        "how": "accept_shrink",
        "run": "nightly",
        "user": "alice",
        "time": WHEN,
    }
    said = "Accepted by the setting accept_shrink of run nightly"
    assert sentence(found) == f"{FINDING} {said}, which alice triggered at {WHEN}."
    assert sentence(found | {"user": None}) == f"{FINDING} {said} at {WHEN}."


def test_the_tally_counts_nothing_accepted_as_passed() -> None:
    by_person = {"how": "approval", "user": "reviewer"}
    assert tally(14, 14, []) == "14 of 14 checks passed"
    assert tally(14, 13, [by_person]) == "13 of 14 checks passed, 1 failed and was accepted by reviewer"
    nobody = {"how": "approval", "user": None}
    assert tally(14, 12, [by_person, by_person]) == "12 of 14 checks passed, 2 failed and were accepted by reviewer"
    assert tally(14, 12, [by_person, nobody]).endswith("accepted by a person whose name is not known and reviewer")


def test_without_failed_checks_the_audit_is_published_as_it_is(store: Store) -> None:
    passed, *_ = check_losses({"COVID": 100}, EARLIER, 0.1)
    audited(store, [passed], plan())
    files = {name: store.get(f"{FOLDER}/{name}") for name in (REPORT, PAGE)}
    assert settle(store, plan(), None) == files
    assert json.loads(files[REPORT])["overrides"] == []


def test_nothing_is_published_that_nobody_accepted(store: Store) -> None:
    audited(store, [LOST], plan())
    asked = store.get(f"{FOLDER}/{PAGE}").decode()
    assert "0 of 1 checks passed; shrink_COVID failed, and a person is asked." in asked
    with pytest.raises(GuardError, match=r"shrink_COVID failed, and there is no record .* Clear the task audit"):
        settle(store, plan(), None)
    audited(store, [LOST, FAULT], plan())
    with pytest.raises(GuardError, match="shrink_COVID, images_lost failed"):
        settle(store, plan(), ANSWER)
    audited(store, [LOST, WORDS], plan(accept_shrink=True))
    with pytest.raises(GuardError, match="Nothing is published: unknown_labels failed"):
        settle(store, plan(accept_shrink=True), None)


def test_page_and_numbers_say_who_accepted_what(store: Store) -> None:
    run = plan(accept_shrink=True)
    audited(store, [LOST, WORDS], run)
    files = settle(store, run, ANSWER)
    assert settle(store, run, ANSWER) == files, "the same decision gives the same bytes"
    report, page = json.loads(files[REPORT]), files[PAGE].decode()
    assert [check["passed"] for check in report["checks"]] == [False, False]
    setting = "the setting accept_shrink of run nightly"
    assert [check["accepted_by"] for check in report["checks"]] == [setting, "reviewer"]
    assert [(each["check"], each["how"], each["user"], each["time"]) for each in report["overrides"]] == [
        ("shrink_COVID", "accept_shrink", None, WHEN),
        ("unknown_labels", "approval", "reviewer", ANSWER["time"]),
    ]
    assert report["overrides"][1]["finding"] == "unknown_labels is 9 of 20, limit 0.1."
    counted = f"0 of 2 checks passed, 2 failed and were accepted by reviewer and {setting}."
    assert report["verdict"]["sentences"][-1] == counted
    for said in (counted, f"failed</span> accepted by {setting}", "failed</span> accepted by reviewer", FINDING):
        assert said in page, said
    assert "a person is asked" not in page
    assert ">passed<" not in page


def test_the_page_is_made_of_what_the_numbers_say(store: Store) -> None:
    """So that it can be made again once somebody has decided, with nothing else changed."""
    audited(store, [LOST], plan())
    before = store.get(f"{FOLDER}/{PAGE}").decode()
    after = settle(store, plan(), ANSWER)[PAGE].decode()
    changed = {line for line in after.splitlines() if line not in before.splitlines()}
    assert len(changed) == 3, changed
    assert all("reviewer" in line for line in changed), changed


def test_a_name_does_nothing_on_the_page(store: Store) -> None:
    audited(store, [LOST], plan())
    page = settle(store, plan(), {"user": "<script>alert(1)</script>", "time": WHEN})[PAGE].decode()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
