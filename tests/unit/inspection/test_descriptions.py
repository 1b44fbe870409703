"""What finds crops is made when an image is inspected; what was not made then is made when it is asked for, once."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_snapshot.errors import LostBlobError, StorageUnavailableError
from cxr_snapshot.inspection import descriptions, results
from cxr_snapshot.inspection.descriptions import Descriptions
from cxr_snapshot.inspection.features import Features, describe
from cxr_snapshot.inspection.results import inspect_shard, load_inspections
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed_table
from upstream_simulator.phantom import draw

FOLDER = "_work/descriptions/"
CHESTS = [draw("normal", np.random.default_rng(number)) for number in range(8)]


def put(store: Store, number: int, mode: str = "L") -> str:
    """Put a file of a chest into the store, and return its SHA-256."""
    Image.fromarray(CHESTS[number]).convert(mode).save(file := io.BytesIO(), "PNG")
    return put_bytes(store, file.getvalue())


def put_bytes(store: Store, body: bytes) -> str:
    sha256 = hashlib.sha256(body).hexdigest()
    store.put(blob_name(sha256), body)
    return sha256


def inspect(store: Store, sha256s: list[str], searched: list[str]) -> None:
    images = pd.DataFrame({"sha256": sha256s, "bytes": 1})
    for shard in range(INSPECT_SHARDS):
        inspect_shard(store, images, shard, pd.Series(searched, dtype="string"))


def described(store: Store, sha256s: list[str], *, keep: bool = False) -> dict[str, Features]:
    """Return descriptions as a task sees them that has nothing in memory, by SHA-256 of the file."""
    return Descriptions(store).of(pictures(sha256s), keep=keep)


def pictures(sha256s: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"sha256": sha256s, "bytes": 10_000}, index=sha256s)


def test_what_was_inspected_is_described_without_its_file(store: Store) -> None:
    names = [put(store, number) for number in range(6)]
    inspect(store, names, names)
    store.delete(blob_name(sha256) for sha256 in names)
    assert described(store, names) == dict(zip(names, map(describe, CHESTS), strict=False))
    assert list(described(store.edition("other"), names)) == names, "all editions share them"


def test_gray_pixels_saved_as_colour_are_described_as_the_same(store: Store) -> None:
    names = [put(store, 0), put(store, 0, "RGB")]
    inspect(store, names, names)
    assert len(set(described(store, names).values())) == 1


def test_only_sound_images_of_searched_collections_are_described(store: Store) -> None:
    searched, other = put(store, 0), put(store, 1)
    unsound = put_bytes(store, b"no image")
    inspect(store, [searched, other, unsound], [searched, unsound])
    assert len(load_inspections(store)) == 3
    kept = [sha256 for name in store.list(FOLDER) for sha256 in store.get_table(name)["sha256"]]
    assert kept == [searched]


def test_nothing_is_written_where_no_collection_is_searched(store: Store) -> None:
    names = [put(store, number) for number in range(2)]
    inspect(store, names, [])
    assert not store.list(FOLDER)


def test_what_was_inspected_before_is_described_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [put(store, number) for number in range(3)]
    inspect(store, names, [])  # as older versions did
    inspect(store, names, names)
    found = described(store, names, keep=True)
    monkeypatch.setattr(descriptions, "decoded", None)
    assert described(store, names) == found


def test_what_is_not_to_be_kept_is_not(store: Store) -> None:
    described(store, [put(store, 0)])
    assert not store.list(FOLDER)


def test_what_counts_as_inspected_is_described_even_if_the_task_is_killed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [put(store, number) for number in range(8)]

    def die(*_: object) -> None:
        raise StorageUnavailableError("killed")

    monkeypatch.setattr(results, "SAVE_EVERY", 1)
    with monkeypatch.context() as killing, pytest.raises(StorageUnavailableError):
        killing.setattr(results, "add_sealed_rows", die)
        inspect(store, names, names)
    assert load_inspections(store).empty
    (first, *_) = (sha256 for name in store.list(FOLDER) for sha256 in store.get_table(name)["sha256"])
    inspect(store, names, names)
    store.delete(blob_name(sha256) for sha256 in names)
    assert described(store, names).keys() == set(names), f"{first} is there once"


def test_two_that_describe_at_the_same_time_lose_nothing_of_each_other(store: Store) -> None:
    names = [put(store, number) for number in range(8)]
    ours, theirs = Descriptions(store), Descriptions(store)
    for each, part in ((ours, names[:1]), (theirs, names[1:4]), (ours, names[4:])):
        each.of(pictures(part), keep=True)
    store.delete(blob_name(sha256) for sha256 in names)
    assert described(store, names).keys() == set(names)


def test_a_lost_file_is_named(store: Store) -> None:
    with pytest.raises(LostBlobError, match="0" * 64):
        described(store, ["0" * 64])


def test_a_full_table_is_left_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [put(store, number) for number in range(4)]
    inspect(store, names[:2], names)
    before = {name: found.etag for name, found in store.list(FOLDER).items()}
    monkeypatch.setattr(descriptions, "_FULL", 1)
    inspect(store, names, names)
    after = {name: found.etag for name, found in store.list(FOLDER).items()}
    assert after.items() >= before.items()
    assert len(after) > len(before)
    assert described(store, names) == dict(zip(names, map(describe, CHESTS), strict=False))


def test_what_an_older_version_kept_is_read(store: Store) -> None:
    names = [put(store, number) for number in range(3)]
    inspect(store, names, names)
    for name in store.list(FOLDER):
        put_sealed_table(store, name.replace("-0000", ""), store.get_table(name), descriptions._SCHEMA)
        store.delete([name])
    store.delete(blob_name(sha256) for sha256 in names)
    assert described(store, names).keys() == set(names)


def test_a_damaged_table_is_gone_and_what_it_held_is_described_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(descriptions, "_FULL", 1)
    names = [put(store, number) for number in range(6)]
    for name in names:
        inspect(store, [name], [name])
    (first, *others) = store.list(FOLDER)
    assert others
    store.put(first, b"damaged")
    assert described(store, names, keep=True) == dict(zip(names, map(describe, CHESTS), strict=False))
    caplog.clear()
    monkeypatch.setattr(descriptions, "decoded", None)
    assert described(store, names).keys() == set(names)
    assert "damaged" not in caplog.text
