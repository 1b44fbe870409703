from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cxr_snapshot.inspection.forms import SMALL, Form, form_of_files, form_of_pictures
from cxr_snapshot.inspection.pixels import make_plain

UNIFORM = Form(64, uniform=True)
LARGE = Form(512, uniform=True)


@st.composite
def images(draw_from: st.DrawFn) -> Image.Image:
    """Draw what decoding gives, of any mode, size and content."""
    size = draw_from(st.tuples(st.integers(64, 200), st.integers(64, 200)))
    noise = np.random.default_rng(draw_from(st.integers(0, 99))).integers(0, 256, (*size[::-1], 4), np.uint8)
    sharp = draw_from(st.sampled_from([1, 8, 64]))
    image = Image.fromarray(noise).reduce(sharp).resize(size)
    mode = draw_from(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]))
    return make_plain(image.convert("RGB").convert(mode) if mode in "1PCMYK" else image.convert(mode))


@given(images())
def test_every_uniform_file_is_the_same_as_a_file(image: Image.Image) -> None:
    body = UNIFORM.make(image)
    assert body == UNIFORM.make(image)
    with Image.open(io.BytesIO(body)) as file:
        assert (file.format, file.mode, file.size, file.info) == ("PNG", "L", (64, 64), {})
        facts = {"bytes": len(body), "format": file.format, "mode": file.mode, "width": 64, "height": 64}
        assert facts == UNIFORM.facts
        expected = image.convert("L").resize((64, 64), Image.Resampling.LANCZOS)
        assert file.tobytes() == expected.tobytes(), "the pixels are those that were asked for"
    assert chunks(body) == [b"IHDR", b"IDAT", b"IEND"]


def chunks(png: bytes) -> list[bytes]:
    names, start = [], 8
    while start < len(png):
        (size,) = struct.unpack(">I", png[start : start + 4])
        names.append(png[start + 4 : start + 8])
        start += 12 + size
    return names


@pytest.mark.parametrize("size", [(300, 100), (100, 300)])
def test_the_whole_film_is_in_it_and_no_border_is_added(size: tuple[int, int]) -> None:
    image = Image.new("L", size, 90)
    for place in ((0, 0), (size[0] - 1, size[1] - 1)):
        image.putpixel(place, 255)
    pixels = np.asarray(Image.open(io.BytesIO(LARGE.make(image))))
    assert pixels.min() >= 60
    assert pixels[0, 0] > 200 < pixels[-1, -1]


def test_its_bytes_are_the_same_on_every_machine() -> None:
    """These hashes do not depend on a zlib, and change only with the recipe, whose name has to change then too."""
    steps = Image.fromarray(np.arange(64 * 64, dtype=np.uint32).astype(np.uint8).reshape(64, 64))
    assert UNIFORM.recipe == "64.u1"
    assert hashlib.sha256(UNIFORM.make(steps)).hexdigest() == (
        "136174c73a23709588abaf482c237f7c5847c169351b8f6aff706918f035ccb7"
    )
    assert LARGE.facts["bytes"] == 262_744


def film(width: int, height: int) -> Image.Image:
    """Return a film with noise and a white edge, the same everywhere."""
    pixels = np.random.default_rng(0).integers(60, 120, (height, width), np.uint8)
    pixels[:, width // 3 :] += 100
    return Image.fromarray(pixels)


def test_the_pixels_of_a_padded_picture_change_only_with_its_recipe() -> None:
    pixels = Image.open(io.BytesIO(SMALL.make(film(1350, 1001)))).tobytes()
    assert SMALL.recipe == "224.4"
    assert hashlib.sha256(pixels).hexdigest() == "6be223ab3e1d9e6b673916b03c5f27f423d33950d4ccf4827bcb2c091c46438a"


@pytest.mark.parametrize(
    ("size", "most"), [((880, 700), 0), ((150, 64), 0), ((1350, 1350), 8), ((1345, 997), 8), ((500, 5000), 8)]
)
def test_averaging_whole_boxes_first_hardly_moves_a_padded_picture(size: tuple[int, int], most: int) -> None:
    made = np.asarray(Image.open(io.BytesIO(SMALL.make(film(*size)))), int)
    lanczos = np.asarray(ImageOps.pad(film(*size), (224, 224), method=Image.Resampling.LANCZOS, color=0), int)
    assert np.abs(made - lanczos).max() <= most


@pytest.mark.parametrize("form", [SMALL, Form(512), LARGE, Form(224, uniform=True)])
def test_the_description_is_what_is_done(form: Form) -> None:
    body = form.make(Image.new("L", (100, 50), 99))
    described = form.description
    with Image.open(io.BytesIO(body)) as file:
        assert (file.format, *file.size) == (described["format"], described["width"], described["height"])
        borders = file.getpixel((form.side // 2, 0)) == 0
    assert borders == described["aspect_ratio"].startswith("kept")
    assert described.get("bytes", len(body)) == len(body)
    assert described["recipe"] == form.recipe


@pytest.mark.parametrize(
    ("settings", "files", "pictures"),
    [
        ({}, None, SMALL),
        ({"picture_size": 512}, None, Form(512)),
        ({"files": "uniform"}, LARGE, Form(224, uniform=True)),
        ({"files": "uniform", "picture_size": 512}, LARGE, LARGE),
    ],
)
def test_the_settings_choose(settings: dict[str, object], files: Form | None, pictures: Form) -> None:
    assert form_of_files(settings) == files
    assert form_of_pictures(settings) == pictures
    assert len({form.recipe for form in (SMALL, Form(512), LARGE, Form(224, uniform=True))}) == 4
