"""What of a zip is kept, ignored and refused."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.sources import zips
from cxr_snapshot.sources.http import BadAnswerError
from cxr_snapshot.sources.identities import MAX_FILE

SIZE = 1_000_000  # bytes of a zip


def info(path: str, size: int = 10, crc: int = 1, packed: int | None = None) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(path)
    member.file_size, member.compress_size, member.CRC = size, size if packed is None else packed, crc
    member.header_offset = 0
    return member


def write_zip(file: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for path, body in members.items():
            archive.writestr(path, body)
    return file


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("chest_xray/train/NORMAL/a.jpeg", None),
        ("chest_xray/chest_xray/train/NORMAL/a.jpeg", "nested_copy"),
        ("chest_xray/chest_xray/train/NORMAL/other crc.jpeg", None),
        ("chest_xray/chest_xray/train/NORMAL/other size.jpeg", None),
        ("chest_xray/chest_xray/train/NORMAL/only here.jpeg", None),
        ("chest_xray/chest_xray/.DS_Store", "mac_metadata"),
        ("archive/chest_xray/chest_xray/train/b.jpeg", "nested_copy"),
        ("chest_xray/train/a\nb.jpeg", "unusable_name"),
        ("chest_xray/train/" + "a" * 1024, "unusable_name"),
        ("chest_xray/train/giant.jpeg", "too_large"),
        ("chest_xray/__MACOSX/train/._a.jpeg", "mac_metadata"),
        ("__MACOSX/anything.jpeg", "mac_metadata"),
        ("chest_xray/val/._a.jpeg", "mac_metadata"),
        ("chest_xray/val/a__MACOSX.jpeg", None),
        ("chest_xray/val/a._b.DS_Store", None),
    ],
)
def test_rule(path: str, rule: str | None) -> None:
    originals = [
        info("chest_xray/train/NORMAL/a.jpeg"),
        info("chest_xray/train/NORMAL/other crc.jpeg", crc=2),
        info("chest_xray/train/NORMAL/other size.jpeg", size=11),
        info("chest_xray/.DS_Store"),
        info("archive/chest_xray/train/b.jpeg"),
    ]
    size = MAX_FILE + 1 if rule == "too_large" else 10
    members = zips.classify([*(item for item in originals if item.filename != path), info(path, size=size)], SIZE)
    assert {member.info.filename: member.ignored for member in members}[path] == rule


def test_folders_are_left_out_and_files_come_by_path() -> None:
    members = zips.classify([info("b/"), info("b/z"), info("b/a"), info("a")], SIZE)
    assert [member.info.filename for member in members] == ["a", "b/a", "b/z"]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a/..", "C:/x", "C:x", "\\x", "..\\x", "//host/share/x"]
)
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(BadAnswerError, match="leads out"):
        zips.classify([info(path)], SIZE)


@given(st.lists(st.sampled_from(["a", "..", ".", "b c", "é", ""]), min_size=1, max_size=5).map("/".join))
def test_no_accepted_path_can_climb(path: str) -> None:
    try:
        members = zips.classify([info(path or "x")], SIZE)
    except BadAnswerError:
        assert ".." in path.split("/") or path.startswith("/")
    else:
        for member in members:
            parsed = PurePosixPath(member.info.filename)
            assert not parsed.is_absolute()
            assert ".." not in parsed.parts


def encrypted() -> zipfile.ZipInfo:
    member = info("a")
    member.flag_bits |= 0x1
    return member


def unusual_method() -> zipfile.ZipInfo:
    member = info("a")
    member.compress_type = zipfile.ZIP_LZMA
    return member


@pytest.mark.parametrize(
    ("infos", "text"),
    [
        (lambda: [encrypted()], "encrypted"),
        (lambda: [unusual_method()], "compressed by method 14"),
        (lambda: [info("a"), info("a")], "two files of the same path"),
        (lambda: [info(str(n), size=MAX_FILE) for n in range(321)], "unpacks to"),
        (lambda: [info(str(n)) for n in range(zips.MAX_MEMBERS + 1)], "holds 100001 files"),
        (lambda: [info("a", size=200 * SIZE + 1, packed=SIZE)], "more than 200 times"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_zips_beyond_the_limits_are_refused(infos: Callable[[], list[zipfile.ZipInfo]], text: str) -> None:
    members = infos()
    with pytest.raises(BadAnswerError, match=text):
        zips.classify(members, SIZE)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_with_crc_as_their_hash(tmp_path: Path, compression: int) -> None:
    file = write_zip(tmp_path / "a.zip", {"b": b"two", "a": b"hello", "._x": b"?", "empty": b""}, compression)
    files = list(zips.read_members(file, zips.list_members(file)))
    assert [(item.path, item.size, item.body, item.ignored) for item in files] == [
        ("._x", 1, None, "mac_metadata"),
        ("a", 5, b"hello", None),
        ("b", 3, b"two", None),
        ("empty", 0, b"", None),
    ]
    assert files[1].upstream_hash == "crc32:3610a686:5"  # the well-known CRC-32 of "hello"


def test_a_member_of_an_unusable_name_is_listed_without_its_body(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a\rb.jpeg": b"two", "c.jpeg": b"x"})
    odd, _ = zips.read_members(file, zips.list_members(file))
    assert (odd.path, odd.body, odd.ignored) == ("a\\rb.jpeg", None, "unusable_name")


def test_a_flipped_byte_in_a_member_is_found(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": b"x" * 100}, zipfile.ZIP_STORED)
    file.write_bytes(file.read_bytes().replace(b"xx", b"xy", 1))
    with pytest.raises(BadAnswerError, match="damaged"):
        zips.check_every_byte(file)
    with pytest.raises(BadAnswerError, match="damaged"):
        list(zips.read_members(file, zips.list_members(file)))


def test_a_member_that_unpacks_to_more_than_announced_is_not_unpacked_further(tmp_path: Path) -> None:
    size = 50_000_000
    file = write_zip(tmp_path / "a.zip", {"a": b"\0" * size})
    told = size.to_bytes(4, "little")
    file.write_bytes(file.read_bytes().replace(told, (size // 200).to_bytes(4, "little")))  # both tables lie
    members = zips.list_members(file)
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswerError, match="damaged"):
            list(zips.read_members(file, members))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("content", [b"", b"<html>not a zip</html>", b"PK\x03\x04 cut"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.zip"
    file.write_bytes(content)
    with pytest.raises(BadAnswerError, match="damaged"):
        zips.list_members(file)


def test_what_a_table_of_contents_says_of_packed_sizes_is_not_believed(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {f"{n}.jpeg": bytes(1_000_000) for n in range(30)})
    infos = zipfile.ZipFile(file).infolist()
    for item in infos:
        item.compress_size = item.file_size  # as a false table would have it
    with pytest.raises(BadAnswerError, match="more than 200 times its size"):
        zips.classify(infos, file.stat().st_size)


def test_a_table_of_contents_of_hundreds_of_thousands_is_not_read(tmp_path: Path) -> None:
    file = write_zip(tmp_path / "a.zip", {"a": b""})
    body = file.read_bytes()
    start, end = body.index(b"PK\x01\x02"), body.index(b"PK\x05\x06")
    contents = body[start:end] * (zips.MAX_CONTENTS // (end - start) + 1)
    place = end + 12  # where the length of the table stands
    file.write_bytes(
        body[:start] + contents + body[end:place] + len(contents).to_bytes(4, "little") + body[place + 4 :]
    )
    with pytest.raises(BadAnswerError, match="table of contents has more than"):
        zips.list_members(file)


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (6, (70).to_bytes(2, "little"), "damaged"),  # the version that is needed
        (8, (0x40).to_bytes(2, "little"), "damaged"),  # strong encryption
        (42, (2**32 - 5).to_bytes(4, "little"), "lies nowhere"),  # where the file is
    ],
)
def test_a_table_of_contents_of_what_cannot_be_is_refused(tmp_path: Path, place: int, value: bytes, text: str) -> None:
    file = write_zip(tmp_path / "a.zip", {"a.jpeg": b"x" * 100})
    body = file.read_bytes()
    place += body.index(b"PK\x01\x02")
    file.write_bytes(body[:place] + value + body[place + len(value) :])
    with pytest.raises(BadAnswerError, match=text):
        zips.check_every_byte(file)


def test_a_file_without_a_name_is_refused() -> None:
    with pytest.raises(BadAnswerError, match="lies nowhere"):
        zips.classify([info("")], SIZE)
