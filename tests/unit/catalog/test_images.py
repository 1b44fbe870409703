"""Images of a snapshot that is too large to be read as a whole."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pandas as pd
import pytest

from cxr_snapshot.catalog.images import FACETS, NOT_STATED, Images
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError
from cxr_snapshot.publication.shards import shard_without
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.ranges import Kept
from support.many_images import RARE, put_many, small_picture
from support.requests_made import requests_to
from support.stores import copied_bucket, new_store

VERSION, COUNT = "2026-11-23", 10_000
ROOM = 64 * 1024**2


@pytest.fixture(scope="module")
def large(s3_client) -> tuple[Store, pd.DataFrame]:
    store = new_store(s3_client)
    return store, put_many(store, VERSION, COUNT, left_out=1000)


@pytest.fixture
def store(large) -> Store:
    return large[0]


@pytest.fixture
def rows(large) -> pd.DataFrame:
    return large[1]


@pytest.fixture
def images(store: Store) -> Images:
    return Images(store, VERSION, Kept(ROOM))


def names(rows: pd.DataFrame) -> Iterator[str]:
    return (file.removeprefix("images/") for file in rows["file"])


def bytes_of(sent: list) -> int:
    """Return how many bytes the requests with a range asked for."""
    ranges = [request.headers.get("Range", b"") for request in sent]
    texts = [each.decode() if isinstance(each, bytes) else each for each in ranges if each]
    ends = [text.removeprefix("bytes=").split("-") for text in texts]
    return sum(int(end) - int(start) + 1 for start, end in ends)


def test_every_picture_is_found(store, rows, images):
    for _, row in rows.sample(100, random_state=1).iterrows():
        assert images.picture(row["file"].removeprefix("images/")) == small_picture(row["sha256"])


def test_one_picture_reads_a_footer_or_two_and_one_row_group(store, rows):
    for name in list(names(rows.sample(20, random_state=2))):
        with requests_to(store) as sent:
            Images(store, VERSION, Kept(ROOM)).picture(name)
        assert len(sent) <= 10, [request.url for request in sent]
        assert bytes_of(sent) < 2 * 1024**2


def test_a_page_of_pictures_that_lie_together_reads_few_row_groups(store, rows):
    kept = Kept(ROOM)
    with requests_to(store) as sent:
        images = Images(store, VERSION, kept)
        cards = images.cards(images.chosen({"class": "COVID"})[:36])
        before = len(sent)
        for card in cards:
            Images(store, VERSION, kept).picture(card.name)
    assert before <= 8
    read = [request for request in sent[before:] if "Range" in request.headers]
    assert len(read) <= 20
    assert len(sent) - before - len(read) == 2 * len(cards)  # listings, which say that nothing was replaced


@pytest.mark.parametrize(
    "wanted", [{}, {"class": "NORMAL"}, {"view": RARE}, {"class": "COVID", "split": "test", "view": "AP", "source": ""}]
)
def test_what_is_chosen_is_what_the_manifest_says(rows, images, wanted):
    expected = rows
    for name, value in wanted.items():
        expected = expected[expected[name].eq(value).fillna(value=False)] if value else expected
    chosen = images.chosen(wanted)
    assert len(chosen) == len(expected)
    assert [card.file for card in images.cards(chosen[-5:])] == list(expected["file"].tail())


def test_an_empty_cell_counts_as_not_stated(rows, images):
    assert len(images.chosen({"view": NOT_STATED})) == rows["view"].isna().sum() > 0
    assert images.choices() == {name: tuple(sorted(set(rows[name].fillna(NOT_STATED)))) for name in FACETS}
    assert images.cards(images.chosen({"view": NOT_STATED})[:1])[0].facets["view"] == NOT_STATED


def test_row_and_group_of_an_image(rows, images):
    row = rows.iloc[7777]
    number = images.row_of(row["file"].removeprefix("images/"))
    assert number == images.row_of(row["file"].rpartition("/")[2]) == 7777
    cells = images.cells(number)
    assert {name: cell for name, cell in cells.items() if cell is not None} == row.dropna().to_dict()
    members = images.of_group(row["group"])
    assert list(members) == list(rows.index[rows["group"].eq(row["group"])])
    assert images.patients(members) == list(rows.loc[members, "patient_id"])
    assert images.file_of(row["source"], row["path"]) == row["file"]
    assert images.file_of(row["source"], "images/none.jpg") is None


def test_an_image_is_found_by_content_whatever_its_split(rows, images):
    for _, row in rows.sample(20, random_state=3).iterrows():
        found = {name: row[name] for name in ("file", "class", "split")}
        assert images.by_content(row["sha256"], row["split"]) == found
        assert images.by_content(row["sha256"], "test") == found
    for text in ("0" * 64, "f" * 64, "7f" * 32):
        assert images.by_content(text, "train") is None


def test_images_are_found_in_shards_that_lost_some(store, rows):
    copy = copied_bucket(store)
    train = rows[rows["split"].eq("train")].sort_values("source_sha256")
    gone = set(train["source_sha256"].iloc[:900]) | set(random.Random(0).sample(list(train["source_sha256"]), 500))
    for name in copy.list(f"{VERSION}/data/train-"):
        if (body := shard_without(copy.get(name), gone)) is not None:
            copy.put(name, body)
    images = Images(copy, VERSION, Kept(ROOM))
    for _, row in train.iloc[[0, 899, 900, 950, 1000, *range(1500, 8000, 300)]].iterrows():
        name = row["file"].removeprefix("images/")
        if row["source_sha256"] in gone:
            with pytest.raises(MissingObjectError, match="taken back"):
                images.picture(name)
        else:
            assert images.picture(name) == small_picture(row["sha256"])


def test_what_was_read_is_bounded(store, rows):
    kept = Kept(1_500_000)
    for name in names(rows.sample(25, random_state=4)):
        Images(store, VERSION, kept).picture(name)
        assert kept.size <= kept.most


def test_a_replaced_shard_is_read_anew(store, rows):
    copy, kept = copied_bucket(store), Kept(ROOM)
    row = rows.iloc[0]
    name = row["file"].removeprefix("images/")
    Images(copy, VERSION, kept).picture(name)
    for shard in copy.list(f"{VERSION}/data/{row['split']}-"):
        if (body := shard_without(copy.get(shard), {row["sha256"]})) is not None:
            copy.put(shard, body)
    with pytest.raises(MissingObjectError):
        Images(copy, VERSION, kept).picture(name)


@pytest.mark.parametrize("body", [b"", b"PAR1", b"PAR1" * 100, b"x" * 100_000])
def test_what_is_no_table_is_said_to_be_damaged(store, body):
    copy = copied_bucket(store)
    copy.put(f"{VERSION}/manifest.parquet", body)
    with pytest.raises(DamagedObjectError, match=r"manifest\.parquet is damaged"):
        Images(copy, VERSION, Kept(ROOM)).choices()


def test_only_a_complete_snapshot_has_images(store):
    store.put("2026-11-24/manifest.parquet", b"")
    for version in ("2026-11-24", "2020-01-01", "latest", "_work", ""):
        with pytest.raises(MissingObjectError):
            Images(store, version, Kept(ROOM))
