"""The page of an audit that could measure next to nothing, and what strangers can do to it."""

from __future__ import annotations

from typing import Any

import pytest

from cxr_snapshot.audit import PAGE, REPORT, page, summary
from cxr_snapshot.audit.report import conclude, write_report
from cxr_snapshot.plan import make_plan
from cxr_snapshot.shown import lines
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES
from support.hostile import PIECES
from support.ledgers import small_ledger
from support.rendered import Page

REVISIONS = {"covid": "1" * 40, "pneumonia": "2"}
PLAN = make_plan("one", "2026-11-23", "2026-11-23", REVISIONS, {}, licences={}, accept_shrink=False)


@pytest.mark.parametrize("missing", ["age", "sex", "url", "license", "view"])
def test_a_column_that_is_empty_is_no_fault(store: Store, missing: str) -> None:
    ledger = small_ledger(store)
    ledger[missing] = ledger[missing].where(ledger[missing].isna())
    found = write_report(store, ledger, [], plan=PLAN, splits={})
    assert found["figures"]["images"] == 6
    report, text = store.get_json(f"{PLAN['folder']}/{REPORT}"), store.get(f"{PLAN['folder']}/{PAGE}").decode()
    assert report is not None
    assert {probe["level"] for probe in report["probes"]} == {"unmeasured"}
    assert text.count("Not measured") >= 2
    assert ("No age is stated." in text) == (missing == "age")


@pytest.mark.parametrize("other", ["pneumonia", "nih"])
def test_ages_that_a_collection_keeps_to_itself_are_spoken_of_where_it_is_in(store: Store, other: str) -> None:
    plan = make_plan(
        "one", "2026-11-23", "2026-11-23", {"covid": "1" * 40, other: "2"}, {}, licences={}, accept_shrink=False
    )
    write_report(store, small_ledger(store), [], plan=plan, splits={})
    text = store.get(f"{plan['folder']}/{PAGE}").decode()
    assert "Ages as stated." in text
    assert ("its children were 1 to 5 years old" in text) == (other == "pneumonia")


def test_what_strangers_wrote_adds_nothing_to_the_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("plot_probes", "plot_ages", "plot_trend"):  # which show no word of theirs, and take most of the time
        monkeypatch.setattr(page, name, lambda *_: "<svg></svg>")
    write_report(store, small_ledger(store), [], plan=PLAN, splits={})
    report = store.get_json(f"{PLAN['folder']}/{REPORT}")
    sound = Page(page.render_page(with_words(report, "word"), SHEETS).decode())
    for text in (*PIECES, "".join(PIECES)):
        found = Page(page.render_page(with_words(report, text), SHEETS).decode())
        assert found.elements == sound.elements
        assert found.text.count(lines(text)) >= 7 or not text


def test_the_page_forbids_scripts_forms_and_other_bases(store: Store) -> None:
    write_report(store, small_ledger(store), [], plan=PLAN, splits={})
    found = Page(store.get(f"{PLAN['folder']}/{PAGE}").decode())
    (policy,) = [dict(given)["content"] for _, given in found.elements if "http-equiv" in dict(given)]
    rules = {each.strip() for each in str(policy).split(";")}
    assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'"} <= rules
    assert not {"script", "form", "base", "iframe"} & {tag for tag, _ in found.elements}


def test_an_audit_of_a_version_that_asked_less_is_rendered(store: Store) -> None:
    """A run may be on its way while the software is replaced."""
    write_report(store, small_ledger(store), [], plan=PLAN, splits={})
    report = store.get_json(f"{PLAN['folder']}/{REPORT}")
    assert report is not None
    asked = [probe for probe in report["probes"] if probe["question"] in ("classes", "covid_within_upstream")]
    older = {key: value for key, value in report.items() if key != "external"} | {"probes": asked}
    text = page.render_page(conclude(older, []), {}).decode()
    assert "works elsewhere" not in text
    assert "external" not in summary(older)
    assert "works elsewhere was not measured" in page.render_page(report, {}).decode()


SHEETS = {"duplicates": b"any"}


def with_words(report: Any, text: str) -> dict[str, Any]:
    """Return an audit in which upstream's words, and those of a user, are ``text``."""
    said = {"description": "It holds.", "evidence": [text], "accepted_by": text}
    check = said | {"passed": False, "value": text, "threshold": 0, "required": True, "remedy": text, "finding": text}
    override = {"finding": text, "how": "approval", "run": "one", "user": text, "time": "10:00"}
    pair = {"left_out": text, "kept": text, "rule": "duplicate_image", "evidence": text}
    shared = report["confounding"][0] | {"counts": {text: dict.fromkeys(CLASSES, 1)}}
    changed = {"checks": [check], "overrides": [override], "confounding": [shared], "examples": {"duplicates": [pair]}}
    return report | changed
