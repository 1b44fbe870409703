from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cxr_predictor.card import WARNING, model_card, shown_area, shown_figure
from cxr_predictor.metrics import Judged, measure, measure_accuracy
from cxr_snapshot.tables import CLASSES

DATASET_CARD = "# A dataset\n\n> **Read this before you train on it.** Class and source are the same thing.\n\nMore.\n"
COUNTS = {split: dict.fromkeys(CLASSES, 1200) for split in ("train", "validation", "test")}
FIGURE = {"value": 0.96, "low": 0.9, "high": 1.0, "images": 50, "patients": 1}


def metrics(**others: Any) -> dict[str, Any]:
    judged = Judged(np.array([0, 1, 2]), np.eye(3), ["a", "b", "c"])
    accuracies = {name: measure_accuracy(judged, 0) for name in ("without_lungs", "lungs_only")}
    return {
        "version": "2026-11-22",
        "uri": "s3://cxr/covid-cxr/2026-11-22/",
        "synthetic": False,
        "audit": "It teaches [the] source.",
        "made_from": {"recipe": "1", "seed": 7, "snapshot": "0" * 64, "judges": None},
        "made_with": {"jax": "0.10.2", "keras": "3.15.1", "numpy": "2.4.6"},
        "training": {
            "parameters": 190387,
            "epochs": 1,
            "best_epoch": 1,
            "validation_cross_entropy": 0.1,
            "images": COUNTS,
            "patients": COUNTS,
        },
        "inside": measure(judged, 0) | accuracies,
        "outside": None,
        **others,
    }


def card(**others: Any) -> str:
    return model_card(metrics(**others), DATASET_CARD).decode()


OUTSIDE = {
    "version": "2026-11-23",
    "uri": "s3://cxr/judges/2026-11-23/",
    "images": [{"class": "NORMAL", "source": "nih", "images": 50}],
    "normal_adults_called_covid": FIGURE,
    "covid_or_normal_auc": None,
    "confusion": {name: dict.fromkeys(CLASSES, 0) for name in CLASSES},
}


def test_the_first_sentence_says_what_the_scores_do_not_mean() -> None:
    for each in (card(), card(synthetic=True), card(outside=OUTSIDE)):
        first = each.split(".")[0]
        assert first == "> **The scores of this model do not say whether anybody has COVID-19 or pneumonia"
    assert "do not say whether anybody has COVID-19 or pneumonia" in WARNING


def test_the_warning_of_the_dataset_and_its_audit_are_quoted() -> None:
    assert "\n\n> Class and source are the same thing.\n" in card()
    assert r"It teaches \[the\] source." in card()


def test_a_model_of_drawings_says_so_before_its_title() -> None:
    found = card(synthetic=True)
    assert "> **SYNTHETIC.** Drawings, not X-rays." in found.split("\n# ")[0]
    assert "Class and source are the same thing" not in found, "what is true of X-rays only"
    assert "SYNTHETIC" not in card()


def test_without_a_judge_it_says_what_would_bring_one() -> None:
    found = card().split("## How good it is elsewhere")[1].split("\n## ")[0]
    assert "**Not measured.** That takes judges" in found
    assert "`nih` and `hannover`" in found


def test_with_judges_it_says_how_many_normal_adults_it_calls_covid() -> None:
    found = card(outside=OUTSIDE)
    assert "Normal adults whom it calls COVID: **96 % (90 to 100 %; 50 images of 1 patient)**" in found
    assert "COVID against normal adults: **not measured**" in found
    assert "`s3://cxr/judges/2026-11-23/` has no collection that this snapshot lacks" in card(
        outside=OUTSIDE | {"images": []}
    )


def test_a_figure_stands_with_its_interval_and_its_base() -> None:
    assert shown_figure(FIGURE) == "96 % (90 to 100 %; 50 images of 1 patient)"
    assert shown_area(FIGURE) == "0.96 (0.90 to 1.00; 50 images of 1 patient)"
    assert shown_figure(None) == shown_area(None) == "not measured"
    assert "| train | 1,200 of 1,200 |" in card()


@pytest.mark.parametrize("outside", [None, OUTSIDE])
def test_every_table_is_whole(outside: dict[str, Any] | None) -> None:
    lines = card(outside=outside).splitlines()
    for above, line in pairwise(lines):
        if line.startswith("|") and above.startswith("|"):
            assert above.count("|") == line.count("|"), line
