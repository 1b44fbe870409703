"""Which images a publication reads, night after night, by a clock of the test's own."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest

from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.uniform import uniform_name
from cxr_snapshot.publication import readings
from cxr_snapshot.publication.readings import DAYS, divide, note_read
from cxr_snapshot.store.objects import Store, blob_name
from support.damage import flip

IMAGES = 100
START = date(2026, 11, 1)


@pytest.fixture
def manifest(store: Store, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Images whose blobs are in the store; so many that not all of them are read each night."""
    monkeypatch.setattr(readings, "AT_LEAST", 3)
    return pd.DataFrame({"sha256": [put(store, number) for number in range(IMAGES)]})


def put(store: Store, number: int) -> str:
    body = f"image {number}".encode()
    sha256 = hashlib.sha256(body).hexdigest()
    store.put(blob_name(sha256), body)
    return sha256


def night(store: Store, manifest: pd.DataFrame, day: date) -> set[str]:
    """Do what a publication does; return what it reads."""
    read, trusted = divide(store, manifest, day.isoformat())
    assert set(read["sha256"]) | set(trusted["sha256"]) == set(manifest["sha256"])
    assert not set(read["sha256"]) & set(trusted["sha256"])
    note_read(store, read, trusted, day.isoformat())
    return set(read["sha256"])


def test_everything_is_read_within_so_many_nights_and_each_night_something_else(store, manifest):
    assert night(store, manifest, START) == set(manifest["sha256"])
    nights = [night(store, manifest, START + timedelta(days=number)) for number in range(1, DAYS + 1)]
    assert max(map(len, nights[:-1])) == 4  # a share of 1/30, rounded up
    assert all(one.isdisjoint(other) for one, other in pairwise(nights))
    assert set().union(*nights) == set(manifest["sha256"])


@pytest.mark.parametrize("pause", [7, *(pytest.param(days, marks=pytest.mark.long) for days in (1, 3, 30, 31, 100))])
def test_no_image_is_published_that_nobody_has_read_for_so_many_days(store, manifest, pause):
    last = dict.fromkeys(night(store, manifest, START), START)
    for number in range(1, 40):
        day = START + timedelta(days=number * pause)
        last |= dict.fromkeys(night(store, manifest, day), day)
        assert min(last.values()) > day - timedelta(days=DAYS)


def test_what_is_new_is_read_and_what_comes_back_too(store, manifest):
    night(store, manifest, START)
    new = put(store, IMAGES)
    more = pd.concat([manifest.iloc[1:], pd.DataFrame({"sha256": [new]})], ignore_index=True)
    assert new in night(store, more, START + timedelta(days=1))
    again = night(store, manifest, START + timedelta(days=2))
    assert manifest["sha256"][0] in again
    assert len(again) == 1 + 4


def test_what_was_written_over_is_read(store, manifest):
    night(store, manifest, START)
    for number in (5, 50):
        flip(store, blob_name(manifest["sha256"][number]))
    found = night(store, manifest, START + timedelta(days=1))
    assert {manifest["sha256"][5], manifest["sha256"][50]} < found
    assert len(found) < IMAGES


def test_what_was_made_of_blobs_is_read_in_their_place(store, manifest):
    form, names = (
        Form(512, uniform=True),
        manifest["sha256"].map(lambda each: uniform_name(each, Form(512, uniform=True))),
    )
    for name in names:
        store.put(name, b"made")
    plain = pd.DataFrame({"sha256": "published", "source_sha256": manifest["sha256"]})
    for day, count in ((START, IMAGES), (START + timedelta(days=1), 4)):
        read, trusted = divide(store, plain, day.isoformat(), form)
        assert (len(read), len(trusted)) == (count, IMAGES - count)
        note_read(store, read, trusted, day.isoformat(), form)
    assert not store.exists("_work/readings.parquet")
    store.delete([names[7]])
    with pytest.raises(LostBlobError, match=names[7]):
        divide(store, plain, START.isoformat(), form)


def test_few_images_are_all_read(store, manifest, monkeypatch):
    monkeypatch.setattr(readings, "AT_LEAST", IMAGES)
    night(store, manifest, START)
    assert night(store, manifest, START + timedelta(days=1)) == set(manifest["sha256"])


def test_where_the_notes_are_damaged_all_is_read(store, manifest):
    night(store, manifest, START)
    flip(store, "_work/readings.parquet")
    assert night(store, manifest, START + timedelta(days=1)) == set(manifest["sha256"])


def test_a_missing_blob(store, manifest):
    store.delete([blob_name(manifest["sha256"][7])])
    with pytest.raises(LostBlobError, match=f"1 files are missing, such as .*{manifest['sha256'][7]}"):
        divide(store, manifest, START.isoformat())
