"""Notes of what was taken back: none is lost, none is taken for another, and each says which records it is about."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.withdrawals import (
    Withdrawal,
    add_withdrawal,
    erased_files,
    load_withdrawals,
    told_of,
    withdrawals_digest,
)

ONE = Withdrawal("patient", "covid:1", "Asked for.", False, "2026-11-24T09:00:00+00:00", "ann", ("a",), ("p",))
RECORDS = pd.DataFrame(
    {
        "source": ["covid", "covid", "covid", "pneumonia"],
        "path": ["images/1.jpg", "images/2.jpg", None, "x"],
        "patient_id": ["covid:1", "covid:2", "covid:1", None],
        "pixel_sha256": ["p", "q", None, "p"],
        "sha256": ["a", "b", None, "d"],
    }
).astype("string")


def test_each_note_has_a_number_and_is_read_back(store: Store) -> None:
    assert load_withdrawals(store) == ()
    assert withdrawals_digest(()) is None
    first = add_withdrawal(store, ONE)
    second = add_withdrawal(store.edition("adults"), replace(ONE, value="covid:2"))
    assert (first.number, second.number) == (1, 2)
    assert load_withdrawals(store) == load_withdrawals(store.edition("adults")) == (first, second)
    assert withdrawals_digest((first,)) != withdrawals_digest((first, second))


@pytest.mark.parametrize(
    ("again", "number"),
    [
        ({"by": "bob", "time": "2026-11-25T09:00:00+00:00"}, 1),
        ({"sha256s": (), "pixels": ()}, 1),  # less is found once it is erased
        ({"sha256s": ("a", "b")}, 2),
        ({"erase": True}, 2),
        ({"reason": "Another one."}, 2),
    ],
)
def test_what_a_note_covers_gets_no_other_one(store: Store, again: dict[str, object], number: int) -> None:
    add_withdrawal(store, ONE)
    assert add_withdrawal(store, replace(ONE, **again)).number == number  # type: ignore[arg-type]


def test_a_note_that_is_lost_or_damaged_stops_everything(store: Store) -> None:
    for value in ("covid:1", "covid:2"):
        add_withdrawal(store, replace(ONE, value=value))
    body = store.get("_work/withdrawals/000001.json")
    store.delete(["_work/withdrawals/000001.json"])
    with pytest.raises(DamagedObjectError, match=r"000001.json is missing.*Put it back"):
        load_withdrawals(store)
    store.put("_work/withdrawals/000001.json", body.replace(b"covid:1", b"covid:3"))
    with pytest.raises(DamagedObjectError, match=r"not those that were written.*Put it back"):
        load_withdrawals(store)


@pytest.mark.parametrize(
    ("wanted", "hit"),
    [
        (ONE, [0, 2, 3]),  # the patient's, and the same pixels elsewhere
        (replace(ONE, kind="source-path", value="covid:images/2.jpg", sha256s=(), pixels=()), [1]),
        (replace(ONE, kind="image", value="d", sha256s=("d",), pixels=()), [3]),
        (replace(ONE, kind="image", value="covid:1", sha256s=(), pixels=()), []),  # only a patient has that name
    ],
)
def test_a_note_tells_which_records_it_is_about(wanted: Withdrawal, hit: list[int]) -> None:
    told = told_of([replace(wanted, number=7)], RECORDS, RECORDS["sha256"])
    assert list(told[told.notna()].index) == hit
    assert set(told.dropna()) <= {"withdrawal 7 of 2026-11-24: Asked for."}


def test_only_what_is_to_be_erased_is(store: Store) -> None:
    assert erased_files([ONE]) == set()
    assert erased_files([ONE, replace(ONE, erase=True, sha256s=("b",))]) == {"b"}
