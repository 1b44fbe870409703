"""What decoding finds, which damage it must not overlook, and that each blob is decoded once."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxr_snapshot.inspection.decoding import MAX_RATIO, MIN_SIDE, inspect_image
from cxr_snapshot.inspection.results import PARTITIONS, inspect_blobs, load_inspections
from cxr_snapshot.store.objects import Fetched, Store, blob_name
from cxr_snapshot.tables import INSPECTION_SCHEMA
from support.fingerprints import distance
from upstream_simulator.phantom import Kind, draw


def phantom(number: int = 0, kind: Kind = "covid") -> Image.Image:
    return Image.fromarray(draw(kind, np.random.default_rng(number)))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def chunks(png: bytes) -> list[bytes]:
    """Return the chunks of a PNG, each with length and checksum."""
    found, start = [], 8
    while start < len(png):
        end = start + 12 + struct.unpack(">I", png[start : start + 4])[0]
        found.append(png[start:end])
        start = end
    return found


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


PICTURE = phantom()
JPEG = encoded(PICTURE, "JPEG")
PROGRESSIVE = encoded(PICTURE.convert("RGB"), "JPEG", progressive=True)
PNG = encoded(PICTURE, "PNG")
WEBP = encoded(PICTURE, "WEBP")
FILES = {"JPEG": JPEG, "progressive": PROGRESSIVE, "PNG": PNG, "WEBP": WEBP}


@pytest.mark.parametrize(("name", "mode"), [("JPEG", "L"), ("progressive", "RGB"), ("PNG", "L"), ("WEBP", "RGB")])
def test_sound_files(name: str, mode: str) -> None:
    facts = inspect_image(FILES[name])
    assert "problem" not in facts
    assert facts["format"] == {"progressive": "JPEG"}.get(name, name)
    assert (facts["mode"], facts["width"], facts["height"]) == (mode, *PICTURE.size)
    assert {len(facts["pixel_sha256"]), len(facts["phash"])} == {64}


@pytest.mark.parametrize("name", FILES)
def test_bytes_after_the_end_are_allowed(name: str) -> None:
    assert inspect_image(FILES[name] + b"\0" * 5 + b"<!-- appended by a web server -->") == inspect_image(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_a_cut_near_the_end_is_seen(name: str) -> None:
    for missing in range(1, 30):
        assert inspect_image(FILES[name][:-missing])["problem"] == "truncated_or_damaged", missing


@given(st.sampled_from(sorted(FILES)), st.floats(0, 1, exclude_max=True))
def test_a_cut_anywhere_is_seen(name: str, where: float) -> None:
    facts = inspect_image(FILES[name][: int(where * len(FILES[name]))])
    assert facts["problem"] in ("truncated_or_damaged", "not_an_image")


THUMBNAIL = Image.Exif()
THUMBNAIL[0x9286] = encoded(PICTURE.resize((40, 40)), "JPEG")  # as a user's comment, end marker and all
WITH_THUMBNAIL = encoded(PICTURE, "JPEG", exif=THUMBNAIL)
DAMAGED = {
    "no end marker": JPEG[:-2],
    "no end marker but that of a thumbnail": WITH_THUMBNAIL[:-2] + b"\0" * 100,
    "no end marker, then other bytes": JPEG[:-2] + b"\0" * 100,
    "no IEND": PNG[:-12],
    "half an IEND": PNG[:-1],
    "wrong checksum of the pixels": PNG.replace(chunks(PNG)[1][-4:], b"\0\0\0\0"),
    "wrong checksum of the end": PNG[:-1] + b"\0",
    "wrong checksum of a comment": PNG[:33] + chunk(b"tEXt", b"a\0b")[:-1] + b"\0" + PNG[33:],
    "a chunk is missing": PNG[:8] + b"".join(part for part in chunks(PNG) if part[4:8] != b"IDAT"),
    "half of the pixels": PNG[:33] + chunk(b"IDAT", chunks(PNG)[1][8:4000]) + chunks(PNG)[-1],
    "a chunk beyond the end": PNG[:33] + b"\xff\xff\xff\xff" + PNG[37:],
    "a flipped byte in the pixels": PNG[:2000] + bytes([PNG[2000] ^ 1]) + PNG[2001:],
}


def with_noise(jpeg: bytes, flips: int) -> bytes:
    """Return a JPEG with flipped bits in the second half, where there are only pixels."""
    rng, noisy = np.random.default_rng(0), bytearray(jpeg)
    for place in rng.integers(len(jpeg) // 2, len(jpeg) - 2, flips):
        noisy[place] ^= 1 << int(rng.integers(8))
    return bytes(noisy)


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Return a JPEG whose header lies."""
    frame = jpeg.index(b"\xff\xc0")
    return jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]


