"""Groups, splits, and what moves between two snapshots."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.selection.splits import TARGET, assign_splits, moved_between_splits, split_report
from cxr_snapshot.tables import LEDGER_SCHEMA, MANIFEST_SCHEMA, conform

SALT = "s"


def record(name: str | None, patient: str | None, looks_like: str | None = None, **others: Any) -> dict[str, Any]:
    """Return a ledger row; without a name it is a metadata row that names no file."""
    facts = {"source": "covid", "path": name, "patient_id": patient, "cluster": looks_like or name, "class": "COVID"}
    return facts | {"sha256": None if name is None else hashlib.sha256(name.encode()).hexdigest()} | others


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    return conform(pd.DataFrame(rows), LEDGER_SCHEMA)


def groups(*rows: dict[str, Any]) -> list[str | None]:
    return [None if pd.isna(group) else group for group in assign_splits(ledger(*rows), SALT)["group"]]


def test_a_patient_is_a_group() -> None:
    assert groups(record("a", "covid:2"), record("b", "covid:1"), record("c", "covid:2")) == [
        "covid:2",
        "covid:1",
        "covid:2",
    ]


def test_look_alike_pictures_link_patients() -> None:
    assert groups(record("a", "covid:2", "x"), record("b", "covid:1", "x"), record("c", "covid:2")) == ["covid:1"] * 3


def test_a_file_in_two_rows_links_patients() -> None:
    second = record("a", "covid:7", sha256=None, cluster=None, rule="duplicate_row")
    assert groups(record("a", "covid:9"), second, record("b", "covid:7")) == ["covid:7"] * 3


def test_a_picture_that_is_out_links_patients() -> None:
    """1 and 2 share nothing, but both look like a third picture of which nothing is known."""
    rows = [record("a", "covid:1", "x"), record("b", None, "x", rule="no_metadata_row"), record("c", "covid:2", "x")]
    assert groups(*rows) == ["covid:1"] * 3


def test_the_first_patient_in_natural_order_gives_the_name() -> None:
    pictures = [record(name, name, "x") for name in ("covid:100", "covid:9", "covid:10", "pneumonia:person1")]
    assert set(groups(*pictures)) == {"covid:9"}
    assert set(groups(record("a", "covid:311b", "x"), record("b", "covid:311a", "x"))) == {"covid:311a"}
    assert set(groups(record("a", "covid:1", "x"), record("b", "covid:01", "x"))) == {"covid:01"}


def test_numbers_of_any_length_are_in_order() -> None:
    long = "9" * 5000
    assert set(groups(*(record(n, f"covid:{n}", "x") for n in (long, "9", "1" + long)))) == {"covid:9"}
    assert set(groups(*(record(n, f"covid:{n}", "x") for n in ("1" + long, long)))) == {f"covid:{long}"}


def test_without_a_patient_the_blob_gives_the_name() -> None:
    rows = [record("a", None, sha256="a" * 64), record("b", None, sha256="b" * 64)]
    assert groups(*rows) == ["covid:blob-" + "a" * 16, "covid:blob-" + "b" * 16]
    for patient in ("covid:5", "pneumonia:person5"):
        assert groups(record("a", None, "x"), record("b", patient, "x")) == [patient] * 2


def test_without_patient_and_file_there_is_no_group() -> None:
    missing = {"sha256": None, "cluster": None}
    rows = [record(None, None), record("b", None, **missing), record("a", None, **missing), record("a", "covid:1")]
    split = assign_splits(ledger(*rows), SALT)
    assert split["group"].isna().tolist() == split["split"].isna().tolist() == [True, True, False, False]


def test_many_groups_come_close_to_the_target() -> None:
    many = assign_splits(ledger(*(record(f"{number}", f"covid:{number}") for number in range(4000))), SALT)
    achieved = many["split"].value_counts(normalize=True)
    assert {name: pytest.approx(achieved[name], abs=0.02) for name in TARGET} == TARGET
    assert not many["split"].equals(assign_splits(many, "another salt")["split"])


def manifest(*rows: dict[str, Any]) -> pd.DataFrame:
    named = [row | {"file": f"images/{row['path']}", "source_sha256": row["sha256"]} for row in rows]
    return conform(pd.DataFrame(named), MANIFEST_SCHEMA)


def test_report() -> None:
    rows = [
        record("a", "covid:1", group="covid:1", split="train"),
        record("b", "covid:1", group="covid:1", split="train"),
        record("c", "covid:2", group="covid:2", split="test"),
        record("d", "pneumonia:1", group="pneumonia:1", split="train", **{"class": "NORMAL"}),
    ]
    report = split_report(manifest(*rows))
    assert report["target"] == {"train": 0.70, "validation": 0.15, "test": 0.15}
    assert report["COVID"] == {
        "train": {"images": 2, "groups": 1, "fraction": 0.6667},
        "validation": {"images": 0, "groups": 0, "fraction": 0.0},
        "test": {"images": 1, "groups": 1, "fraction": 0.3333},
    }
    assert report["all"]["train"] == {"images": 3, "groups": 2, "fraction": 0.75}
    assert report["PNEUMONIA"]["train"] == {"images": 0, "groups": 0, "fraction": 0.0}
    assert (report["groups_in_several_splits"], report["patients_in_several_splits"]) == (0, 0)
    leak = record("e", "covid:2", group="covid:2", split="train")
    assert split_report(manifest(*rows, leak))["groups_in_several_splits"] == 1
    assert split_report(manifest(*rows, leak | {"group": "covid:3"}))["patients_in_several_splits"] == 1


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (("covid:9", "covid:9", "train"), ("covid:9", "covid:2", "test"), "group covid:9 was merged into covid:2: "),
        (("covid:9", "covid:2", "test"), ("covid:9", "covid:9", "train"), "group covid:9 was parted from covid:2: "),
        (
            ("covid:9", "covid:9", "test"),
            ("covid:4", "covid:4", "train"),
            "the patient from covid:9 to covid:4",
        ),
        ((None, "covid:blob-1", "test"), ("covid:4", "covid:4", "train"), "the patient from nobody to covid:4"),
        (("covid:9", "covid:9", "test"), ("covid:9", "covid:9", "train"), "the settings changed (salt)"),
        (("covid:9", "covid:9", "test"), ("covid:9", "covid:2", "test"), None),
    ],
)
def test_moves_are_told_with_their_reason(
    before: tuple[str, str, str], after: tuple[str, str, str], reason: str | None
) -> None:
    old, new = (
        manifest(record("a", patient, group=group, split=split), record("z", "covid:99", group="g", split="train"))
        for patient, group, split in (before, after)
    )
    moved = moved_between_splits(old, new)
    if reason is None:
        assert moved.empty
        assert list(moved.columns) == list(moved_between_splits(old, old).columns)
    else:
        assert moved.loc[0, ["file", "previous_split", "split"]].tolist() == ["images/a", before[2], after[2]]
        assert reason in moved.loc[0, "reason"]
        assert len(moved) == 1


def test_images_of_one_snapshot_only_do_not_count_as_moved() -> None:
    old, new = (manifest(record(name, "covid:1", group="g", split="test")) for name in ("a", "b"))
    assert moved_between_splits(old, new).empty


@st.composite
def records(draw: st.DrawFn, patients: int = 6, pictures: int = 8) -> dict[str, Any]:
    patient = draw(st.none() | st.integers(1, patients))
    number = draw(st.none() | st.integers(1, 12))
    cluster = None if number is None else f"x{draw(st.integers(1, pictures))}"
    name = None if number is None else f"images/{number}"
    out = draw(st.sampled_from([None, None, "duplicate_image", "unwanted_view"]))
    return record(name, None if patient is None else f"covid:{patient}", cluster, rule=out)


@given(st.lists(records(), min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_nothing_leaks_and_order_does_not_matter(rows: list[dict[str, Any]], rng: random.Random) -> None:
    numbered = [row | {"metadata_line": number} for number, row in enumerate(rows)]
    after = assign_splits(ledger(*numbered), SALT)
    assert list(after["metadata_line"]) == list(range(len(rows)))  # no row is lost
    for shared in ("patient_id", "path", "cluster", "group"):
        assert (after.dropna(subset=[shared, "group"]).groupby(shared)["split"].nunique() == 1).all()
    identified = after["patient_id"].notna() | after["sha256"].notna()
    assert after["group"].notna().equals(identified)
    assert after["split"].notna().equals(identified)
    rng.shuffle(numbered)
    again = assign_splits(ledger(*numbered), SALT).sort_values("metadata_line", ignore_index=True)
    pd.testing.assert_frame_equal(again, after)


@given(st.lists(records(), min_size=1, max_size=10), st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=6))
def test_new_images_of_old_and_new_patients_move_nobody(
    rows: list[dict[str, Any]], added: list[tuple[int, bool]]
) -> None:
    """Neither a new picture of a patient who is there, nor one of a new patient, nor copies of it move anything."""
    patients = [row["patient_id"] for row in rows if row["patient_id"]]
    new = []
    for number, (patient, known) in enumerate(added):
        whose = patients[patient % len(patients)] if known and patients else f"covid:{100 + patient}"
        new.append(record(f"new/{number}", whose))
    before, after = assign_splits(ledger(*rows), SALT), assign_splits(ledger(*rows, *new), SALT)
    pd.testing.assert_frame_equal(after.head(len(rows)), before)


@given(st.lists(records(), min_size=1, max_size=10), st.data())
def test_a_new_patient_who_turns_out_to_be_an_old_one_moves_nobody(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    known = [row for row in rows if row["patient_id"] and row["path"]]
    copy_of = data.draw(st.sampled_from(known)) if known else record("images/1", "covid:1")
    copy = record("images/copy", "covid:500", copy_of["cluster"])
    before, after = assign_splits(ledger(*rows), SALT), assign_splits(ledger(*rows, copy), SALT)
    pd.testing.assert_frame_equal(after.head(len(rows)), before)
    if known:
        assert after["group"].iloc[-1] == before["group"][rows.index(copy_of)]
