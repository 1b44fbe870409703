"""Whether a model that was trained on a snapshot works elsewhere: planted faults, and who may judge."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.audit.external import check_elsewhere, failure, who_judges
from cxr_snapshot.audit.plots import plot_aucs, plot_hundred
from cxr_snapshot.audit.report import verdict
from support.cameras import JUDGES, judges, snapshot

REVISIONS = {"nih": "4"}


def checked(*, one_camera_for_a_class: bool, **others: Any) -> dict[str, Any]:
    sample = snapshot(one_camera_for_a_class=one_camera_for_a_class)
    return check_elsewhere(sample, who_judges(sample, judges(**others)), REVISIONS)


@pytest.mark.parametrize("camera", ["A", "B"])
def test_classes_from_two_cameras_fail_and_the_clean_twin_passes(camera: str) -> None:
    """Within the collections nothing tells the two apart."""
    planted, clean = (checked(one_camera_for_a_class=each, camera=camera) for each in (True, False))
    assert (planted["level"], clean["level"]) == ("fails", "passes")
    assert min(planted["auc_inside"]["low"], clean["auc_inside"]["low"]) > 0.95
    # Camera A is that of COVID, so that everybody from there is called ill, and nobody from B.
    assert planted["called_covid"]["value"] == planted["found_covid"]["value"] == (1 if camera == "A" else 0)
    assert (clean["called_covid"]["value"], clean["found_covid"]["value"]) == (0, 1)


def test_the_sentence_counts_people_and_says_how_sure_that_is() -> None:
    found = checked(one_camera_for_a_class=True)
    assert found["sentences"][0] == (
        "Of 100 healthy adults, a model trained on this calls 100 COVID (95 % interval: 83 to 100; 20 images of 20 "
        "adults from elsewhere)."
    )
    assert failure(found) == "A model trained on this fails elsewhere: of 100 healthy adults, it calls 100 COVID."
    missed = checked(one_camera_for_a_class=True, camera="B")
    assert failure(missed) == "A model trained on this fails elsewhere: of 100 patients with COVID-19, it finds 0."
    reversed_order = missed | {"found_covid": found["found_covid"]}
    assert "tells COVID from NORMAL with an AUC of 0.87" in failure(reversed_order)


def test_each_judge_is_counted_by_collection_and_class() -> None:
    found = checked(one_camera_for_a_class=False)
    assert [(row["collection"], row["class"], row["images"], row["trained_on"]) for row in found["judges"]] == [
        ("nih", name, JUDGES, False) for name in ("COVID", "NORMAL", "PNEUMONIA")
    ]
    assert found["judges"][0]["called"] == {"COVID": JUDGES, "NORMAL": 0, "PNEUMONIA": 0}
    assert found["accuracy_outside"]["classes"] == ["COVID", "NORMAL", "PNEUMONIA"]


def test_who_is_linked_or_no_adult_does_not_judge() -> None:
    sample = snapshot(one_camera_for_a_class=False)
    picked = judges().assign(age=[age for age in (50.0, None, 5.0, 412.0) for _ in range(3)] * 5)
    judging = who_judges(sample, picked)
    assert judging[judging["judges"]].groupby("class").size().to_dict() == {"COVID": 20, "NORMAL": 5, "PNEUMONIA": 5}
    assert not who_judges(sample, picked.assign(linked=True))["judges"].any()


def test_images_of_the_same_collections_judge_beside_others_and_never_alone() -> None:
    sample = snapshot(one_camera_for_a_class=False)
    own = judges().assign(source="covid", age=None)
    assert not who_judges(sample, own)["judges"].any()
    others = judges().assign(sha256=lambda table: "f" + table["sha256"].str[1:])
    found = check_elsewhere(sample, who_judges(sample, pd.concat([own, others], ignore_index=True)), REVISIONS)
    assert {row["collection"]: row["trained_on"] for row in found["judges"]} == {"covid": True, "nih": False}
    assert found["called_covid"]["images"] == JUDGES


@pytest.mark.parametrize(
    ("kinds", "level", "measured"),
    [
        (("NORMAL",), "unclear", {"called_covid"}),
        (("COVID",), "unmeasured", {"found_covid"}),
        (("PNEUMONIA",), "unmeasured", set()),
        (("COVID", "NORMAL"), "passes", {"called_covid", "found_covid", "auc_outside", "accuracy_outside"}),
    ],
)
def test_what_there_are_no_judges_for_is_not_measured(kinds: tuple[str, ...], level: str, measured: set[str]) -> None:
    found = checked(one_camera_for_a_class=False, kinds=kinds)
    assert found["level"] == level
    names = ("called_covid", "found_covid", "auc_outside", "accuracy_outside")
    assert {name for name in names if found[name]} == measured
    said = " ".join(found["sentences"])
    assert ("too little to say" in said) == (level == "unclear")
    assert ("The setting judges (CXR_JUDGES) names" in said) == (level == "unmeasured")


def test_four_adults_are_too_few_and_a_sample_is_told_of_no_setting() -> None:
    sample, few = snapshot(one_camera_for_a_class=False), judges(kinds=("NORMAL",)).head(4)
    found = check_elsewhere(sample, who_judges(sample, few), {}, synthetic=True)
    assert (found["level"], len(found["sentences"])) == ("unmeasured", 2)


def test_the_same_images_in_another_order_give_the_same() -> None:
    sample, judging = snapshot(one_camera_for_a_class=True), judges()
    turned = check_elsewhere(sample.iloc[::-1], who_judges(sample, judging.iloc[::-1]), REVISIONS)
    assert turned == checked(one_camera_for_a_class=True)


def test_the_verdict_cites_the_external_check_where_it_fails() -> None:
    attributes, checks = [{"name": "view", "level": "none"}], [{"name": "x", "passed": True}]
    failed, passed = (checked(one_camera_for_a_class=each) for each in (True, False))
    said = verdict([], attributes, checks, [], failed)
    assert (said["level"], said["headline"]) == ("strong", failure(failed))
    assert said["sentences"][0] == failed["sentences"][0]
    assert verdict([], attributes, checks, [], passed)["level"] == "none"
    assert verdict([], attributes, checks, [], passed)["sentences"][0] == passed["sentences"][0]
    sample = snapshot(one_camera_for_a_class=False)
    nobody = check_elsewhere(sample, who_judges(sample, judges().assign(linked=True)), REVISIONS)
    assert verdict([], attributes, checks, [], nobody) == verdict([], attributes, checks, [])


def test_the_picture_fills_as_many_of_a_hundred_as_are_called() -> None:
    drawn = plot_hundred({"value": 0.986})
    assert drawn.count('fill="var(--c0)"') == 99
    assert drawn.count("<circle") == 100
    assert "<title>A hundred people, 99 of them filled" in drawn
    assert plot_aucs(checked(one_camera_for_a_class=False, kinds=("NORMAL",))).count("own collections") == 1
