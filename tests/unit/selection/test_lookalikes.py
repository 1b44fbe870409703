"""What is found to be a copy, and what is remembered of it."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.inspection import descriptions
from cxr_snapshot.inspection.decoding import inspect_image
from cxr_snapshot.inspection.descriptions import Descriptions
from cxr_snapshot.selection import lookalikes
from cxr_snapshot.selection.copies import Picture
from cxr_snapshot.selection.duplicates import MAX_CLUSTER
from cxr_snapshot.selection.lookalikes import find_copies, load_copies
from cxr_snapshot.store.objects import Store, StoredObject, blob_name
from cxr_snapshot.tables import LEDGER_SCHEMA, conform
from support.paths import REAL_DATA
from upstream_simulator.phantom import draw

LOOKALIKES = REAL_DATA.parent / "lookalikes"
SEARCHED = ("covid",)
WORK = ("_work/descriptions/", "_work/lookalikes/")


def chest(number: int) -> Image.Image:
    return Image.fromarray(draw(("covid", "normal")[number % 2], np.random.default_rng(number))).resize((400, 400))


def cropped(image: Image.Image, pixels: int) -> Image.Image:
    return image.crop((pixels, pixels, image.width - pixels, image.height - pixels))


IMAGES = {
    "a": chest(1),
    "a, saved again": chest(1).resize((300, 300)),
    "a, cropped": cropped(chest(1), 40),
    "a, cropped more": cropped(chest(1), 70),  # too little of "a", but most of "a, cropped"
    "b": chest(2),
    "b, cropped": cropped(chest(2), 40),
    "c": chest(3),
}
COPIES = [{"a", "a, saved again", "a, cropped", "a, cropped more"}, {"b", "b, cropped"}, {"c"}]


def ledger(store: Store, names: Iterable[str]) -> pd.DataFrame:
    """Return a ledger of some images, and put their files into the store."""
    files = {}
    for name in names:
        IMAGES[name].save(file := io.BytesIO(), "PNG")
        files["covid", name] = file.getvalue()
    return ledger_of_files(store, files)


def ledger_of_files(store: Store, files: Mapping[tuple[str, str], bytes]) -> pd.DataFrame:
    """Return a ledger of image files by source and path, and put them into the store."""
    rows = []
    for (source, path), body in files.items():
        sha256 = hashlib.sha256(body).hexdigest()
        store.put(blob_name(sha256), body)
        rows.append({"source": source, "path": path, "sha256": sha256, "bytes": len(body)} | inspect_image(body))
    columns = ["bytes", "path", "phash", "pixel_sha256", "sha256", "source"]
    return conform(pd.DataFrame(rows, columns=columns), LEDGER_SCHEMA)


def found_in(store: Store, table: pd.DataFrame, searched: Collection[str] = SEARCHED) -> dict[str, int]:
    """Find copies as a task does, which has nothing in memory."""
    return find_copies(store, table, searched, Descriptions(store))


def known_of(store: Store, table: pd.DataFrame, numbers: Mapping[str, int]) -> dict[str, Picture]:
    return load_copies(table, numbers, Descriptions(store))


def kept(store: Store) -> dict[str, StoredObject]:
    """Return what is kept of pictures and their copies."""
    return {name: item for folder in WORK for name, item in store.list(folder).items()}


def together(table: pd.DataFrame, numbers: dict[str, int]) -> list[set[str]]:
    """Return the names of the images that have equal numbers, in order."""
    groups = table["path"].groupby(table["pixel_sha256"].map(numbers))
    return sorted((set(names) for _, names in groups), key=sorted)


def decoding(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that grows with each file that is decoded."""
    asked: list[bytes] = []
    decoded = descriptions.decoded

    def spy(body: bytes):
        asked.append(body)
        return decoded(body)

    monkeypatch.setattr(descriptions, "decoded", spy)
    return asked


def test_copies_get_the_same_number_with_and_without_memory(store: Store) -> None:
    table = ledger(store, IMAGES)
    for _ in range(2):
        assert together(table, found_in(store, table)) == COPIES


def test_crops_are_looked_for_in_searched_collections_only(store: Store) -> None:
    table = ledger(store, IMAGES)
    assert {"a", "a, saved again"} in together(table, found_in(store, table, ()))
    assert {"a", "a, cropped"} not in together(table, found_in(store, table, ()))
    assert together(table, found_in(store, table)) == COPIES, "the collection is searched from now on"


