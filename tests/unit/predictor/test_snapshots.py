from __future__ import annotations

import numpy as np
import pytest

from cxr_predictor.errors import TooFewPatientsError
from cxr_predictor.pictures import SIDE, from_file, from_shard
from cxr_predictor.published import stored
from cxr_predictor.snapshots import check_size, groups_by_class, read_snapshot
from cxr_snapshot.inspection.decoding import DefectError, decoded
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.store.objects import Store, blob_name
from support.ledgers import picture
from support.patients import ENOUGH, publish_patients
from support.stores import new_store


@pytest.fixture(scope="module")
def enough(s3_client) -> Store:
    """A store with a snapshot that is large enough; not to be changed."""
    store = new_store(s3_client)
    publish_patients(store)
    return store


def test_pictures_of_the_shards_are_those_that_are_made_of_the_files(enough: Store) -> None:
    store, manifest = enough, enough.get_table("2026-11-22/manifest.parquet")
    snapshot = read_snapshot(stored(store, "2026-11-22"))
    assert snapshot.pictures.shape == (len(manifest), SIDE, SIDE)
    assert set(snapshot.rows["sha256"]) == set(manifest["sha256"])
    for sha256, shown in zip(snapshot.rows["sha256"], snapshot.pictures, strict=True):
        assert (from_file(store.get(blob_name(sha256))) == shown).all()


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "RGBA"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("PNG", "I;16")])
def test_a_file_of_any_kind_is_one_gray_picture(file_format: str, mode: str) -> None:
    found = from_file(picture(3, file_format, mode, size=(300, 200)))
    assert (found.shape, found.dtype) == ((SIDE, SIDE), np.uint8)
    assert (found[0] == 0).all(), "the border that keeps the ratio of the sides"


def test_a_file_gets_the_form_of_the_snapshot() -> None:
    wide = picture(3, "PNG", size=(300, 100))
    padded, squeezed = from_file(wide), from_file(wide, Form(224, uniform=True))
    assert (padded[0] == 0).all()
    assert (squeezed[0] > 0).any()
    with decoded(wide) as image:
        assert (squeezed == from_shard(Form(224, uniform=True).make(image))).all()


def test_a_file_that_no_snapshot_would_hold_is_refused() -> None:
    with pytest.raises(DefectError, match="not_an_image"):
        from_file(b"MZ")
    with pytest.raises(DefectError, match="truncated_or_damaged"):
        from_file(picture(3, "PNG")[:-20])


def test_splits_are_those_of_the_manifest(enough: Store) -> None:
    snapshot = read_snapshot(stored(enough, "2026-11-22"))
    check_size(snapshot)
    for split, count in ENOUGH.items():
        assert groups_by_class(snapshot.split(split).rows) == dict.fromkeys(("COVID", "NORMAL", "PNEUMONIA"), count)
        assert len(snapshot.split(split).pictures) == 3 * count


@pytest.mark.parametrize(
    ("split", "count"),
    [("validation", 0), *(pytest.param(*few, marks=pytest.mark.long) for few in (("train", 4), ("test", 0)))],
)
def test_a_snapshot_with_too_few_patients_is_refused_by_name_of_the_split(store: Store, split: str, count: int) -> None:
    publish_patients(store, patients=ENOUGH | {split: count})
    with pytest.raises(TooFewPatientsError, match=f"the split {split} of 2026-11-22 has COVID {count}, NORMAL {count}"):
        check_size(read_snapshot(stored(store, "2026-11-22")))


def test_many_images_of_one_patient_are_one(store: Store) -> None:
    publish_patients(store, group="one")
    with pytest.raises(TooFewPatientsError, match="COVID 1"):
        check_size(read_snapshot(stored(store, "2026-11-22")))
