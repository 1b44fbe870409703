"""What is kept under `_work` is used only if it is what was written there."""

from __future__ import annotations

import logging

import pandas as pd
import pyarrow as pa
import pytest

from cxr_snapshot.errors import DamagedObjectError, LostBlobError, MissingObjectError, StorageUnavailableError
from cxr_snapshot.store import seals
from cxr_snapshot.store.blobs import find_lost, get_blob
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import (
    change_sealed,
    find_sealed,
    find_sealed_table,
    get_sealed,
    get_sealed_table,
    put_sealed,
    put_sealed_table,
)
from support.damage import DAMAGES, flip
from support.stores import copied_bucket

NAME, BODY = "_work/a/b.bin", bytes(range(256))
SCHEMA = pa.schema([("sha256", pa.string()), ("number", pa.int64())])


def assert_noticed(store: Store, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DamagedObjectError, match=f"{name} is damaged: .* Clear the task x"):
        get_sealed(store, name, "Clear the task x.")
    with caplog.at_level(logging.WARNING, "cxr_snapshot"):
        assert find_sealed(store, name) == (None, store.fetch(name).etag)
    assert f"{store.uri(name)} is damaged" in caplog.text
    assert store.damaged == [name]


def test_what_was_written_is_read_also_from_a_copy_of_the_bucket(store: Store) -> None:
    put_sealed(store, NAME, BODY)
    for each in (store, copied_bucket(store)):
        assert get_sealed(each, NAME, "") == BODY
        assert find_sealed(each, NAME)[0] == BODY
        assert each.damaged == []


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_damage_is_noticed(store: Store, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    put_sealed(store, NAME, BODY)
    DAMAGES[damage](store, NAME)
    assert_noticed(store, NAME, caplog)


def test_another_sealed_object_in_its_place_is_noticed(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    put_sealed(store, NAME, BODY)
    put_sealed(store, "_work/a/c.bin", b"another")
    store.copy("_work/a/c.bin", NAME)
    assert_noticed(store, NAME, caplog)


def test_an_object_without_seal_is_noticed(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.put(NAME, BODY)
    assert_noticed(store, NAME, caplog)


def test_what_is_missing_is_no_damage(store: Store) -> None:
    assert find_sealed(store, NAME) == (None, None)
    assert find_sealed_table(store, NAME) is None
    with pytest.raises(MissingObjectError, match=r"does not exist\. Clear the task x"):
        get_sealed(store, NAME, "Clear the task x.")
    assert store.damaged == []


@pytest.mark.parametrize("before", ["missing", "damaged", "sound"])
@pytest.mark.parametrize("new", [b"new", None])
def test_a_change_gets_what_fits_its_seal_and_writes_what_it_returns(
    store: Store, before: str, new: bytes | None
) -> None:
    if before != "missing":
        put_sealed(store, NAME, BODY)
    if before == "damaged":
        flip(store, NAME)
    held = {name: store.get(name) for name in store.list("_work/")}
    given = []
    change_sealed(store, NAME, lambda body: given.append(body) or new, "")
    assert given == [BODY if before == "sound" else None]
    if new is None:
        assert {name: store.get(name) for name in store.list("_work/")} == held
    else:
        assert get_sealed(store, NAME, "") == new


def test_a_change_is_made_again_of_what_another_run_wrote(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    others = iter([b"a", b"b"])

    def add(body: bytes | None) -> bytes:
        if (other := next(others, None)) is not None:  # between reading and writing
            put_sealed(store, NAME, other)
        return (body or b"") + b"+"

    change_sealed(store, NAME, add, "")
    assert get_sealed(store, NAME, "") == b"b+"
    monkeypatch.setattr(seals, "_SAVES", 2)
    others = iter([b"c", b"d"])
    with pytest.raises(StorageUnavailableError, match=r"was changed by others 2 times in a row\. Withdraw again\."):
        change_sealed(store, NAME, add, "Withdraw again.")
    assert get_sealed(store, NAME, "") == b"d"


def test_a_table_that_decodes_to_other_values_is_not_used(store: Store) -> None:
    put_sealed_table(store, NAME, pd.DataFrame({"sha256": ["a"], "number": [1]}), SCHEMA)
    assert get_sealed_table(store, NAME, "")["number"].tolist() == [1]
    store.put_table(NAME, pd.DataFrame({"sha256": ["a"], "number": [2]}), SCHEMA)
    assert find_sealed_table(store, NAME) is None
    with pytest.raises(DamagedObjectError):
        get_sealed_table(store, NAME, "")


def test_a_flip_anywhere_in_an_unsealed_table_is_never_a_raw_error(store: Store) -> None:
    store.put_table(NAME, pd.DataFrame({"sha256": ["a"] * 50, "number": range(50)}), SCHEMA)
    sound = store.get(NAME)
    found = 0
    for place in range(0, len(sound), 7):
        store.put(NAME, sound[:place] + bytes([sound[place] ^ 0x55]) + sound[place + 1 :])
        try:
            store.get_table(NAME)
        except DamagedObjectError:
            found += 1
    assert found


def test_blobs_are_checked_by_their_names(store: Store) -> None:
    sha256 = "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"  # of BODY
    with pytest.raises(LostBlobError, match="does not exist"):
        get_blob(store, sha256)
    store.put(blob_name(sha256), BODY)
    assert get_blob(store, sha256) == BODY
    assert find_lost(store, [sha256]) == set()
    flip(store, blob_name(sha256))
    with pytest.raises(LostBlobError, match=f"{sha256} is damaged"):
        get_blob(store, sha256)
    assert find_lost(store, [sha256, "0" * 64]) == {sha256, "0" * 64}
