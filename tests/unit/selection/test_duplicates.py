"""What becomes of pictures that are there more than once."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import DisjointSet

from cxr_snapshot.inspection.features import SIDE, Features
from cxr_snapshot.selection import duplicates
from cxr_snapshot.selection.copies import Picture
from cxr_snapshot.selection.duplicates import MAX_CLUSTER, MAX_NAMED, partners_in, resolve_duplicates
from cxr_snapshot.tables import LEDGER_SCHEMA, conform
from support.fingerprints import distance
from support.ledgers import with_kinds

KEY = ["source", "path"]


def fingerprint(number: int) -> str:
    return np.random.default_rng(number).bytes(32).hex()


def flip(text: str, bits: int, start: int = 0) -> str:
    return f"{int(text, 16) ^ (((1 << bits) - 1) << start):064x}"


def record(name: str, kind: str | None = "COVID", **others: Any) -> dict[str, Any]:
    """Return a ledger row with a picture of its own."""
    number = sum(name.encode())
    facts = {
        "source": "pneumonia" if kind in ("NORMAL", "PNEUMONIA") else "covid",
        "path": name,
        "class": kind,
        "finding": {"COVID": "COVID-19"}.get(str(kind), kind),
        "patient_id": f"covid:{name}",
        "in_upstream": True,
        "sha256": f"{number:064x}",
        "bytes": 1000,
        "width": 100,
        "height": 100,
        "pixel_sha256": f"{number:064x}",
        "phash": fingerprint(number),
    }
    return with_kinds(facts | others)


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    return conform(pd.DataFrame(rows), LEDGER_SCHEMA)


def resolve(rows: pd.DataFrame, **republished: list[str]) -> pd.DataFrame:
    """Resolve duplicates where a copy is what lies at most 50 bits apart."""
    known = rows.dropna(subset="phash").groupby("pixel_sha256")["phash"].first()
    links = DisjointSet(known.index)
    for one, other in combinations(known.index, 2):
        if distance(known[one], known[other]) <= 50:
            links.merge(one, other)
    numbers = {name: list(known.index).index(links[name]) for name in known.index}
    blank = Features(bytes(SIDE * SIDE), b"", b"")
    pictures = {name: Picture(known[name], blank) for name in known.index}
    return resolve_duplicates(rows, numbers, pictures, republished)


def rules(resolved: pd.DataFrame) -> dict[str, str | None]:
    return {
        path: None if pd.isna(rule) else rule for path, rule in zip(resolved["path"], resolved["rule"], strict=True)
    }


def evidence(resolved: pd.DataFrame, path: str) -> str:
    return str(resolved.set_index("path").loc[path, "evidence"])


SAME = {"pixel_sha256": "a" * 64, "phash": fingerprint(1)}
NEAR = {"pixel_sha256": "b" * 64, "phash": flip(fingerprint(1), 50)}
MEASURED = "50 of 256 bits apart, pictures correlate by 0.00; 0 of 0 places agree, too few to compare detail"
FAR = {"pixel_sha256": "c" * 64, "phash": flip(fingerprint(1), 51)}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({}, {}, None),
        (SAME, SAME, "duplicate_image"),
        (SAME, NEAR, "near_duplicate_image"),
        (SAME, FAR, None),
    ],
)
def test_within_a_class_the_first_stays(first: dict[str, Any], second: dict[str, Any], expected: str | None) -> None:
    resolved = resolve(ledger(record("a.jpg", **first), record("b.jpg", **second)))
    assert rules(resolved) == {"a.jpg": None, "b.jpg": expected}


@pytest.mark.parametrize(
    "better",
    [
        {"width": 101, "bytes": 1, "sha256": "f" * 64},
        {"bytes": 1001, "sha256": "f" * 64},
        {"sha256": "0" * 64},
    ],
)
def test_the_largest_picture_then_file_then_lowest_hash_stays(better: dict[str, Any]) -> None:
    copies = ledger(record("a.jpg", **SAME), record("b.jpg", **NEAR | better))
    assert rules(resolve(copies)) == {"a.jpg": "near_duplicate_image", "b.jpg": None}


def test_equal_files_stay_by_name() -> None:
    copies = ledger(record("b.jpg", **SAME, sha256="1" * 64), record("a.jpg", **SAME, sha256="1" * 64))
    assert rules(resolve(copies)) == {"a.jpg": None, "b.jpg": "duplicate_image"}


def test_evidence_names_partner_and_distance() -> None:
    resolved = resolve(ledger(record("a.jpg", **SAME), record("b.jpg", **SAME), record("c.jpg", **NEAR)))
    assert evidence(resolved, "b.jpg") == "same pixels as covid:a.jpg (COVID)"
    assert evidence(resolved, "c.jpg") == f"linked by another copy to covid:a.jpg (COVID): {MEASURED}"


@pytest.mark.parametrize("copy", [SAME, NEAR])
def test_across_classes_all_leave(copy: dict[str, Any]) -> None:
    pictures = ledger(record("a.jpg", **SAME), record("b.jpg", "NORMAL", **copy), record("c.jpg", **SAME))
    resolved = resolve(pictures)
    assert set(rules(resolved).values()) == {"duplicate_across_classes"}
    how, measured = ("same pixels as", "") if copy is SAME else ("linked by another copy to", f": {MEASURED}")
    partners = f"{how} pneumonia:b.jpg (NORMAL){measured}; same pixels as covid:c.jpg (COVID)"
    assert evidence(resolved, "a.jpg") == partners


def test_contradiction_spreads_along_a_chain() -> None:
    third = {"pixel_sha256": "d" * 64, "phash": flip(NEAR["phash"], 50, start=60)}
    pictures = ledger(record("a.jpg", **SAME), record("b.jpg", **NEAR), record("c.jpg", "PNEUMONIA", **third))
    assert set(rules(resolve(pictures)).values()) == {"duplicate_across_classes"}


@pytest.mark.parametrize(
    ("partner", "expected"),
    [
        # What upstream says of a record that is out counts as well.
        ({"kind": None, "finding": "SARS", "rule": "other_finding"}, "duplicate_across_classes"),
        ({"kind": None, "finding": "No Finding", "rule": "other_finding"}, "duplicate_across_classes"),
        ({"kind": None, "finding": "Pneumonia/Fungal", "rule": "not_xray"}, "duplicate_across_classes"),
        ({"kind": "COVID", "rule": "contradictory_rows"}, "duplicate_across_classes"),
        # What it leaves open, or agrees with, does not.
        ({"kind": None, "finding": "todo", "rule": "unknown_finding"}, None),
        ({"kind": None, "finding": None, "rule": "no_metadata_row"}, None),
        ({"kind": "COVID", "rule": "unwanted_view"}, None),
    ],
)
def test_records_that_are_out_take_part(partner: dict[str, Any], expected: str | None) -> None:
    facts = {name: value for name, value in partner.items() if name != "kind"}
    pictures = ledger(
        record("a.jpg", **SAME), record("out.jpg", partner["kind"], **NEAR, **facts, evidence="as it was")
    )
    resolved = resolve(pictures)
    assert rules(resolved) == {"a.jpg": expected, "out.jpg": partner["rule"]}
    assert evidence(resolved, "out.jpg") == "as it was"
    if expected:
        assert f", {partner['rule']})" in evidence(resolved, "a.jpg")


def test_a_file_that_another_collection_republishes_is_one_film() -> None:
    other = {"source": "hannover", "width": 200}
    pictures = ledger(record("images/1a.jpg"), record("png/1a.png", **other), record("png/1b.png", **other))
    assert set(rules(resolve(pictures)).values()) == {None}
    resolved = resolve(pictures, covid=["hannover"])
    assert rules(resolved) == {"images/1a.jpg": "near_duplicate_image", "png/1a.png": None, "png/1b.png": None}
    assert evidence(resolved, "images/1a.jpg") == "linked by a file name to hannover:png/1a.png (COVID)"
    assert resolved["cluster"].nunique() == 2, "so that they are in one split"


def test_equal_names_within_a_collection_say_nothing() -> None:
    pictures = ledger(record("images/1a.jpg"), record("more/1a.jpg"), record("png/1b.png", source="hannover"))
    assert set(rules(resolve(pictures, covid=["hannover"])).values()) == {None}


def test_contradictory_subtypes() -> None:
    def pictures(*subtypes: str | None) -> pd.DataFrame:
        return ledger(*(record(f"{n}.jpg", "PNEUMONIA", **SAME, subtype=name) for n, name in enumerate(subtypes)))

    assert set(rules(resolve(pictures("viral", "bacterial"))).values()) == {"duplicate_across_classes"}
    assert set(rules(resolve(pictures("viral", None))).values()) == {None, "duplicate_image"}


def lookalikes(count: int) -> list[dict[str, Any]]:
    return [
        record(f"{number:03}.jpg", phash=flip(fingerprint(5), 10, start=number), pixel_sha256=f"{number:064x}")
        for number in range(count)
    ]


def test_a_cluster_up_to_the_limit_is_believed() -> None:
    resolved = resolve(ledger(*lookalikes(MAX_CLUSTER)))
    assert resolved["rule"].isna().sum() == 1
    assert resolved["cluster"].nunique() == 1


def test_a_cluster_above_the_limit_is_not_believed_and_links_nobody() -> None:
    resolved = resolve(ledger(record("other.jpg"), *lookalikes(MAX_CLUSTER + 1)))
    assert rules(resolved).pop("other.jpg") is None
    assert resolved["rule"].eq("too_many_lookalikes").sum() == MAX_CLUSTER + 1
    assert resolved["cluster"].nunique() == MAX_CLUSTER + 2
    assert evidence(resolved, "000.jpg") == "one of 21 different pictures that look alike"


def test_many_equal_copies_are_no_crowd() -> None:
    resolved = resolve(ledger(*(record(f"{number}.jpg", **SAME) for number in range(50))))
    assert resolved["rule"].value_counts().to_dict() == {"duplicate_image": 49}


def test_contradictory_evidence_is_kept_short() -> None:
    copies = [record(f"{number:02}.jpg", **SAME) for number in range(14)]
    resolved = resolve(ledger(record("x.jpg", "NORMAL", **SAME), *copies))
    assert evidence(resolved, "x.jpg").endswith("; 4 more")


def test_many_contradictory_copies_cost_time_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    relation = duplicates._relation
    monkeypatch.setattr(duplicates, "_relation", lambda *rows: asked.append(1) or relation(*rows))
    copies = [record(f"{n}.jpg", "COVID" if n % 2 else "NORMAL", **SAME, sha256=f"{n:064x}") for n in range(300)]
    resolved = resolve(ledger(*copies))
    assert resolved["rule"].eq("duplicate_across_classes").all()
    assert resolved["evidence"].str.endswith(f"; {299 - MAX_NAMED} more").all()
    assert len(asked) == 300 * MAX_NAMED
    assert not any(f":{path} (" in text for path, text in zip(resolved["path"], resolved["evidence"], strict=True))


def test_without_any_picture_nothing_changes() -> None:
    rows = ledger(record("a.jpg", sha256=None, pixel_sha256=None, phash=None, rule="missing_file"))
    assert rules(resolve(rows)) == {"a.jpg": "missing_file"}


@st.composite
def ledgers(draw: st.DrawFn) -> pd.DataFrame:
    """Draw ledgers of up to 14 records over few pictures, so that copies of all kinds abound."""
    rows = []
    for number in range(draw(st.integers(1, 14))):
        base, bits = draw(st.integers(1, 4)), draw(st.sampled_from([0, 0, 20, 40, 80]))
        kind, finding, rule = draw(
            st.sampled_from(
                [
                    ("COVID", "COVID-19", None),
                    ("COVID", "COVID-19", None),
                    ("COVID", "COVID-19", "unwanted_view"),
                    ("NORMAL", "NORMAL", None),
                    ("PNEUMONIA", "PNEUMONIA", None),
                    (None, "Pneumonia/Fungal", "other_finding"),
                    (None, None, "no_metadata_row"),
                ]
            )
        )
        pixels = f"{base:032x}{bits:032x}"
        size = {"bytes": draw(st.integers(1, 3)), "width": draw(st.integers(1, 2)), "sha256": f"{number:064x}"}
        facts = {"pixel_sha256": pixels, "phash": flip(fingerprint(base), bits), "finding": finding, "rule": rule}
        rows.append(record(f"{number}.jpg", kind, **facts, **size))
    return ledger(*rows)


@given(ledgers(), st.randoms(use_true_random=False))
def test_properties(before: pd.DataFrame, rng: random.Random) -> None:
    after = resolve(before)
    # No row is lost, and none that was out changes its rule.
    assert list(after["path"]) == list(before["path"])
    out = before["rule"].notna()
    pd.testing.assert_series_equal(after.loc[out, "rule"], before.loc[out, "rule"])
    # Each exclusion has its reason and evidence.
    left = after["rule"].notna() & before["rule"].isna()
    assert after.loc[left, ["reason", "evidence"]].notna().all(axis=None)
    # Whoever is in looks like nobody else who is in, nor like anybody of another label.
    inside = after[after["rule"].isna()]
    for _, row in inside.iterrows():
        alike = after[after["phash"].map(lambda phash, own=row["phash"]: distance(own, phash) <= 50)]
        assert len(alike[alike["rule"].isna()]) == 1
        assert set(alike["finding"].dropna()) == {row["finding"]}
    # A picture of which all say the same is still there.
    for _, cluster in after.groupby("cluster"):
        was_in = before.loc[cluster.index, "rule"].isna().any()
        agreed = cluster["finding"].nunique() == 1
        assert cluster["rule"].isna().sum() == int(was_in and agreed)
    # The order of the input does not matter.
    order = list(before.index)
    rng.shuffle(order)
    shuffled = resolve(before.loc[order].reset_index(drop=True))
    pd.testing.assert_frame_equal(
        shuffled.sort_values(KEY, ignore_index=True), after.sort_values(KEY, ignore_index=True)
    )


def test_the_copies_of_a_picture_that_shows_a_child_leave_with_it() -> None:
    child = record("child", rule="not_adult")
    copy = record("copy", source="hannover", pixel_sha256=child["pixel_sha256"], phash=child["phash"])
    found = resolve(ledger(child, copy, record("another")))
    assert found["rule"].fillna("in").tolist() == ["not_adult", "not_adult", "in"]
    assert found["evidence"].iloc[1] == "same pixels as covid:child (COVID, not_adult)"


@pytest.mark.parametrize("path", ["a.jpg", "images/a (1).jpg", "a (COVID).jpg", "a: b; c.jpg", "ü.png"])
def test_the_partners_can_be_read_from_the_evidence(path):
    same = record(path)
    resolved = resolve(ledger(same, record("z.jpg", pixel_sha256=same["pixel_sha256"], phash=same["phash"], bytes=1)))
    assert partners_in(resolved["evidence"][1]) == [("covid", path)]
    across = resolve(ledger(same, record("z.jpg", "NORMAL", pixel_sha256=same["pixel_sha256"], phash=same["phash"])))
    assert [partners_in(text) for text in across["evidence"]] == [[("pneumonia", "z.jpg")], [("covid", path)]]
    assert partners_in("one of 30 different pictures that look alike") == []
