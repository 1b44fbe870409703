from __future__ import annotations

import numpy as np
import pytest

from cxr_predictor.metrics import DRAWS, Draws, Judged, auc, calibration, confusion, measure, measure_accuracy, share

SEED = 7


def judged(labels: list[int], named: list[int], groups: list[str] | None = None, sure: float = 0.8) -> Judged:
    """Return images that a model names so, each time with the same probability."""
    scores = np.full((len(labels), 3), (1 - sure) / 2)
    scores[np.arange(len(labels)), named] = sure
    return Judged(np.array(labels), scores, groups or [f"g{number}" for number in range(len(labels))])


def test_shares_and_confusion_are_those_counted_by_hand() -> None:
    found = measure(judged([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 2, 2]), SEED)
    assert found["confusion"] == {
        "COVID": {"COVID": 3, "NORMAL": 1, "PNEUMONIA": 0},
        "NORMAL": {"COVID": 0, "NORMAL": 1, "PNEUMONIA": 1},
        "PNEUMONIA": {"COVID": 0, "NORMAL": 0, "PNEUMONIA": 2},
    }
    values = {
        name: (each["sensitivity"]["value"], each["specificity"]["value"]) for name, each in found["classes"].items()
    }
    assert values == {"COVID": (0.75, 1.0), "NORMAL": (0.5, 0.8333), "PNEUMONIA": (1.0, 0.8333)}
    assert found["balanced_accuracy"]["value"] == 0.75
    assert found["classes"]["COVID"]["specificity"]["images"] == 4


def test_the_area_counts_pairs_and_ties_half() -> None:
    positive, score = np.array([True, True, False, False]), np.array([0.9, 0.5, 0.5, 0.1])
    assert auc(positive, score, np.ones((1, 4))) == pytest.approx([3.5 / 4])
    assert auc(positive, -score, np.ones((1, 4))) == pytest.approx([0.5 / 4])
    # An image that is drawn twice counts as two.
    assert auc(positive, score, np.array([[2.0, 0, 1, 1], [0, 1, 1, 0]])) == pytest.approx([1, 0.5])
    assert np.isnan(auc(positive, score, np.array([[0.0, 0, 1, 1]]))).all()


def test_an_interval_is_that_of_patients_not_of_images() -> None:
    labels, named = [0, 1, 2] * 40, ([0, 1, 2] * 20) + ([1, 2, 0] * 20)
    many = measure_accuracy(judged(labels, named), SEED)
    few = measure_accuracy(judged(labels, named, [f"g{number % 3}-{number // 30}" for number in range(120)]), SEED)
    assert many and few
    assert many["value"] == few["value"] == 0.5
    assert (many["patients"], few["patients"]) == (120, 12)
    assert few["high"] - few["low"] > 2 * (many["high"] - many["low"])
    # sqrt(p (1 - p) / n) of three shares of 40 each, times 1.96
    assert many["high"] - many["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 120), rel=0.1)


@pytest.mark.parametrize(
    ("named", "value", "low", "high"),
    [
        ([0] * 5 + [1] * 10, 1.0, 0.4782, 1.0),  # 0.025 ** (1/5): the bound of 5 of 5
        ([0] * 15, 0.5, 0.0, 1.0),
    ],
    ids=["all-right", "one-class-only"],
)
def test_a_model_that_all_draws_agree_on_is_not_sure(named: list[int], value: float, low: float, high: float) -> None:
    labels = np.array([0] * 5 + [1] * 10)
    right = np.array(named) == labels
    figure = Draws(labels, [f"g{number}" for number in range(15)], SEED).figure(
        lambda weights: (
            (share(right & (labels == 0), labels == 0, weights) + share(right & (labels == 1), labels == 1, weights))
            / 2
        ),
        labels,
    )
    assert figure
    assert figure["value"] == value
    assert figure["low"] == pytest.approx(low, abs=0.03)
    assert figure["high"] == pytest.approx(high, abs=0.03)


def test_draws_are_of_whole_patients_of_each_class_and_seeded() -> None:
    labels, groups = np.array([0, 0, 1, 1, 2]), ["a", "a", "b", "c", "d"]
    seen: list[np.ndarray] = []
    for seed in (1, 1, 2):
        Draws(labels, groups, seed).figure(lambda weights: seen.append(weights) or weights[:, 0], labels)
    drawn = [weights for weights in seen if len(weights) == DRAWS]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert (drawn[0][:, 0] == 1).all() and (
        drawn[0][:, 1] == 1
    ).all()  # the only patient of its class, with both images
    assert (drawn[0][:, 2] + drawn[0][:, 3] == 2).all()


def test_calibration_is_the_distance_of_what_is_said_from_what_is_right() -> None:
    sure = calibration(judged([0, 0, 0, 0], [0, 0, 0, 1], sure=0.95))
    assert sure["error"] == 0.2
    assert sure["bins"] == [{"from": 0.9, "to": 1.0, "images": 4, "mean_probability": 0.95, "right": 0.75}]
    assert calibration(judged([0], [0], sure=1.0))["bins"][0]["from"] == 0.9


def test_confusion_counts_classes_that_are_not_there() -> None:
    assert confusion(judged([2], [0]))["COVID"] == {"COVID": 0, "NORMAL": 0, "PNEUMONIA": 0}
