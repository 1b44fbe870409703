"""docs/rules.md states every rule as the code has it. Its numbers are checked where the real data is at hand."""

from __future__ import annotations

from cxr_snapshot.selection.rules import RULES
from cxr_snapshot.settings import AGE_CHOICES, CONTROL_CHOICES, LICENCE_CHOICES, VIEW_CHOICES
from support.rules_doc import DOCUMENT, STEPS, UPDATE, counts_of, with_table


def test_table_is_written_from_the_rules() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert page == with_table(page, *counts_of(page)), f"docs/rules.md is out of date: {UPDATE}"


def test_page_has_a_line_with_numbers_for_every_rule() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    excluded, candidates = counts_of(page)
    assert list(excluded) == [rule.name for rule in RULES]
    assert list(candidates) == ["COVID", "NORMAL", "PNEUMONIA"]
    assert all(len(numbers) == STEPS for numbers in (*excluded.values(), *candidates.values()))


def test_page_explains_every_origin_and_every_setting() -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"- *{rule.origin}*:" in page for rule in RULES)
    choices = (*VIEW_CHOICES, *LICENCE_CHOICES, *CONTROL_CHOICES, *AGE_CHOICES)
    assert all(f"| `{choice}` |" in page for choice in choices)
