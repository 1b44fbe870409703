"""Every stage sees the same pixels: upright, over black, 8 bits deep. What passes the inspection passes them all."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from PIL import Image

from cxr_snapshot.audit.looks import describe_picture
from cxr_snapshot.inspection.contact_sheets import contact_sheet
from cxr_snapshot.inspection.decoding import MAX_RATIO, MIN_SIDE, decoded, inspect_image
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.selection.rules import REASONS
from support.ledgers import picture
from upstream_simulator.phantom import draw

from .test_decoding import chunk, encoded

FILM = Image.fromarray(draw("covid", np.random.default_rng(5))).resize((300, 260))
# How a picture lies in a file that asks its reader to do the reverse.
LAID = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}
SAME = ("pixel_sha256", "phash", "colour")


def laid(image: Image.Image, orientation: int) -> tuple[Image.Image, Image.Exif]:
    """Return an image turned, and the EXIF data that says how to turn it back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for turn in LAID[orientation]:
        image = image.transpose(turn)
    return image, exif


def seen(body: bytes) -> tuple[object, ...]:
    """Return all that the stages make of one file."""
    facts = inspect_image(body)
    with decoded(body) as image:
        made = SMALL.make(image)
        return (*(facts[name] for name in SAME), made, *describe_picture(image, SMALL.draw(image), len(made)).values())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("mode", "file_format"), [("L", "PNG"), ("RGB", "WEBP"), ("RGBA", "PNG"), ("I;16", "PNG")])
def test_one_picture_however_it_lies(orientation: int, mode: str, file_format: str) -> None:
    film = Image.fromarray(np.asarray(FILM).astype(np.uint16) * 9) if mode == "I;16" else FILM.convert(mode)
    if mode == "RGBA":
        film.putalpha(FILM.point(lambda level: 255 if level > 60 else level))
    turned, exif = laid(film, orientation)
    options = {"lossless": True} if file_format == "WEBP" else {}
    body = encoded(turned, file_format, exif=exif, **options)
    assert seen(body) == seen(encoded(film, file_format, **options))
    facts = inspect_image(body)
    assert (facts["width"], facts["height"]) == turned.size, "the file's own"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_lies_as_its_exif_data_says(orientation: int) -> None:
    turned, exif = laid(FILM, orientation)
    with decoded(encoded(turned, "JPEG", quality=95, exif=exif)) as image:
        assert image.size == FILM.size
        assert np.abs(np.asarray(image).astype(int) - np.asarray(FILM)).mean() < 3


