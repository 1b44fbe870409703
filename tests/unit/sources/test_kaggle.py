"""The parts of the Kaggle source that need no server."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.errors import SettingsError, UpstreamCorruptError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import Revision
from cxr_snapshot.sources.http import BadAnswerError
from cxr_snapshot.sources.kaggle import (
    Download,
    Target,
    check_download,
    described_dataset,
    md5_of_header,
    private_folder,
)
from cxr_snapshot.sources.pneumonia import PneumoniaCollection
from support.wire import Answer, answering

MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("header", "md5"),
    [
        ("", None),
        ("crc32c=AAAAAA==", None),
        ("md5=1B2M2Y8AsgTpgAmY7PhCfg==", MD5_OF_NOTHING),
        ("crc32c=AAAAAA==, md5=1B2M2Y8AsgTpgAmY7PhCfg==", MD5_OF_NOTHING),
        ("md5=1B2M2Y8AsgTpgAmY7PhCfg==,crc32c=AAAAAA==", MD5_OF_NOTHING),
    ],
)
def test_md5_of_header(header: str, md5: str | None) -> None:
    assert md5_of_header(header) == md5


@pytest.mark.parametrize("header", ["md5=", "md5=AAAA", "md5=no base64!"])
def test_a_garbled_md5_is_refused(header: str) -> None:
    with pytest.raises(BadAnswerError, match="no MD5"):
        md5_of_header(header)


@pytest.mark.parametrize(
    ("headers", "about"),
    [
        ({}, Download(None, None, None)),
        ({"ETag": '"a"', "Content-Length": "12"}, Download('"a"', 12, None)),
        ({"ETag": 'W/"a"', "X-Goog-Hash": "md5=1B2M2Y8AsgTpgAmY7PhCfg=="}, Download(None, None, MD5_OF_NOTHING)),
    ],
)
def test_download_of_headers(headers: dict[str, str], about: Download) -> None:
    assert Download.of_headers(headers) == about


@given(st.builds(Download, st.none() | st.text(), st.none() | st.integers(0), st.none() | st.text()))
def test_a_saved_download_is_read_back(tmp_path_factory: pytest.TempPathFactory, about: Download) -> None:
    file = tmp_path_factory.getbasetemp() / "about.json"
    about.save(file)
    assert Download.load(file) == about


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"etag": 1}', '{"other": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "about.json"
    file.write_text(text)
    assert Download.load(file) is None


@pytest.mark.parametrize(
    ("about", "done", "expected"),
    [
        (Download('"a"', 10, None), 4, 4),
        (Download('"a"', 10, None), 10, 10),
        (Download('"a"', 10, None), 11, 0),
        (Download(None, 10, None), 4, 0),
        (Download('"a"', None, None), 4, 0),
        (None, 4, 0),
    ],
)
def test_only_a_part_of_known_origin_is_continued(
    tmp_path: Path, about: Download | None, done: int, expected: int
) -> None:
    target = Target("https://kaggle.example.invalid", 1, tmp_path / "a.zip")
    target.part.write_bytes(b"x" * done)
    if about:
        about.save(target.sidecar)
    assert target.progress() == (about if expected else None, expected)


def test_a_finished_zip_is_reused_only_while_its_bytes_are_right(tmp_path: Path) -> None:
    target = Target("https://kaggle.example.invalid", 1, tmp_path / "a.zip")
    assert not target.is_whole()
    target.file.write_bytes(b"zip")
    assert not target.is_whole()
    Download(None, 3, hashlib.md5(b"zip").hexdigest()).save(target.sidecar)
    assert target.is_whole()
    target.file.write_bytes(b"zap")
    assert not target.is_whole()


def test_without_an_md5_every_member_is_read(tmp_path: Path) -> None:
    part = tmp_path / "a.zip.part"
    with zipfile.ZipFile(part, "w") as archive:
        archive.writestr("a", b"x" * 100)
    size, md5 = part.stat().st_size, hashlib.md5(part.read_bytes()).hexdigest()
    assert check_download(part, Download('"a"', size, None)) == Download('"a"', size, md5)
    part.write_bytes(part.read_bytes().replace(b"xx", b"xy", 1))
    with pytest.raises(BadAnswerError, match="damaged"):
        check_download(part, Download('"a"', size, None))


@pytest.mark.parametrize(
    ("about", "text"), [(Download(None, 4, None), "3 bytes where 4"), (Download(None, 3, "0" * 32), "MD5 is")]
)
def test_wrong_size_or_md5_is_refused(tmp_path: Path, about: Download, text: str) -> None:
    part = tmp_path / "a.zip.part"
    part.write_bytes(b"zip")
    with pytest.raises(BadAnswerError, match=text):
        check_download(part, about)


def test_the_folder_for_downloads_is_this_users_alone(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "new" / "scratch")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert private_folder(tmp_path / "new" / "scratch") == folder


@pytest.mark.parametrize("made", ["open to others", "a link", "a file"])
def test_a_folder_for_downloads_that_others_could_have_filled_is_refused(tmp_path: Path, made: str) -> None:
    folder = tmp_path / "downloads"
    if made == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif made == "a file":
        folder.touch(mode=0o600)
    else:
        folder.mkdir()
        folder.chmod(0o770)
    with pytest.raises(SettingsError, match="CXR_SCRATCH_DIR"):
        private_folder(tmp_path)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"{", b'{"code": "x"}'])
def test_json_in_the_place_of_the_zip_is_no_zip(tmp_path: Path, body: bytes) -> None:
    def answer(request: requests.PreparedRequest) -> Answer:
        return Answer(body, headers=[("Content-Type", "application/json")])

    settings = Settings(bucket="abc", scratch_dir=tmp_path, http_attempts=1)
    with answering(answer), pytest.raises(UpstreamCorruptError, match="the zip is damaged"):
        PneumoniaCollection(settings).files(Revision("pneumonia", "1"), known=())


@pytest.mark.parametrize(("stated", "kept"), [("CC BY\ud800", r"CC BY\ud800"), ("a\x1b[2J\n", r"a\x1b[2J\n")])
def test_a_licence_is_one_line_of_what_can_be_seen(stated: str, kept: str) -> None:
    body = json.dumps({"currentVersionNumber": 1, "licenseName": stated}).encode()
    assert described_dataset(body) == (1, kept)
