"""Confounding, looks, drift and examples."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from cxr_snapshot.audit import external
from cxr_snapshot.audit.confounding import (
    attributes,
    count_patients,
    count_sexes,
    describe_ages,
    measure_confounding,
    mutual_information,
)
from cxr_snapshot.audit.drift import TITLES, extend_trend, main_figures, measure_drift
from cxr_snapshot.audit.examples import load_pictures, pick_duplicates, pick_shortcuts, pick_texts
from cxr_snapshot.audit.external import check_elsewhere, who_judges
from cxr_snapshot.audit.gates import check_pictures
from cxr_snapshot.audit.looks import LOOK_SCHEMA, load_looks, text_score
from cxr_snapshot.audit.plots import plot_ages, plot_probes, plot_trend
from cxr_snapshot.audit.probes import run_probes
from cxr_snapshot.audit.report import (
    MOST_PER_CLASS,
    control_images,
    draw_sample,
    enough_of_each,
    verdict,
    within_collection,
)
from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.inspection.uniform import UniformFiles
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.parallel import AHEAD
from cxr_snapshot.store.seals import put_sealed_table
from cxr_snapshot.tables import CLASSES, CLINICAL_COLUMNS
from support.damage import flip
from support.ledgers import ledger, picture, row, small_ledger
from support.planted import look_of

RUN = "_work/runs/one"
CLINICAL = (*CLINICAL_COLUMNS, "date", "location")
COLUMNS = (
    "source",
    "url",
    "format",
    "mode",
    "width",
    "height",
    "view",
    "license",
    "age",
    "sex",
    "patient_id",
    *CLINICAL,
)


def manifest(*rows: dict[str, Any]) -> pd.DataFrame:
    defaults = dict.fromkeys(COLUMNS) | {"source": "covid", "width": 100, "height": 100}
    return pd.DataFrame([defaults | each for each in rows])


def test_an_attribute_that_is_the_class_shares_everything_with_it() -> None:
    rows = [{"class": name, "view": name, "format": "PNG"} for name in CLASSES for _ in range(10)]
    found = {each["name"]: each for each in measure_confounding(manifest(*rows))}
    assert (found["view"]["nmi"], found["view"]["level"]) == (1.0, "strong")
    assert (found["format"]["nmi"], found["format"]["level"]) == (0.0, "none")
    assert found["view"]["counts"]["COVID"] == {"COVID": 10, "NORMAL": 0, "PNEUMONIA": 0}
    assert found["site"]["counts"] == {"not stated": dict.fromkeys(CLASSES, 10)}


@pytest.mark.parametrize(("images", "values"), [(9, 2), (40, 5), (300, 40), (2000, 1500), (50, 1), (3, 40)])
def test_mutual_information_is_that_of_scikit_learn(images: int, values: int) -> None:
    rng = np.random.default_rng(images)
    value, label = rng.integers(0, values, images), rng.integers(0, 3, images)
    table = pd.crosstab(value, label).to_numpy()
    theirs = normalized_mutual_info_score(label, value), adjusted_mutual_info_score(label, value)
    ours = mutual_information(table)
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert {type(each) for each in ours} == {float}, "no number of numpy gets into a task's result"


def test_age_and_sex_are_compared_with_the_class() -> None:
    ages = {"COVID": [18.0, 23.5, 64.0], "NORMAL": [3.0, 5.0, 9.9], "PNEUMONIA": [None] * 3}
    rows = [{"class": name, "age": age, "sex": "F"} for name, stated in ages.items() for age in stated]
    found = {each["name"]: each for each in measure_confounding(manifest(*rows))}
    assert (found["age"]["level"], found["sex"]["level"]) == ("strong", "none")
    counts = {value: sum(each.values()) for value, each in found["age"]["counts"].items()}
    assert counts == {
        **{"below 10 years": 3, "10 to 20 years": 1, "20 to 30 years": 1, "60 to 70 years": 1},
        "not stated": 3,
    }


def test_what_one_class_alone_states_gives_it_away() -> None:
    stated = [{"survival": "N", "date": "2020-03-01"}, {"temperature": 38.5, "date": "2020", "location": "Rome"}]
    rows = [{"class": "COVID"} | each for each in stated * 5] + [{"class": "NORMAL"}, {"class": "PNEUMONIA"}] * 10
    found = {each["name"]: each for each in measure_confounding(manifest(*rows))}
    assert found["clinical"]["counts"]["stated"] == {"COVID": 10, "NORMAL": 0, "PNEUMONIA": 0}
    assert found["date"]["counts"]["2020"] == {"COVID": 10, "NORMAL": 0, "PNEUMONIA": 0}
    assert found["location"]["counts"]["Rome"]["COVID"] == 5
    assert {found[name]["level"] for name in ("clinical", "date")} == {"strong"}


def test_rare_values_are_counted_together() -> None:
    rows = [{"class": CLASSES[number % 3], "view": f"view {number}"} for number in range(15)]
    counts = next(each["counts"] for each in measure_confounding(manifest(*rows)) if each["name"] == "view")
    assert list(counts)[-1] == "other (3 values)"
    assert sum(sum(each.values()) for each in counts.values()) == 15


def test_ages_sexes_and_patients_by_class() -> None:
    table = manifest(
        {"class": "COVID", "age": 20.0, "sex": "F", "patient_id": "covid:1"},
        {"class": "COVID", "age": 40.0, "sex": "F", "patient_id": "covid:1"},
        {"class": "COVID", "age": 60.0, "patient_id": "covid:2"},
        {"class": "COVID"},
        {"class": "NORMAL"},
    )
    ages = describe_ages(table)
    assert ages["COVID"] == {
        **{"images": 4, "stated": 3, "missing": 0.25},
        **{"min": 20.0, "q1": 30.0, "median": 40.0, "q3": 50.0, "max": 60.0},
    }
    assert (ages["NORMAL"]["missing"], ages["NORMAL"]["median"], ages["PNEUMONIA"]["missing"]) == (1.0, None, None)
    assert count_sexes(table)["COVID"] == {"F": 2, "not stated": 2}
    patients = count_patients(table)
    assert patients["COVID"] == {"images": 4, "patients": 2, "unknown": 1, "mean": 1.5, "most": 2}
    assert patients["PNEUMONIA"]["mean"] is None


def lettered(text: str) -> np.ndarray:
    image = Image.new("L", (400, 400), 60)
    ImageDraw.Draw(image).text((20, 20), text, fill=255, font=ImageFont.load_default(18))
    return np.asarray(image)


@pytest.mark.parametrize(("text", "fewest", "most"), [("", 0, 0), ("PORTABLE 12", 6, 11), ("R", 0, 0)])
def test_letters_that_stand_in_a_row_are_counted(text: str, fewest: int, most: int) -> None:
    assert fewest <= text_score(lettered(text)) <= most


@pytest.mark.parametrize(("mode", "file_format"), [("L", "JPEG"), ("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")])
def test_looks_of_every_mode_have_one_size(mode: str, file_format: str) -> None:
    body = picture(3, file_format, mode)
    found = look_of(body)
    assert (len(found["raw"]), len(found["normalised"])) == (32 * 32 * 3, 32 * 32)


def test_a_deep_image_is_seen_as_its_stretched_self() -> None:
    deep = np.outer(np.arange(80), np.full(80, 500)).astype(np.uint16)
    file = io.BytesIO()
    Image.fromarray(deep).save(file, "PNG")
    raw = np.frombuffer(look_of(file.getvalue())["raw"], np.uint8)
    assert (raw.min() < 10, raw.max() > 245) == (True, True)


def sizes(sha256s: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(sha256s, 10_000)


def test_looks_are_made_once_and_kept(store: Store) -> None:
    table = small_ledger(store)
    sha256s = list(table["sha256"])
    first = load_looks(store, SMALL, RUN, sizes(sha256s[:3]))
    written = store.list("_work/looks/")
    assert load_looks(store, SMALL, RUN, sizes(sha256s[:3])).equals(first)
    assert store.list("_work/looks/") == written
    with pytest.raises(MissingObjectError):
        load_looks(store, SMALL, RUN, sizes(["0" * 64]))
    everything = load_looks(store, SMALL, RUN, sizes(sha256s))
    assert list(everything["sha256"]) == sorted(sha256s)
    assert everything[everything["sha256"].isin(sha256s[:3])].reset_index(drop=True).equals(first)


@pytest.mark.parametrize("form", [SMALL, Form(64, uniform=True)])
def test_the_pictures_that_are_made_for_it_are_packed_for_the_shards(store: Store, form: Form) -> None:
    sha256s = sorted(set(small_ledger(store)["sha256"]))
    made = list(Pictures(store, form).load(sha256s))
    looks = load_looks(store, form, RUN, sizes(sha256s))
    assert list(looks["normalised_bytes"]) == [len(each) for each in made]
    store.delete(store.list("_work/blobs/"))
    assert list(Pictures(store, form, RUN).load(sha256s)) == made
    packs = store.list(f"{RUN}/")
    load_looks(store, form, RUN, sizes(sha256s))
    load_looks(store, form, "_work/runs/another", sizes(sha256s))
    assert store.list("_work/runs/") == packs, "nothing was new"


def test_a_try_that_was_killed_leaves_packs_that_the_next_one_completes(store: Store) -> None:
    sha256s = sorted(set(small_ledger(store)["sha256"]))
    made = list(Pictures(store).load(sha256s))
    load_looks(store, SMALL, RUN, sizes(sha256s))
    _, lost, *others = store.list("_work/looks/")
    flip(store, lost)
    store.delete(others)
    store.delete(list(store.list(f"{RUN}/"))[1:])
    load_looks(store, SMALL, RUN, sizes(sha256s))
    store.delete(store.list("_work/blobs/"))
    assert list(Pictures(store, SMALL, RUN).load(sha256s)) == made


def test_small_blobs_are_fetched_side_by_side_and_large_ones_are_not(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256s, get = sorted(set(small_ledger(store)["sha256"])), store.get
    together = threading.Barrier(len(sha256s))
    began, most = [], []

    def fetch_together(name: str) -> bytes:
        together.wait(60)
        return get(name)

    def fetch(name: str) -> bytes:
        began.append(name)
        most.append(len(began))
        body = get(name)
        began.remove(name)
        return body

    monkeypatch.setattr(store, "get", fetch_together)
    assert len(load_looks(store, SMALL, RUN, sizes(sha256s))) == len(sha256s) == 7
    store.delete(store.list("_work/looks/"))
    monkeypatch.setattr(store, "get", fetch)
    load_looks(store, SMALL, RUN, dict.fromkeys(sha256s, AHEAD))
    assert max(most) == 1


def test_files_that_are_pictures_too_are_kept_and_not_packed(store: Store) -> None:
    form, sha256s = Form(64, uniform=True), sorted(set(small_ledger(store)["sha256"]))
    load_looks(store, form, RUN, sizes(sha256s), UniformFiles(store, form))
    assert not store.list(RUN)
    store.delete(store.list("_work/blobs/"))
    assert len(list(UniformFiles(store, form).load(sha256s))) == len(sha256s)


def test_what_people_are_shown_is_made_once_as_long_as_it_is_shown(store: Store) -> None:
    one, other, third = sorted(set(small_ledger(store)["sha256"]))[:3]
    pictures = Pictures(store)
    made = dict(zip((one, other, third), pictures.load([one, other, third]), strict=True))
    first = {"texts": [{"sha256": one}], "duplicates": [{"sha256": one, "kept_sha256": other}], "shortcuts": []}
    assert load_pictures(pictures, first) == {one: made[one], other: made[other]}
    (name,) = written = store.list("_work/examples/")
    blob = store.get(blob_name(one))
    store.delete([blob_name(one)])
    assert load_pictures(pictures, first) == {one: made[one], other: made[other]}
    assert load_pictures(pictures, {"texts": []}) == {}
    assert store.list("_work/examples/") == written
    assert load_pictures(pictures, {"texts": [{"sha256": one}, {"sha256": third}]}) == {
        one: made[one],
        third: made[third],
    }
    assert list(store.get_table(name)["sha256"]) == [one, third]
    flip(store, name)
    store.put(blob_name(one), blob)
    assert load_pictures(pictures, first) == {one: made[one], other: made[other]}


def test_looks_of_an_earlier_recipe_are_not_used(store: Store) -> None:
    sha256s = list(small_ledger(store)["sha256"])
    now = load_looks(store, SMALL, RUN, sizes(sha256s))
    for name in store.list("_work/looks/3/"):
        earlier = now[now["sha256"].str.startswith(name[-9])].assign(text_score=99)
        put_sealed_table(store, name.replace("/3/", "/2/"), earlier, LOOK_SCHEMA)
        store.delete([name])
    assert len(store.list("_work/looks/2/")) > 0
    assert load_looks(store, SMALL, RUN, sizes(sha256s)).equals(now)


def test_letters_are_found_in_a_large_film_too() -> None:
    large = Image.fromarray(lettered("PORTABLE 12")).resize((2000, 2000), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "PNG")
    assert 6 <= look_of(file.getvalue())["text_score"] <= 11


def test_drift_compares_with_the_previous_audit() -> None:
    now = dict.fromkeys(TITLES, 1.0) | {"border_pictures": None}
    before = {"figures": {"images": 3, "source": 1}, "trend": [{"version": "2026-11-01", "figures": {}}]}
    drift = {each["name"]: each for each in measure_drift(now, before)}
    assert (drift["images"]["previous"], drift["images"]["current"], drift["images"]["change"]) == (3, 1.0, -2.0)
    assert (drift["patients"]["change"], drift["border_pictures"]["change"]) == (None, None)
    snapshot = {"version": "2026-11-02", "candidates": {"COVID": 3}, "settings": {}}
    trend = extend_trend(before, snapshot)
    assert [each["version"] for each in trend] == ["2026-11-01", "2026-11-02"]
    assert (trend[1]["figures"], trend[1]["candidates"]) == (before["figures"], {"COVID": 3})
    assert extend_trend(None, None) == []
    assert {each["previous"] for each in measure_drift(now, None)} == {None}


def test_each_pair_of_copies_is_shown_once_with_the_one_that_its_evidence_names_first() -> None:
    names = [f"pneumonia:chest_xray/train/NORMAL/{number}.jpeg (NORMAL)" for number in range(7)]
    rows = [row(number, "NORMAL", picture(number), cluster="b" if number > 3 else "a") for number in range(7)]
    rows[1] |= {"rule": "near_duplicate_image", "evidence": f"copy of {names[0]}: 4 of 256 bits"}
    rows[2] |= {"rule": "duplicate_image", "evidence": f"same pixels as {names[0]}"}
    rows[3] |= {"rule": "near_duplicate_image", "evidence": f"linked by a file name to {names[0]}"}
    for number, others in ((4, (6, 5)), (5, (6, 4)), (6, (5, 4))):
        evidence = "; ".join(f"copy of {names[other]}: 2 of 256 bits" for other in others)
        rows[number] |= {"rule": "duplicate_across_classes", "evidence": evidence}
    pairs = pick_duplicates(ledger(*rows))
    shown = [(pair["rule"], pair["left_out"][-6:], pair["kept"][-6:]) for pair in pairs]
    assert shown == [
        ("duplicate_across_classes", "4.jpeg", "6.jpeg"),
        ("duplicate_across_classes", "5.jpeg", "6.jpeg"),
        ("duplicate_image", "2.jpeg", "0.jpeg"),
        ("near_duplicate_image", "1.jpeg", "0.jpeg"),
    ]
    both = [row(n, kind, picture(n), cluster="c") for n, kind in enumerate(CLASSES[:2])]
    for one, other in (both, both[::-1]):
        evidence = f"same pixels as {other['source']}:{other['path']} ({other['class']})"
        one |= {"rule": "duplicate_across_classes", "evidence": evidence}
    (pair,) = pick_duplicates(ledger(*both))
    assert {pair["left_out"], pair["kept"]} == {"covid:images/0.jpg", "pneumonia:chest_xray/train/NORMAL/1.jpeg"}


def test_only_clear_candidates_for_text_are_picked() -> None:
    table = pd.DataFrame({"file": ["a", "b", "c"], "class": "COVID", "sha256": ["1", "2", "3"]})
    looks = pd.DataFrame({"sha256": ["1", "2", "3"], "text_score": [3, 9, 4]})
    assert [(each["file"], each["text_score"]) for each in pick_texts(table, looks)] == [("b", 9), ("c", 4)]


def test_the_sample_is_bounded_and_stable() -> None:
    names = [f"{number:064x}" for number in range(MOST_PER_CLASS + 5)]
    table = pd.DataFrame({"sha256": names, "class": "COVID"})
    drawn = draw_sample(table.sample(frac=1, random_state=0))
    assert list(drawn["sha256"]) == names[:MOST_PER_CLASS]


def test_the_control_is_frontal_x_rays_of_one_collection() -> None:
    table = ledger(
        row(0, "COVID", picture(0)),
        row(1, "COVID", picture(1), rule="not_drawn"),
        row(2, "COVID", picture(2), rule="near_duplicate_image"),
        row(3, "COVID", picture(3), **{"class": None, "rule": "other_finding", "finding": "SARS"}),
        row(4, "COVID", picture(4), **{"class": None, "rule": "other_finding", "view": "L"}),
        row(5, "COVID", picture(5), **{"class": "PNEUMONIA", "finding": "SARS"}),
        row(6, "NORMAL", picture(6)),
    )
    found = dict(zip(control_images(table)["path"], control_images(table)["label"], strict=True))
    assert found == {
        **{"images/0.jpg": "COVID", "images/1.jpg": "COVID"},
        **{"images/3.jpg": "OTHER", "images/5.jpg": "OTHER"},
    }


def test_the_classes_within_a_collection_are_those_of_the_one_that_has_most() -> None:
    rows = [("pneumonia", "NORMAL"), ("pneumonia", "PNEUMONIA"), ("nih", "NORMAL"), ("covid", "COVID")]
    sample = pd.DataFrame([*rows, ("nih", "NORMAL"), ("nih", "NORMAL"), ("nih", "PNEUMONIA")])
    sample.columns = pd.Index(["source", "class"])
    found = within_collection(sample)
    assert set(found["source"]) == {"nih"}
    assert found["label"].tolist() == ["NORMAL", "NORMAL", "NORMAL", "PNEUMONIA"]
    assert within_collection(sample.head(1)).empty


def test_a_collection_of_too_few_patients_is_not_asked_for() -> None:
    images = pd.DataFrame({"label": ["a"] * 6 + ["b"] * 6, "group": [*"123456", *"ttttvv"]})
    assert enough_of_each(images)["label"].unique().tolist() == ["a"]


def probe(level: str, accuracy: float | None) -> dict[str, Any]:
    facts = {"name": "border", "question": "classes", "sees": "the border", "chance": 0.333}
    return facts | {"level": level, "accuracy": accuracy}


@pytest.mark.parametrize(
    ("levels", "attribute", "level"),
    [
        (["none", "strong"], "none", "strong"),
        (["none", "none"], "some", "some"),
        (["none", "none"], "none", "none"),
        (["unmeasured"], "none", "none"),
        (["unmeasured"], "unmeasured", "unmeasured"),
    ],
)
def test_the_verdict_is_that_of_the_worst(levels: list[str], attribute: str, level: str) -> None:
    probes = [probe(name, None if name == "unmeasured" else 0.9) for name in levels]
    found = verdict(probes, [{"name": "view", "level": attribute}], [{"name": "x", "passed": True}], [])
    assert found["level"] == level
    assert found["sentences"][-1] == "1 of 1 checks passed."


@pytest.mark.parametrize(
    ("levels", "attribute", "said"),
    [
        (
            ["none", "strong"],
            "none",
            ["names the class of 91 % of the images rightly (guessing: 33 %); it sees only x1."],
        ),
        (["none", "none"], "strong", ["The class goes strongly with: view.", "did clearly better than guessing."]),
        (["some", "none"], "strong", ["names the class of 90 % of the", "The class goes strongly with: view."]),
        (["none", "unmeasured"], "none", ["No classifier that sees no lung did clearly better than guessing."]),
        (["unmeasured"], "none", []),
    ],
)
def test_the_verdict_cites_no_evidence_that_is_none(levels: list[str], attribute: str, said: list[str]) -> None:
    accuracies = [None if level == "unmeasured" else 0.9 + index / 100 for index, level in enumerate(levels)]
    probes = [probe(*each) | {"sees": f"x{index}"} for index, each in enumerate(zip(levels, accuracies, strict=True))]
    found = verdict(probes, [{"name": "view", "level": attribute}], [{"name": "x", "passed": True}], [])
    assert len(found["sentences"]) == len(said) + 1
    for sentence, part in zip(found["sentences"], said, strict=False):
        assert part in sentence


def test_the_verdict_tells_what_is_accepted_from_what_a_person_is_asked() -> None:
    passed = {"name": "x", "passed": True}
    failed = {"name": "shrink_COVID", "passed": False, "accepted_by": None}
    asked = verdict([], [{"name": "view", "level": "none"}], [failed, passed], [])
    assert asked["sentences"] == ["1 of 2 checks passed; shrink_COVID failed, and a person is asked."]
    accepted = [{"how": "approval", "user": "reviewer"}]
    settled = verdict([], [{"name": "view", "level": "none"}], [failed | {"accepted_by": "reviewer"}, passed], accepted)
    assert settled["sentences"] == ["1 of 2 checks passed, 1 failed and was accepted by reviewer."]


def test_a_collection_that_is_too_small_is_reported_without_a_warning() -> None:
    """Warnings of this package are errors in tests."""
    bodies = [picture(number) for number in range(6)]
    rows = [
        row(number, CLASSES[number % 3], body) | {"label": CLASSES[number % 3]} for number, body in enumerate(bodies)
    ]
    looks = [look_of(body) for body in bodies]
    table = pd.DataFrame([each | look for each, look in zip(rows, looks, strict=True)]).assign(
        file="x", sex=None, **dict.fromkeys(CLINICAL)
    )
    probes = run_probes(table, "classes")
    assert {each.level for each in probes} == {"unmeasured"}
    assert probes[0].sentence == "Not measured: it takes 5 patients of each kind."
    nobody = who_judges(table, table.iloc[:0].assign(linked=False))
    elsewhere = check_elsewhere(table, nobody, {})
    assert (elsewhere["level"], elsewhere["judges"]) == ("unmeasured", [])
    figures = main_figures(
        measure_confounding(table), describe_ages(table), count_patients(table), probes, external.figures(elsewhere)
    )
    for drawing in (plot_probes([each.as_dict() for each in probes]), plot_trend([], figures)):
        assert drawing.startswith("<svg")
    assert plot_ages(describe_ages(table)).count("COVID (n = 2)") == 1
    assert plot_ages(describe_ages(table.assign(age=None))).startswith("<svg")
    assert pick_shortcuts(table, probes) == []
    assert [check.passed for check in check_pictures(ledger(), pd.Series(dtype=int), "frontal")] == [True] * 5


@pytest.mark.parametrize("url", ["http://[bad", "https://[::1", "//\u2100/x", "", "text"])
def test_an_address_that_cannot_be_read_is_no_site(url: str) -> None:
    sites = attributes(manifest(row(1, "COVID", picture(1), url=url)))["site"]
    assert sites.tolist() == ["not stated"]
