"""Each check finds the fault that was planted for it, and stays quiet on the clean twin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from cxr_snapshot.audit.confounding import measure_confounding
from cxr_snapshot.audit.gates import Check, check_pictures, check_splits
from cxr_snapshot.audit.probes import cross_validate, features, run_probes, score_of, split_folds
from cxr_snapshot.audit.words import CLASSES_QUESTION
from cxr_snapshot.selection.duplicates import clusters_of
from cxr_snapshot.selection.linking import close_pairs
from cxr_snapshot.selection.splits import split_report
from support.planted import collection


def checked(ledger: pd.DataFrame, views: str = "frontal") -> list[Check]:
    """Check where pictures are copies whose hashes lie at most 50 bits apart."""
    known = ledger.dropna(subset="phash").groupby("pixel_sha256")["phash"].first()
    pairs = close_pairs(list(known), 50, [True] * len(known))
    links = pd.concat([pd.DataFrame({"one": one, "other": other}) for one, other in pairs] or [pd.DataFrame()])
    numbers = dict(zip(known.index, range(len(known)), strict=True))
    for one, other in links.itertuples(index=False):
        low, high = sorted((numbers[known.index[one]], numbers[known.index[other]]))
        numbers = {name: low if number == high else number for name, number in numbers.items()}
    return check_pictures(ledger, clusters_of(ledger, numbers, {}), views)


def failed_gates(ledger: pd.DataFrame) -> set[str]:
    checks = [*checked(ledger), *check_splits(split_report(ledger))]
    return {check.name for check in checks if not check.passed}


def found(ledger: pd.DataFrame, looks: pd.DataFrame) -> dict[str, str]:
    """Return the level of everything that is measured and is not ``none``, by name."""
    images = ledger.assign(label=ledger["class"]).merge(looks, on="sha256")
    levels = {f"{probe.name} of {probe.of}": probe.level for probe in run_probes(images, CLASSES_QUESTION)}
    levels |= {each["name"]: each["level"] for each in measure_confounding(ledger)}
    return {name: level for name, level in levels.items() if level != "none"}


def test_the_clean_twin_raises_no_alarm() -> None:
    assert failed_gates(collection()[0]) == set()
    assert found(*collection()) == {}


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ("border", {"border of originals", "border of pictures", "no_lungs of originals", "no_lungs of pictures"}),
        pytest.param("size", {"file_facts of originals", "size", "aspect"}, marks=pytest.mark.long),
    ],
)
def test_a_fault_of_the_pictures(fault: str, wanted: set[str]) -> None:
    levels = found(*collection(fault))
    assert {name for name, level in levels.items() if level == "strong"} >= wanted


def test_one_site_for_each_class() -> None:
    ledger, looks = collection()
    ledger = ledger.assign(url="https://" + ledger["class"].str.lower() + ".org/a")
    assert found(ledger, looks) == {"site": "strong"}


def swap_labels(ledger: pd.DataFrame) -> pd.DataFrame:
    """Let two images of the same patient group have each other's class."""
    classes = ledger["class"].copy()
    classes.iloc[0], classes.iloc[1] = ledger["class"].iloc[1], ledger["class"].iloc[0]
    return ledger.assign(**{"class": classes})


def copy_picture(ledger: pd.DataFrame, source: int, target: int) -> pd.DataFrame:
    """Let one image show what another one shows."""
    ledger = ledger.copy()
    for name in ("pixel_sha256", "phash"):
        ledger.loc[target, name] = ledger.loc[source, name]
    return ledger


def nearly_copy(ledger: pd.DataFrame) -> pd.DataFrame:
    """Let an image be 50 bits from another one."""
    ledger = ledger.copy()
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(ledger.loc[0, "phash"]), np.uint8))
    bits[:50] ^= 1
    ledger.loc[3, "phash"] = np.packbits(bits).tobytes().hex()
    return ledger


def move(ledger: pd.DataFrame) -> pd.DataFrame:
    """Put one image of a patient into another split."""
    return ledger.assign(split=ledger["split"].where(ledger.index != 0, "validation"))


PLANTED: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], set[str]]] = {
    "labels are swapped": (swap_labels, {"contradicted_labels"}),
    "a picture is in two splits": (lambda t: copy_picture(t, 0, 24), {"unresolved_lookalikes"}),
    "a picture is in two classes": (
        lambda t: copy_picture(t, 0, 1),
        {"duplicates_across_classes", "unresolved_lookalikes"},
    ),
    "a picture is saved again": (nearly_copy, {"unresolved_lookalikes"}),
    "a patient is in two splits": (move, {"groups_in_several_splits", "patients_in_several_splits"}),
    "a side view": (lambda t: t.assign(view=t["view"].where(t.index != 5, "L")), {"unwanted_pictures"}),
    "a CT": (lambda t: t.assign(modality=t["modality"].where(t.index != 5, "CT")), {"unwanted_pictures"}),
    "a volume": (lambda t: t.assign(folder=t["folder"].where(t.index != 5, "volumes")), {"unwanted_pictures"}),
    "a file that was not decoded": (
        lambda t: t.assign(pixel_sha256=t["pixel_sha256"].where(t.index != 5)),
        {"undecoded"},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_fault_that_a_gate_stops(name: str) -> None:
    plant, wanted = PLANTED[name]
    assert failed_gates(plant(collection()[0])) == wanted


def test_a_failed_gate_names_the_images() -> None:
    checks = checked(copy_picture(collection()[0], 0, 1))
    evidence = next(check.evidence for check in checks if check.name == "duplicates_across_classes")
    assert evidence == ("covid:COVID/0.png", "covid:NORMAL/1.png")


def test_side_views_that_were_asked_for_are_no_fault() -> None:
    ledger = collection()[0].assign(view="L")
    failed = [check.name for check in checked(ledger, "frontal+lateral") if not check.passed]
    assert failed == []


def test_a_patient_is_never_on_both_sides() -> None:
    """A look that is the patient's own tells the class only of patients that the classifier has met."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 6)
    looks = rng.normal(size=(40, 30))[patients] + 0.1 * rng.normal(size=(240, 30))
    labels = np.array(["A", "B"])[rng.permutation(np.arange(40) % 2)][patients]
    scores = {}
    for name, groups in (("by patient", patients.astype(str)), ("leaky", np.arange(240).astype(str))):
        _, hits = cross_validate(looks, labels, split_folds(labels, groups), trees=False)
        scores[name] = score_of(labels, groups, hits)
    assert scores["leaky"].low > 0.7
    assert scores["by patient"].low < 0.55
    assert scores["leaky"].accuracy > scores["by patient"].high


def test_the_probe_without_lungs_does_not_see_them() -> None:
    ledger, looks = collection()
    images = ledger.merge(looks, on="sha256")
    black = images.copy()
    pixels = [np.frombuffer(body, np.uint8).reshape(32, 32, 3).copy() for body in images["raw"]]
    for picture in pixels:
        picture[5:27, 3:29] = 0
    black["raw"] = [picture.tobytes() for picture in pixels]
    assert np.array_equal(features(images, "no_lungs", "originals"), features(black, "no_lungs", "originals"))
    assert not np.array_equal(features(images, "thumbnail", "originals"), features(black, "thumbnail", "originals"))
