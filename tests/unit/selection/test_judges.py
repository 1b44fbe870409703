"""Who may judge a model: nobody whose patient or picture the snapshot has."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.selection.duplicates import resolve_duplicates
from cxr_snapshot.selection.judges import MOST_JUDGES, pick_judges
from cxr_snapshot.selection.splits import assign_splits
from cxr_snapshot.tables import LEDGER_SCHEMA, conform
from support.ledgers import ledger, picture, row

REPUBLISHED = {"covid": ("hannover",)}


def hannover(number: int, stem: str, patient: str, **others: Any) -> dict[str, Any]:
    facts = {"source": "hannover", "path": f"png/{stem}.png", "patient_id": f"hannover:{patient}", "age": None}
    return row(number, "COVID", picture(number), **facts | others)


def linked(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return a ledger of all collections, linked as the pipeline links them; no picture looks like another."""
    table = ledger(*rows)
    numbers = {name: number for number, name in enumerate(table["pixel_sha256"].unique())}
    return assign_splits(resolve_duplicates(table, numbers, {}, REPUBLISHED), "salt")


def judging(published: pd.DataFrame, both: pd.DataFrame) -> dict[str, bool]:
    """Return by path of those who are picked whether they are linked to a published image."""
    picked = pick_judges(published, both)
    return dict(zip(picked["path"], picked["linked"], strict=True))


OWN = row(0, "COVID", picture(0), path="images/aaaa.jpg", patient_id="covid:7")


def test_who_shares_nothing_with_the_snapshot_judges() -> None:
    assert judging(linked(OWN), linked(OWN, hannover(1, "bbbb", "1"))) == {"png/bbbb.png": False}


def test_a_film_of_the_same_name_is_linked_with_all_of_its_patient() -> None:
    """The COVID collection has cuts of Hannover's films under their names, and names their patients otherwise."""
    both = linked(OWN, hannover(1, "aaaa", "1"), hannover(2, "bbbb", "1"), hannover(3, "cccc", "2"))
    assert judging(linked(OWN), both) == {"png/aaaa.png": True, "png/bbbb.png": True, "png/cccc.png": False}


@pytest.mark.parametrize("size", [(90, 70), (180, 140)])
def test_a_copy_is_linked_whichever_of_the_two_is_the_better_one(size: tuple[int, int]) -> None:
    copy = hannover(1, "bbbb", "1", pixel_sha256=OWN["pixel_sha256"], width=size[0], height=size[1], bytes=10**6)
    both = linked(OWN, copy, hannover(2, "cccc", "1"))
    assert judging(linked(OWN), both) == {"png/bbbb.png": True, "png/cccc.png": True}


def test_a_patient_of_the_snapshot_is_linked() -> None:
    both = linked(OWN, hannover(1, "bbbb", "1", patient_id="covid:7"), hannover(2, "cccc", "2"))
    assert judging(linked(OWN), both) == {"png/bbbb.png": True, "png/cccc.png": False}


def test_what_links_to_an_image_that_is_not_published_judges() -> None:
    left_out = row(5, "COVID", picture(5), path="images/dddd.jpg", patient_id="covid:8", rule="unwanted_view")
    both = linked(OWN, left_out, hannover(1, "bbbb", "1", patient_id="covid:8"))
    assert judging(linked(OWN, left_out), both) == {"png/bbbb.png": False}


def test_what_a_rule_leaves_out_or_has_no_class_does_not_judge() -> None:
    both = linked(OWN, hannover(1, "bbbb", "1", rule="not_xray"), hannover(2, "cccc", "2", **{"class": None}))
    assert judging(linked(OWN), both) == {}


def test_images_that_were_not_drawn_judge_unless_their_patient_is_published() -> None:
    rows = [
        row(1, "NORMAL", picture(1), group="a"),
        row(2, "NORMAL", picture(2), group="a", rule="not_drawn"),
        row(3, "NORMAL", picture(3), group="b", rule="not_drawn"),
        row(4, "NORMAL", picture(4), group="c", rule="unwanted_view"),
    ]
    picked = pick_judges(ledger(*rows))
    assert dict(zip(picked["group"], picked["linked"], strict=True)) == {"a": True, "b": False}


def test_no_more_judge_than_can_be_looked_at_and_the_same_ones_in_any_order() -> None:
    names = [f"{number:064x}" for number in range(MOST_JUDGES + 5)]
    facts = {"source": "covid", "class": "COVID", "rule": "not_drawn"}
    table = conform(pd.DataFrame({"sha256": names, "group": names, **facts}), LEDGER_SCHEMA)
    assert pick_judges(table.sample(frac=1, random_state=0))["sha256"].tolist() == names[:MOST_JUDGES]
