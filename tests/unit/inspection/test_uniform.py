from __future__ import annotations

import hashlib

import pytest

from cxr_snapshot.errors import DamagedObjectError, LostBlobError
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.uniform import UniformFiles, check_files, make_files, uniform_name
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed
from support.damage import flip
from support.ledgers import picture

FORM = Form(64, uniform=True)


@pytest.fixture
def blobs(store: Store) -> list[str]:
    """SHA-256 of three blobs in the store."""
    bodies = [picture(number) for number in range(3)]
    sha256s = [hashlib.sha256(body).hexdigest() for body in bodies]
    for sha256, body in zip(sha256s, bodies, strict=True):
        store.put(blob_name(sha256), body)
    return sha256s


def names(blobs: list[str]) -> list[str]:
    return [uniform_name(sha256, FORM) for sha256 in blobs]


def test_each_file_is_made_once_and_its_hash_remembered(store: Store, blobs: list[str]) -> None:
    files = make_files(UniformFiles(store, FORM), blobs)
    assert list(files.index) == blobs
    assert files["sha256"].tolist() == [hashlib.sha256(store.get(name)).hexdigest() for name in names(blobs)]
    assert files.drop(columns="sha256").drop_duplicates().to_dict("records") == [FORM.facts]
    store.delete(map(blob_name, blobs))
    assert make_files(UniformFiles(store, FORM), blobs[1:]).equals(files[1:])


@pytest.mark.parametrize("lost", ["table", "file"])
def test_what_was_lost_is_made_again(store: Store, blobs: list[str], lost: str) -> None:
    files = make_files(UniformFiles(store, FORM), blobs)
    store.delete(["_work/uniform/64.u1.parquet"] if lost == "table" else names(blobs)[:1])
    assert make_files(UniformFiles(store, FORM), blobs).equals(files)
    assert set(names(blobs)) < set(store.list("_work/"))


def test_a_damaged_file_is_made_again_when_it_is_checked(store: Store, blobs: list[str]) -> None:
    kept = UniformFiles(store, FORM)
    files, sound = make_files(kept, blobs), store.get(names(blobs)[0])
    flip(store, names(blobs)[0])
    check_files(kept, files[1:])
    assert store.get(names(blobs)[0]) != sound
    check_files(kept, files)
    assert store.get(names(blobs)[0]) == sound
    assert store.damaged == names(blobs)[:1]


def test_a_file_that_has_other_bytes_now_is_said_and_remembered(store: Store, blobs: list[str]) -> None:
    files = make_files(UniformFiles(store, FORM), blobs)
    put_sealed(store, names(blobs)[0], b"as another version of Pillow makes it")
    with pytest.raises(DamagedObjectError, match="Clear the task audit"):
        check_files(UniformFiles(store, FORM), files)
    again = make_files(UniformFiles(store, FORM), blobs)
    check_files(UniformFiles(store, FORM), again)
    assert again["sha256"].tolist() == [
        hashlib.sha256(b"as another version of Pillow makes it").hexdigest(),
        *files["sha256"][1:],
    ]


def test_a_file_without_its_blob_is_an_error_that_can_be_mended(store: Store, blobs: list[str]) -> None:
    store.delete([blob_name(blobs[0])])
    with pytest.raises(LostBlobError, match=blobs[0]):
        make_files(UniformFiles(store, FORM), blobs)