@pytest.mark.parametrize("exif", [b"Exif\0\0no TIFF", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0", b""])
def test_exif_data_that_cannot_be_read_is_no_damage(exif: bytes) -> None:
    assert seen(encoded(FILM, "PNG", exif=exif)) == seen(encoded(FILM, "PNG"))
    assert seen(encoded(FILM, "JPEG", exif=exif)) == seen(encoded(FILM, "JPEG"))


def paletted(alphas: bytes) -> bytes:
    palette = FILM.convert("P")
    palette.putpalette([level for gray in range(256) for level in (gray, gray, gray)])
    return encoded(palette, "PNG", transparency=alphas)


def faded(mode: str, alpha: int) -> bytes:
    film = FILM.convert(mode)
    film.putalpha(alpha)
    return encoded(film, "PNG")


def marked(size: int) -> bytes:
    marker = Image.new("L", FILM.size, 30)
    marker.paste(255, (4, 4, 4 + size, 4 + size))
    return encoded(marker, "PNG")


INVISIBLE = {
    "RGBA": faded("RGB", 0),
    "LA": faded("L", 0),
    "all but transparent": faded("L", 6),
    "WebP": encoded(Image.merge("RGBA", [FILM, FILM, FILM, Image.new("L", FILM.size)]), "WEBP", lossless=True),
    "a palette, all of it transparent": paletted(bytes(256)),
    "gray with a transparent level": encoded(Image.new("L", FILM.size, 200), "PNG", transparency=200),
    "colour with a transparent one": encoded(Image.new("RGB", FILM.size, (9, 8, 7)), "PNG", transparency=(9, 8, 7)),
    "deep with a transparent level": encoded(
        Image.fromarray(np.full((80, 80), 40_000, np.uint16)), "PNG", transparency=40_000
    ),
    "black": encoded(Image.new("L", FILM.size), "JPEG"),
    "white": encoded(Image.new("RGB", FILM.size, "white"), "JPEG"),
    "deep and of one level": encoded(Image.fromarray(np.full((80, 80), 9, np.uint16)), "PNG"),
    "a marker alone": marked(16),
    "hardly any contrast": encoded(FILM.point(lambda level: 100 + level // 50), "PNG"),
}


@pytest.mark.parametrize("name", INVISIBLE)
def test_an_invisible_picture(name: str) -> None:
    facts = inspect_image(INVISIBLE[name])
    assert facts["problem"] == "invisible"
    assert "pixel_sha256" not in facts


def test_what_is_half_transparent_is_seen_over_black() -> None:
    half = FILM.point(lambda level: (level * 128 + 127) // 255)
    for body in (faded("L", 128), faded("RGB", 128), paletted(bytes([128] * 256))):
        assert seen(body) == seen(encoded(half, "PNG"))


def test_a_transparent_level_of_a_deep_image_is_black() -> None:
    deep = np.tile(np.linspace(1000, 2000, 200).astype(np.uint16), (100, 1))
    deep[:50] = 60_000
    with decoded(encoded(Image.fromarray(deep), "PNG", transparency=60_000)) as image:
        levels = np.asarray(image)
    assert levels[:50].max() == 0
    assert (levels[50:].min(), levels[50:].max()) == (0, 255)


def test_a_bright_marker_does_not_blacken_a_deep_film() -> None:
    film = np.asarray(FILM).astype(np.uint16) * 4  # 10 of 16 bits
    marked = film.copy()
    marked[5:15, 5:15] = 65_535
    plain, with_marker = (encoded(Image.fromarray(pixels), "PNG") for pixels in (film, marked))
    with decoded(plain) as one, decoded(with_marker) as other:
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other))[20:].mean() < 2
        assert np.asarray(other)[5:15, 5:15].min() == 255


def test_a_deep_film_with_few_pixels_that_differ_keeps_them() -> None:
    deep = np.full((200, 200), 7, np.uint16)
    deep[3, 3:9] = 9
    with decoded(encoded(Image.fromarray(deep), "PNG")) as image:
        assert [level for _, level in image.getcolors()] == [0, 255]


SIDES = st.integers(MIN_SIDE, 160)
RATIOS = st.sampled_from([1, 1, 2, MAX_RATIO - 1, MAX_RATIO, MAX_RATIO + 0.02, 30])
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")
FORMATS_OF = {"CMYK": ["JPEG"], "L": ["JPEG", "PNG"], "RGB": ["JPEG", "PNG", "WEBP"], "RGBA": ["PNG", "WEBP"]}


@st.composite
def files(draw_from: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a picture as two files: upright, and turned with a word on it in its EXIF data."""
    short = draw_from(SIDES)
    size = (short, int(short * draw_from(RATIOS)))[:: draw_from(st.sampled_from([1, -1]))]
    mode = draw_from(st.sampled_from(MODES))
    file_format = draw_from(st.sampled_from(FORMATS_OF.get(mode, ["PNG"])))
    rng = np.random.default_rng(draw_from(st.integers(0, 99)))
    levels = draw_from(st.sampled_from([1, 256, 256, 256]))
    bands = [Image.fromarray(rng.integers(0, levels, (9, 9), np.uint8)).resize(size) for _ in range(4)]
    if mode == "I;16":
        image = Image.fromarray(np.asarray(bands[0]).astype(np.uint16) * draw_from(st.sampled_from([1, 16, 257])))
    elif mode in ("1", "P"):
        image = bands[0].convert(mode)
    else:
        alpha = draw_from(st.sampled_from([bands[3], bands[3], Image.new("L", size)]))
        image = Image.merge(mode, [*bands[: len(mode) - 1], alpha] if mode.endswith("A") else bands[: len(mode)])
    options = {"lossless": True} if file_format == "WEBP" else {}
    if mode in ("L", "P", "I;16") and file_format == "PNG" and draw_from(st.booleans()):
        options["transparency"] = draw_from(st.integers(0, levels - 1))
    turned, exif = laid(image, draw_from(st.integers(1, 8)))
    return encoded(image, file_format, **options), encoded(turned, file_format, exif=exif, **options)


@given(files())
def test_what_passes_the_inspection_passes_every_later_stage(drawn: tuple[bytes, bytes]) -> None:
    """Look at one image, and at the same one lying otherwise; where both pass, no later stage stumbles over them."""
    facts = [inspect_image(body) for body in drawn]
    problem = facts[0].get("problem")
    event(str(problem))
    assert problem == facts[1].get("problem")
    assert problem in (None, "impossible_shape", "invisible")
    if problem:
        assert problem in REASONS
        return
    upright, turned = (seen(body) for body in drawn)
    if facts[0]["format"] != "JPEG":  # which loses other details when it lies otherwise
        assert upright == turned
    _, _, _, made, raw, small, size, _ = turned
    with Image.open(io.BytesIO(made)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (SMALL.side, SMALL.side))
    assert (len(raw), len(small), size) == (32 * 32 * 3, 32 * 32, len(made))
    assert Image.open(io.BytesIO(contact_sheet({"": [made, picture(1)]}))).format == "JPEG"


LOOK_AT_ALL = """
import sys
from pathlib import Path
from cxr_snapshot.audit.looks import describe_picture
from cxr_snapshot.inspection.decoding import decoded, inspect_image
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.store.parallel import bounded_map

def look(path):
    body = Path(path).read_bytes()
    facts = inspect_image(body)
    if "problem" not in facts:
        with decoded(body) as image:
            describe_picture(image, drawn := SMALL.draw(image), len(SMALL.encode(drawn)))
    return facts.get("problem")

print([problem for _, problem in bounded_map(look, sys.argv[1:], threads=4)])
print(Path("/proc/self/status").read_text())
"""


def striped(side: int, depth: int, colour: int, pixel: bytes) -> bytes:
    """Return a square PNG of many pixels and few bytes: 64 stripes across, of ``pixel`` and black in turn."""
    stripes = [b"\0" + value * side for value in (pixel, bytes(len(pixel)))]
    packer = zlib.compressobj(1)
    packed = [packer.compress(stripes[row * 64 // side % 2]) for row in range(side)]
    header = np.array([side, side], ">u4").tobytes() + bytes([depth, colour, 0, 0, 0])
    pixels = chunk(b"IDAT", b"".join([*packed, packer.flush()]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory as Linux tells it")
def test_large_images_fit_into_600_megabytes_though_four_threads_look(tmp_path: Path) -> None:
    bodies = {
        "deep, too large": striped(9400, 16, 0, b"\xf0\x00"),
        "deep": striped(7000, 16, 0, b"\xf0\x00"),
        "gray": striped(10_000, 8, 0, b"\xf0"),
        "gray with alpha": striped(5000, 8, 4, b"\xf0\xff"),
        "colour with alpha": striped(5000, 8, 6, b"\xf0\xd0\x90\xff"),
    }
    paths = [tmp_path / name for name in bodies]
    for path, body in zip(paths, bodies.values(), strict=True):
        path.write_bytes(body)
    command = [sys.executable, "-c", LOOK_AT_ALL, *paths]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert found.splitlines()[0] == str(["too_many_pixels", None, None, None, None])
    peak = re.search(r"VmHWM:\s*(\d+) kB", found)
    assert peak is not None
    assert int(peak[1]) / 1000 < 600
