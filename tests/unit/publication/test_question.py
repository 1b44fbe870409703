"""The person who is asked learns how much was lost, what it is, and what the answers do."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxr_snapshot.audit.gates import Check, check_labels, check_losses
from cxr_snapshot.publication.question import LISTED, Images, text, title
from cxr_snapshot.tables import LEDGER_SCHEMA, conform

NOW = {"COVID": 60, "NORMAL": 110, "PNEUMONIA": 100}


def earlier(*nights: int) -> list[dict[str, Any]]:
    """Return the memory of snapshots, the newest first, with so many COVID candidates and 100 others."""
    others = {"NORMAL": 100, "PNEUMONIA": 100}
    return [
        {"version": f"night-{number}", "candidates": {"COVID": count, **others}, "accepted": []}
        for number, count in enumerate(nights, start=1)
    ]


def losses(*nights: int) -> tuple[list[Check], list[Check]]:
    checks = check_losses(NOW, earlier(*nights), 0.1)
    return checks, [check for check in checks if not check.passed]


def image(number: int, **facts: Any) -> dict[str, Any]:
    return {"source": "covid", "path": f"images/{number:02}.png", "sha256": "0", "reason": "It is gone.", **facts}


def asked(checks: list[Check], failed: list[Check], images: Images) -> str:
    return text(checks, failed, [(failed[0], images)], "[audit](/audit.html)", "![Pictures](/lost.jpg)")


def test_title_and_table_have_the_numbers_of_before_and_now() -> None:
    checks, failed = losses(100)
    assert title(failed) == "Publish although COVID fell from 100 to 60 candidates (40 % lost)?"
    lines = asked(checks, failed, []).splitlines()
    assert lines[:5] == [
        "| candidates | night-1 | now | change |",
        "|---|--:|--:|--:|",
        "| COVID | 100 | 60 | **-40 %** |",
        "| NORMAL | 100 | 110 | **+10 %** |",
        "| PNEUMONIA | 100 | 100 | 0 % |",
    ]
    assert "COVID has 60 candidates; the last snapshot with these settings, night-1, had 100: 40 % lost" in lines[6]


def test_a_class_that_fails_twice_is_asked_for_once_with_the_greater_loss() -> None:
    _, failed = losses(80, 100)
    assert [check.name for check in failed] == ["shrink_COVID", "slow_loss_COVID"]
    assert title(failed) == "Publish although COVID fell from 100 to 60 candidates (40 % lost)?"


def test_what_is_lost_is_counted_by_reason_and_listed_up_to_a_limit() -> None:
    images = [image(number) for number in range(1, LISTED + 2)]
    images[0] |= {"path": "images/<b>.png", "reason": "It is a *CT*.", "evidence": "modality is CT"}
    found = asked(*losses(100), images)
    assert f"**COVID candidates of night-1 that are none any more: {len(images)} images**" in found
    assert f"- {LISTED}: It is gone.\n- 1: It is a \\*CT\\*." in found
    assert "| 1 | covid: images/\\<b\\>.png | It is a \\*CT\\*. modality is CT |" in found
    assert f"| {LISTED} | covid: images/{LISTED}.png | It is gone. |" in found
    assert f"| {LISTED + 1} |" not in found
    assert f"These are the first {LISTED}." in found
    assert "![Pictures](/lost.jpg)" in found
    assert "not known, since that snapshot was deleted" in asked(*losses(100), None)


def test_the_answers_are_explained_and_what_must_hold_does_not_read_as_a_claim() -> None:
    found = asked(*losses(100), [])
    assert "The [audit](/audit.html) shows the rest." in found
    assert "**Approve** publishes it. Your name" in found
    assert "**Reject** ends the run and publishes nothing" in found
    assert "at most 10 %" not in found


def test_unknown_words_are_asked_for_too() -> None:
    row = {"source": "covid", "metadata_line": 2, "in_upstream": True, "rule": "unknown_view"}
    check = check_labels(conform(pd.DataFrame([row]), LEDGER_SCHEMA), 0.1)
    assert title([check]) == "Publish although 1 of 1 rows of metadata.csv (100 %) have unknown words?"
    found = asked([check], [check], [image(1, path=None)])
    assert found.startswith("- **unknown_labels**: 1 of 1")
    assert "**Left out for unknown words: 1 image**" in found
    assert "| 1 | covid: no file |" in found
