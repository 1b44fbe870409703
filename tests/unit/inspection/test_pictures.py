from __future__ import annotations

import hashlib
import io
import threading

import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection import packs
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.packs import read_pack, take_packed
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.store.objects import Store, blob_name
from support.damage import DAMAGES
from support.ledgers import picture
from support.packs import pack

RUN = "_work/runs/one"


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


def test_what_was_packed_is_used_and_the_others_are_made(store: Store):
    bodies = [picture(number) for number in range(9)]
    sha256s = sorted(put_blob(store, body) for body in bodies)
    made = list(Pictures(store).load(sha256s))
    assert sorted(made) == sorted(made_from(body) for body in bodies)
    names = pack(store, RUN, {sha256: f"of {sha256}".encode() for sha256 in sha256s[::2]})
    assert names == sorted({f"{RUN}/pictures/{SMALL.recipe}/{sha256[0]}.parquet" for sha256 in sha256s[::2]})
    wanted = made.copy()
    wanted[::2] = [f"of {sha256}".encode() for sha256 in sha256s[::2]]
    assert list(Pictures(store, SMALL, RUN).load(sha256s)) == wanted
    assert list(Pictures(store, SMALL, "_work/runs/another").load(sha256s)) == made
    assert list(Pictures(store).load(sha256s)) == made


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_packed_and_is_damaged_is_made_again(store: Store, damage: str):
    sha256 = put_blob(store, picture(1))
    (name,) = pack(store, RUN, {sha256: b"packed"})
    assert list(Pictures(store, SMALL, RUN).load([sha256])) == [b"packed"]
    DAMAGES[damage](store, name)
    assert list(Pictures(store, SMALL, RUN).load([sha256])) == [made_from(picture(1))]
    assert store.damaged == ([] if damage == "deleted" else [name])


@pytest.mark.parametrize("form", [SMALL, Form(64, uniform=True), Form(512), Form(512, uniform=True)])
def test_a_pack_gives_back_what_was_put_in(store: Store, form: Form):
    gray = form.make(Image.new("L", (90, 70), 99))
    pictures = {f"{first}{second}{'0' * 62}": gray for first in "07f" for second in "08f"}
    names = pack(store, RUN, pictures, form)
    assert len(names) == (3 if form.side <= 224 else 9)
    assert dict(take_packed(store, RUN, form, [*pictures, "f" * 64])) == pictures | {"f" * 64: None}
    sizes = [item.size for item in store.list(f"{RUN}/").values()]
    assert max(sizes) < 30_000, "what PNG does not compress, the pack does"
    assert dict(take_packed(store, RUN, Form(99), list(pictures))) == dict.fromkeys(pictures), "of another form"


def test_small_packs_are_read_side_by_side_and_large_ones_are_not(store: Store, monkeypatch: pytest.MonkeyPatch):
    pictures = {digit * 64: digit.encode() for digit in "048c"}
    pack(store, RUN, pictures)
    together, reading, most = threading.Barrier(len(pictures)), [], []

    def read_together(store: Store, name: str) -> dict[str, bytes]:
        together.wait(60)
        return read_pack(store, name)

    def read(store: Store, name: str) -> dict[str, bytes]:
        reading.append(name)
        most.append(len(reading))
        found = read_pack(store, name)
        reading.remove(name)
        return found

    monkeypatch.setattr(packs, "read_pack", read_together)
    assert dict(take_packed(store, RUN, SMALL, list(pictures))) == pictures
    monkeypatch.setattr(packs, "read_pack", read)
    monkeypatch.setattr(packs, "_SMALL", 1)
    assert dict(take_packed(store, RUN, SMALL, list(pictures))) == pictures
    assert max(most) == 1


def test_a_picture_without_its_blob_is_an_error(store: Store):
    with pytest.raises(MissingObjectError, match=r"_work/blobs/sha256/ab/abcd"):
        list(Pictures(store).load(["abcd"]))


def put_blob(store: Store, body: bytes) -> str:
    sha256 = hashlib.sha256(body).hexdigest()
    store.put(blob_name(sha256), body)
    return sha256