MIDDLE = len(JPEG) // 2
WITH_RESTARTS = encoded(PICTURE, "JPEG", restart_marker_rows=1)
RESTARTS = [WITH_RESTARTS.index(bytes([0xFF, 0xD0 + number])) for number in (2, 3)]
LAST_SCAN = PROGRESSIVE.rindex(b"\xff\xda")
# Every pixel is there, or was made up by the decoder; it only warns.
DAMAGED |= {
    "half of a JPEG with an end": JPEG[:MIDDLE] + b"\xff\xd9",
    "a JPEG with zeros": JPEG[:MIDDLE] + bytes(4000) + JPEG[MIDDLE + 4000 :],
    "a JPEG with a lie about its size": with_size(JPEG, 9000, 9000),
    "a JPEG that is a little lower than its header says": with_size(JPEG, PICTURE.width, PICTURE.height + 16),
    "a JPEG with 100 flipped bits": with_noise(JPEG, 100),
    "a progressive JPEG with 100 flipped bits": with_noise(PROGRESSIVE, 100),
    "a JPEG without some bytes": JPEG[:MIDDLE] + JPEG[MIDDLE + 100 :],
    "a JPEG that lost one of its strips": WITH_RESTARTS[: RESTARTS[0]] + WITH_RESTARTS[RESTARTS[1] :],
    "half of the last scan": PROGRESSIVE[: (LAST_SCAN + len(PROGRESSIVE)) // 2] + b"\xff\xd9",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_that_leaves_all_or_most_pixels_is_seen(name: str) -> None:
    facts = inspect_image(DAMAGED[name])
    assert facts["problem"] == "truncated_or_damaged", name
    assert facts["detail"]


NO_RADIOGRAPHS = {
    "nothing": (b"", "not_an_image"),
    "a web page": (b"<html>404</html>", "not_an_image"),
    "GIF": (encoded(PICTURE, "GIF"), "not_an_image"),
    "BMP": (encoded(PICTURE, "BMP"), "not_an_image"),
    "small": (encoded(PICTURE.resize((MIN_SIDE - 1, 300)), "PNG"), "too_small"),
    "animated PNG": (encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(90)]), "multiple_frames"),
    "animated WebP": (encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]), "multiple_frames"),
    "a strip": (encoded(PICTURE.resize((64, 28_700)), "JPEG"), "impossible_shape"),
    "a strip across": (encoded(PICTURE.resize((MIN_SIDE * MAX_RATIO + 1, MIN_SIDE)), "PNG"), "impossible_shape"),
    "100 scans": (PROGRESSIVE[:LAST_SCAN] + PROGRESSIVE[LAST_SCAN:-2] * 91 + b"\xff\xd9", "too_many_scans"),
    "scans behind what looks like an end": (
        PROGRESSIVE[:LAST_SCAN] + b"\xff\xfe\0\x04\xff\xd9" + PROGRESSIVE[LAST_SCAN:-2] * 12 + b"\xff\xd9",
        "too_many_scans",
    ),
}


@pytest.mark.parametrize("name", NO_RADIOGRAPHS)
def test_what_cannot_be_one_radiograph(name: str) -> None:
    body, problem = NO_RADIOGRAPHS[name]
    facts = inspect_image(body)
    assert facts["problem"] == problem
    assert facts["detail"]
    assert "phash" not in facts


@pytest.mark.parametrize(
    ("mode", "size"),
    [("1", (10_001, 10_000)), ("1", (20_000, 20_000)), ("RGB", (5001, 5000)), ("I;16", (9400, 9400))],
    ids=["large", "a bomb", "large in colour", "large and deep"],
)
def test_what_is_too_large_to_be_one_radiograph(mode: str, size: tuple[int, int]) -> None:
    facts = inspect_image(encoded(Image.new(mode, size), "PNG", compress_level=1))
    assert facts["problem"] == "too_many_pixels"
    assert facts["detail"]
    assert "phash" not in facts


