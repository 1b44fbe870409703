from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.inspection.pictures import Pictures, picture_name
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed
from support.ledgers import picture


def file_of(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def made_from(body: bytes) -> bytes:
    with decoded(body) as image:
        return SMALL.make(image)


def pixels(body: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(made_from(body)))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (SMALL.side, SMALL.side))
    return np.asarray(image)


def test_the_description_is_what_is_done():
    assert (SMALL.description["width"], SMALL.description["height"]) == (SMALL.side, SMALL.side)
    assert pixels(picture(1)).shape == (SMALL.description["height"], SMALL.description["width"])


@pytest.mark.parametrize(("size", "inside"), [((400, 200), np.s_[56:168, :]), ((200, 400), np.s_[:, 56:168])])
def test_the_aspect_ratio_is_kept_with_black_borders(size, inside):
    found = pixels(file_of(Image.new("L", size, 200)))
    assert (found[inside] == 200).all()
    assert int(found.astype(int).sum()) == 200 * 112 * 224


@pytest.mark.parametrize(
    ("mode", "colour", "gray"),
    [
        ("L", 120, 120),
        ("RGB", (255, 0, 0), 76),
        ("RGBA", (255, 255, 255, 0), 0),
        ("LA", (255, 0), 0),
        ("1", 1, 255),
        ("CMYK", (0, 0, 0, 0), 255),
    ],
)
def test_every_mode_becomes_gray_and_the_transparent_black(mode, colour, gray):
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.new(mode, (80, 80), colour)
    body = file_of(image, "JPEG" if mode == "CMYK" else file_format)
    assert abs(int(pixels(body)[100, 100]) - gray) <= 1


def test_a_palette_with_a_transparent_entry_becomes_black_there():
    image = Image.new("P", (80, 80), 0)
    image.putpalette([255, 255, 255])
    assert pixels(file_of(image, transparency=0)).max() == 0


def test_a_12_bit_picture_in_16_bits_uses_the_whole_range():
    deep = np.tile(np.linspace(100, 4095, 224).astype(np.uint16), (224, 1))
    found = pixels(file_of(Image.fromarray(deep)))
    assert (found.min(), found.max()) == (0, 255)
    assert abs(int(found[0, 112]) - 128) <= 1


def test_a_deep_picture_of_one_value_is_black_and_no_division_by_zero():
    assert pixels(file_of(Image.fromarray(np.full((80, 80), 3000, dtype=np.uint16)))).max() == 0


def test_exif_turns_the_picture_upright():
    sideways = Image.new("L", (80, 80), 0)
    sideways.paste(255, (0, 0, 80, 20))  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera says: turn clockwise
    found = pixels(file_of(sideways, "JPEG", exif=exif))
    assert found[112, 215] > 200
    assert found[112, 5] < 50


def test_equal_bytes_give_equal_bytes():
    assert made_from(picture(3)) == made_from(picture(3))
    assert made_from(picture(3)) != made_from(picture(4))


def test_a_kept_picture_is_used_again_and_the_others_are_made_each_time(store: Store):
    bodies = [picture(number) for number in range(3)]
    sha256s = [put_blob(store, body) for body in bodies]
    pictures = Pictures(store)
    with decoded(bodies[0]) as image:
        assert [pictures.keep(sha256s[0], image) for _ in range(2)] == [SMALL.make(image)] * 2
        put_sealed(store, picture_name(sha256s[0]), b"kept as it is")
        assert pictures.keep(sha256s[0], image) == b"kept as it is"
        assert Pictures(store).keep(sha256s[0], image) == b"kept as it is"
    assert list(Pictures(store).load(sha256s)) == [b"kept as it is", made_from(bodies[1]), made_from(bodies[2])]
    assert list(store.list("_work/normalised/")) == [picture_name(sha256s[0])]


def test_of_kept_pictures_those_that_are_damaged_are_made_and_kept_again(store: Store):
    bodies = [picture(number) for number in range(4)]
    sha256s = [put_blob(store, body) for body in bodies]
    list(Pictures(store).load_kept(sha256s[:3]))
    store.put(picture_name(sha256s[1]), b"not what was written")
    assert list(Pictures(store).load(sha256s)) == list(map(made_from, bodies))
    assert store.damaged == [picture_name(sha256s[1])]
    assert list(Pictures(store).load(sha256s)) == list(map(made_from, bodies))
    assert store.damaged == [picture_name(sha256s[1])]
    assert set(store.list("_work/normalised/")) == set(map(picture_name, sha256s[:3]))


def test_what_was_kept_by_an_earlier_recipe_is_not_used(store: Store):
    sha256 = put_blob(store, picture(1))
    earlier = picture_name(sha256).replace(f"/{SMALL.recipe}/", "/224.3/")
    assert earlier != picture_name(sha256)
    put_sealed(store, earlier, b"of an earlier recipe")
    assert list(Pictures(store).load([sha256])) == [made_from(picture(1))]


def test_a_picture_without_its_blob_is_an_error(store: Store):
    with pytest.raises(MissingObjectError, match=r"_work/blobs/sha256/ab/abcd"):
        list(Pictures(store).load(["abcd"]))


def put_blob(store: Store, body: bytes) -> str:
    sha256 = hashlib.sha256(body).hexdigest()
    store.put(blob_name(sha256), body)
    return sha256