@pytest.mark.parametrize(
    "nights",
    [
        pytest.param([["a", "b", "c"], list(IMAGES)], marks=pytest.mark.long),
        [list(IMAGES), ["a", "a, cropped more", "b"]],  # what linked the first two is gone
        [["a, cropped more", "c"], ["a, cropped more", "a"], ["a, cropped", "a", "b, cropped", "a, cropped more"]],
        pytest.param([list(IMAGES), [], ["c", "b"]], marks=pytest.mark.long),
    ],
)
def test_what_earlier_nights_found_changes_nothing(store: Store, nights: list[list[str]]) -> None:
    for names in nights:
        table = ledger(store, names)
        found = found_in(store, table)
        pictures = known_of(store, table, found)
        store.delete(kept(store))
        assert found == found_in(store, table)
        assert pictures == known_of(store, table, found)


def test_nothing_is_decoded_compared_or_written_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table, asked = ledger(store, IMAGES), decoding(monkeypatch)
    numbers = found_in(store, table)
    known_of(store, table, numbers)
    assert len(asked) == len(IMAGES)
    before = kept(store)
    monkeypatch.setattr(lookalikes, "confirm", None)
    assert found_in(store, table) == numbers
    known_of(store, table, numbers)
    assert kept(store) == before
    assert len(asked) == len(IMAGES)


def test_another_edition_describes_nothing_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ledger(store, IMAGES)
    numbers = found_in(store, table)
    asked = decoding(monkeypatch)
    assert found_in(store.edition("other"), table) == numbers
    assert asked == []


def test_a_night_looks_at_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    found_in(store, ledger(store, ["a", "b", "c"]))
    asked = decoding(monkeypatch)
    found_in(store, ledger(store, ["a", "b", "c", "b, cropped"]))
    assert len(asked) == 1


def test_pairs_are_decided_on_in_portions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookalikes, "_AT_ONCE", 1)
    table = ledger(store, IMAGES)
    assert together(table, found_in(store, table)) == COPIES


@pytest.mark.parametrize("damage", ["numbers", "descriptions"])
def test_what_was_remembered_and_is_damaged_is_found_out_again(store: Store, damage: str) -> None:
    table = ledger(store, IMAGES)
    numbers = found_in(store, table)
    pictures = known_of(store, table, numbers)
    names = [name for name in kept(store) if damage in name]
    for name in names:
        store.put(name, b"no table")
    assert found_in(store, table) == numbers
    assert known_of(store, table, numbers) == pictures
    assert names and set(names) == set(store.damaged)


def test_what_is_known_of_copies(store: Store) -> None:
    table = ledger(store, IMAGES)
    pictures = known_of(store, table, found_in(store, table))
    alone = set(table.loc[table["path"].eq("c"), "pixel_sha256"])
    assert pictures.keys() == set(table["pixel_sha256"]) - alone
    assert {each.phash for each in pictures.values()} == set(table.loc[table["path"].ne("c"), "phash"])


def test_a_crowd_is_not_described(store: Store) -> None:
    table = ledger(store, ["c"])
    crowd = {f"{number:064x}": 0 for number in range(MAX_CLUSTER + 1)}
    assert known_of(store, table.assign(pixel_sha256="0" * 64), crowd) == {}


def test_a_lost_file_is_named(store: Store) -> None:
    table = ledger(store, ["a", "b"])
    store.delete([blob_name(table["sha256"][1])])
    with pytest.raises(LostBlobError, match=table["sha256"][1]):
        found_in(store, table)


@pytest.mark.skipif(not LOOKALIKES.exists(), reason="the real lookalikes are not at hand")
def test_all_real_pairs_get_their_verdict_from_their_files_on(store: Store) -> None:
    pairs = list(csv.DictReader((LOOKALIKES / "pairs.csv").read_text(encoding="utf-8").splitlines()))
    names = {pair[side] for pair in pairs for side in "ab"}
    files = {(name.split("__")[0], name): (LOOKALIKES / "images" / name).read_bytes() for name in sorted(names)}
    table = ledger_of_files(store, files)
    numbers = table.set_index("path")["pixel_sha256"].map(found_in(store, table))
    found = {(pair["a"], pair["b"]): numbers[pair["a"]] == numbers[pair["b"]] for pair in pairs}
    assert found == {(pair["a"], pair["b"]): pair["verdict"] == "copy" for pair in pairs}
    assert len(found) == 22