def test_scans_of_what_is_no_part_of_the_image_do_not_count() -> None:
    thumbnail = Image.Exif()
    thumbnail[0x9286] = b"\xff\xda" * 100
    assert "problem" not in inspect_image(encoded(PICTURE, "JPEG", exif=thumbnail) + b"\xff\xda" * 100)


MEGABYTES = zlib.compress(bytes(3_000_000))
LONG_TEXTS = {
    "zTXt": [chunk(b"zTXt", b"Comment\0\0" + MEGABYTES)],
    "iTXt": [chunk(b"iTXt", b"Comment\0\1\0\0\0" + MEGABYTES)],
    "a colour profile": [chunk(b"iCCP", b"Profile\0\0" + MEGABYTES)],
    "more than 64 MB in all": [chunk(b"tEXt", b"Comment\0" + b"x" * 900_000)] * 75,
    "a colour profile that cannot be unpacked": [chunk(b"iCCP", b"Profile\0\0no zlib")],
}


@pytest.mark.parametrize("name", LONG_TEXTS)
@pytest.mark.parametrize("after", [1, -1], ids=["before the pixels", "after them"])
def test_what_a_png_says_of_itself_is_no_damage(name: str, after: int) -> None:
    parts = chunks(PNG)
    facts = inspect_image(PNG[:8] + b"".join([*parts[:after], *LONG_TEXTS[name], *parts[after:]]))
    assert facts == inspect_image(PNG)


def test_the_smallest_size_is_accepted() -> None:
    assert "problem" not in inspect_image(encoded(PICTURE.resize((MIN_SIDE, MIN_SIDE)), "PNG"))


def test_gray_counts_as_the_same_in_every_encoding() -> None:
    palette = PICTURE.convert("P")
    palette.putpalette([level for gray in range(256) for level in (gray, gray, gray)])
    alike = [PICTURE, PICTURE.convert("RGB"), PICTURE.convert("RGBA"), PICTURE.convert("LA"), palette]
    files = [encoded(image, "PNG") for image in alike] + [encoded(PICTURE, "WEBP", lossless=True)]
    found = [inspect_image(file) for file in files]
    assert len({(facts["pixel_sha256"], facts["phash"], facts["colour"]) for facts in found}) == 1
    assert found[0]["pixel_sha256"] == hashlib.sha256(b"%dx%d" % PICTURE.size + PICTURE.tobytes()).hexdigest()


def test_one_coloured_pixel_makes_another_picture() -> None:
    coloured = PICTURE.convert("RGB").resize((900, 900))
    gray = inspect_image(encoded(coloured, "PNG"))
    coloured.putpixel((5, 5), (255, 0, 0))
    red = inspect_image(encoded(coloured, "PNG"))
    assert red["pixel_sha256"] != gray["pixel_sha256"]
    assert red["pixel_sha256"] == hashlib.sha256(b"900x900" + coloured.tobytes()).hexdigest()
    assert distance(red["phash"], gray["phash"]) <= 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_that_pillow_holds_in_several_pieces(mode: str) -> None:
    large = PICTURE.resize((4099, 4100))  # over 16 MiB in gray
    found = inspect_image(encoded(large.convert(mode), "PNG", compress_level=1))["pixel_sha256"]
    assert found == hashlib.sha256(b"4099x4100" + large.tobytes()).hexdigest()


def test_size_is_part_of_the_pixel_hash() -> None:
    tall = PICTURE.resize((100, 200))
    wide = Image.frombytes("L", (200, 100), tall.tobytes())
    one, other = (inspect_image(encoded(image, "PNG")) for image in (tall, wide))
    assert one["pixel_sha256"] != other["pixel_sha256"]


@pytest.mark.parametrize(("colour", "expected"), [((10, 10, 10), 0.0), ((200, 100, 150), 50.0), ((0, 255, 0), 127.5)])
def test_colour_is_the_mean_spread_of_the_channels(colour: tuple[int, int, int], expected: float) -> None:
    half_black = Image.new("RGB", (128, 128))
    half_black.paste(colour, (0, 0, 64, 128))
    assert inspect_image(encoded(half_black, "PNG"))["colour"] == expected


def test_deep_images_keep_their_contrast() -> None:
    """12 bits in 16, as X-ray machines write; cut off at 255 all such pictures would look alike."""
    deep = [
        inspect_image(encoded(Image.fromarray(np.asarray(phantom(number)).astype(np.uint16) * 16), "PNG"))
        for number in (0, 1)
    ]
    assert deep[0]["mode"] == "I;16"
    assert distance(deep[0]["phash"], inspect_image(PNG)["phash"]) <= 8
    assert distance(deep[0]["phash"], deep[1]["phash"]) > 50
    assert deep[0]["pixel_sha256"] != inspect_image(PNG)["pixel_sha256"]


FINGERPRINTED = {
    "phantom": PICTURE.resize((64, 64)),
    "colour": Image.merge("RGB", [phantom(number).resize((64, 64)) for number in range(3)]),
    "noise": Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)),
    "half": Image.fromarray(np.repeat(np.uint8([0, 200]), 32 * 64).reshape(64, 64)),
    "squares": Image.fromarray(np.kron(np.uint8([[0, 255], [255, 0]]), np.ones((32, 32), np.uint8))),
}


@pytest.mark.parametrize("name", FINGERPRINTED)
def test_the_fingerprint_of_a_small_image_is_the_plain_one(name: str) -> None:
    small = FINGERPRINTED[name]
    assert inspect_image(encoded(small, "PNG"))["phash"] == str(imagehash.phash(small, hash_size=16))


@pytest.mark.parametrize("number", range(4))
def test_the_fingerprint_is_close_to_the_plain_one(number: int) -> None:
    large = phantom(number).resize((1500 + 37 * number, 1300), Image.Resampling.BICUBIC)
    plain = str(imagehash.phash(large, hash_size=16))
    assert distance(inspect_image(encoded(large, "PNG"))["phash"], plain) <= 12


def test_copies_look_alike_and_others_do_not() -> None:
    original = inspect_image(PNG)["phash"]
    copies = [
        encoded(PICTURE.resize((900, 800), Image.Resampling.LANCZOS), "JPEG", quality=90),
        encoded(PICTURE, "JPEG", quality=40),
        encoded(PICTURE.resize((224, 224), Image.Resampling.BILINEAR), "PNG"),
    ]
    assert max(distance(original, inspect_image(copy)["phash"]) for copy in copies) <= 20
    others = [inspect_image(encoded(phantom(number), "PNG"))["phash"] for number in range(1, 15)]
    assert min(distance(original, other) for other in others) > 50


def test_each_blob_is_decoded_once(store: Store) -> None:
    bodies = [encoded(phantom(number), "JPEG") for number in range(6)] + [b"no image"]
    names = [hashlib.sha256(body).hexdigest() for body in bodies]
    for name, body in zip(names, bodies, strict=True):
        store.put(blob_name(name), body)
    first = [inspect_blobs(store, PARTITIONS[shard::2], dict.fromkeys(names[:4], 1)) for shard in (0, 1)]
    assert sum(result["new"] for result in first) == sum(result["images"] for result in first) == 4
    again = [inspect_blobs(store, PARTITIONS[shard::2], dict.fromkeys(names, 1)) for shard in (0, 1)]
    assert (sum(result["new"] for result in again), sum(result["images"] for result in again)) == (3, 7)
    table = load_inspections(store)
    assert list(table.columns) == INSPECTION_SCHEMA.names
    assert sorted(table["sha256"]) == sorted(names)
    assert table.set_index("sha256").loc[names[6], "problem"] == "not_an_image"
    assert table.set_index("sha256").loc[names[0], "phash"] == inspect_image(bodies[0])["phash"]


def test_runs_that_inspect_at_the_same_time_lose_nothing_of_each_other(store: Store) -> None:
    bodies = {hashlib.sha256(body).hexdigest(): body for body in (PNG + bytes([number]) for number in range(256))}
    before, ours, *theirs = names = [name for name in bodies if name.startswith("0")][:4]
    for name in names:
        store.put(blob_name(name), bodies[name])
    inspect_blobs(store, "0", {before: 1})

    class Shared(Store):
        def fetch(self, name: str) -> Fetched:
            found = super().fetch(name)
            # First after we looked what is missing, then between our reading of the table and our writing.
            if theirs and name.endswith("/0.parquet"):
                inspect_blobs(store, "0", {theirs.pop(): 1})
            return found

    inspect_blobs(Shared(store.client, store.bucket, store.prefix), "0", {ours: 1})
    assert not theirs
    assert sorted(load_inspections(store)["sha256"]) == sorted(names)


def test_nothing_was_inspected_yet(store: Store) -> None:
    table = load_inspections(store)
    assert table.empty
    assert list(table.columns) == INSPECTION_SCHEMA.names
