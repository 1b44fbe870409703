"""Answers that no well-meaning upstream gives: giant, endless, hollow, odd. The real clients meet a small server."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.errors import (
    RateLimitedError,
    SourceError,
    UpstreamCorruptError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import tarballs
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.sources.github import git_blob_sha1
from cxr_snapshot.sources.kaggle import CHUNK
from cxr_snapshot.sources.pneumonia import PneumoniaCollection

MB = 1024**2
COMMIT = "1" * 40
TABLE = b"patientid,filename\r\n1,a.jpg\r\n"
IMAGE = b"an image" * 100
FILES = {"metadata.csv": TABLE, "images/a.jpg": IMAGE}

Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Return what sends a whole answer."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(MB))
    except OSError:  # the client has had enough
        handler.close_connection = True


class Upstream:
    """A server whose answers a test gives, by a part of the path; the longest part that fits counts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []

    def settings(self, scratch: Path, **others: Any) -> Settings:
        kinds = {name: f"{self.url}/{name}" for name in ("api", "raw", "codeload")}
        urls = {f"github_{name}_url": url for name, url in kinds.items()}
        once = {"http_attempts": 1, "scratch_dir": scratch, "kaggle_api_url": f"{self.url}/kaggle"}
        return Settings(bucket="abc", **{**once, **urls, **others})


@contextmanager
def serve() -> Iterator[Upstream]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            self.rfile.read(length)
            upstream.seen.append((self.path, dict(self.headers)))
            fitting = [part for part in upstream.answers if part in self.path]
            (upstream.answers[max(fitting, key=len)] if fitting else answer(404))(self)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        upstream = Upstream(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield upstream
        server.shutdown()


def tree(files: dict[str, bytes] = FILES) -> bytes:
    entries = [
        {"path": path, "type": "blob", "sha": git_blob_sha1(body), "size": len(body)} for path, body in files.items()
    ]
    return json.dumps({"tree": entries, "truncated": False}).encode()


def archive(files: dict[str, bytes], **pax: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path, body in files.items():
            member = tarfile.TarInfo(f"repository/{path}")
            member.size, member.pax_headers = len(body), pax
            tar.addfile(member, io.BytesIO(body))
    return packed.getvalue()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with serve() as served:
        served.answers = {
            "/commits/": answer(200, COMMIT.encode()),
            "/git/trees/": answer(200, tree()),
            "/codeload/": answer(200, archive(FILES)),
            **{f"/{path}": answer(200, body) for path, body in FILES.items()},
        }
        yield served


def take(upstream: Upstream, tmp_path: Path, *known: bytes, **others: Any) -> dict[str, bytes | None]:
    source = CovidCollection(upstream.settings(tmp_path, **others), sleep=lambda _: None)
    listing = source.files(source.resolve(), {git_blob_sha1(body) for body in known})
    return {file.path: file.body for file in listing.files}


def test_the_answers_of_these_tests_are_sound_when_nothing_is_changed(upstream: Upstream, tmp_path: Path) -> None:
    assert take(upstream, tmp_path) == FILES
    assert take(upstream, tmp_path, TABLE) == FILES | {"metadata.csv": None}


@pytest.mark.parametrize(
    ("place", "made"),
    [
        ("/images/a.jpg", lambda: b"x" * MB),
        ("/images/a.jpg", lambda: gzip.compress(bytes(300 * MB), 1)),
        ("/git/trees/", lambda: gzip.compress(b" " * (300 * MB), 1)),
        ("/commits/", lambda: gzip.compress(b"1" * (300 * MB), 1)),
    ],
    ids=["too long", "bomb as a file", "bomb as a tree", "bomb as a commit"],
)
def test_more_bytes_than_there_can_be_are_not_taken(
    upstream: Upstream, tmp_path: Path, place: str, made: Callable[[], bytes]
) -> None:
    body = made()  # not when tests are collected
    packed = {"Content_Encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
    upstream.answers[place] = answer(200, body, **packed)
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamCorruptError, match=r"more than [0-9,]+ bytes came"):
            take(upstream, tmp_path, TABLE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 250 * MB, "a tree may have 64 MB"


@pytest.mark.parametrize("place", ["/images/a.jpg", "/git/trees/", "/commits/"])
def test_an_answer_without_end_is_given_up(upstream: Upstream, tmp_path: Path, place: str) -> None:
    upstream.answers[place] = endless
    with pytest.raises(UpstreamCorruptError, match=r"more than [0-9,]+ bytes came"):
        take(upstream, tmp_path, TABLE)


def test_a_giant_header_in_the_archive_is_not_read(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers["/codeload/"] = answer(200, archive(FILES, comment="x" * 100 * MB))
    tracemalloc.start()
    try:
        with pytest.raises(UpstreamCorruptError, match="the archive is damaged or cut off"):
            take(upstream, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 * MB


def test_an_archive_without_end_is_given_up(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarballs, "MAX_ARCHIVE", 10 * MB)
    upstream.answers["/codeload/"] = answer(200, archive({"volumes/a": bytes(20 * MB)} | FILES))
    with pytest.raises(UpstreamCorruptError, match="more than 10,485,760 bytes came"):
        take(upstream, tmp_path)


def test_a_giant_file_is_left_out_and_the_rest_goes_on(upstream: Upstream, tmp_path: Path) -> None:
    listed = json.loads(tree())
    listed["tree"].append({"path": "images/giant.png", "type": "blob", "sha": "2" * 40, "size": 10**12})
    upstream.answers["/git/trees/"] = answer(200, json.dumps(listed).encode())
    source = CovidCollection(upstream.settings(tmp_path))
    files = {file.path: file for file in source.files(source.resolve(), ()).files}
    assert (files["images/giant.png"].body, files["images/giant.png"].ignored) == (None, "too_large")
    assert files["images/a.jpg"].body == IMAGE


def test_a_giant_table_is_refused_by_its_name(upstream: Upstream, tmp_path: Path) -> None:
    listed = json.loads(tree())
    listed["tree"][0]["size"] = 10**9
    upstream.answers["/git/trees/"] = answer(200, json.dumps(listed).encode())
    with pytest.raises(UpstreamCorruptError, match=r"metadata\.csv is larger than 67,108,864 bytes"):
        take(upstream, tmp_path)


@pytest.mark.parametrize("depth", [100_000])
def test_json_of_any_depth_is_an_odd_answer(upstream: Upstream, tmp_path: Path, depth: int) -> None:
    upstream.answers["/git/trees/"] = answer(200, b"[" * depth + b"]" * depth)
    with pytest.raises(UpstreamCorruptError):
        take(upstream, tmp_path)


@pytest.mark.parametrize(
    "message",
    ["You have exceeded a secondary rate limit. Please wait a few minutes.", "API rate limit exceeded for 1.2.3.4"],
)
@pytest.mark.parametrize(("place", "remedy"), [("/commits/", "GITHUB_TOKEN"), ("/codeload/", "Wait an hour")])
def test_a_refusal_that_speaks_of_a_rate_limit_is_one(
    upstream: Upstream, tmp_path: Path, message: str, place: str, remedy: str
) -> None:
    upstream.answers[place] = answer(403, json.dumps({"message": message}).encode())
    with pytest.raises(RateLimitedError, match=remedy) as caught:
        take(upstream, tmp_path)
    assert caught.value.seconds == 60


def test_a_refusal_of_any_length_is_read_to_its_beginning_only(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answers["/commits/"] = answer(403, b"no " * 30 * MB)
    with pytest.raises(UpstreamRefusedError, match="refused with HTTP 403"):
        take(upstream, tmp_path)


def test_a_password_of_netrc_goes_nowhere(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ann password SECRET\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serve() as elsewhere:
        elsewhere.answers["/moved"] = answer(200, COMMIT.encode())
        upstream.answers["/commits/"] = answer(301, Location=f"{elsewhere.url}/moved")
        assert take(upstream, tmp_path, github_token="TOKEN") == FILES
        assert [headers.get("Authorization") for _, headers in elsewhere.seen] == [None]
    sent = {headers.get("Authorization") for _, headers in upstream.seen}
    assert sent == {"Bearer TOKEN", None}


def test_a_repository_that_was_renamed_is_followed(upstream: Upstream, tmp_path: Path) -> None:
    """GitHub answers 301 to the API's old address: https://docs.github.com/en/rest/guides/best-practices."""
    upstream.answers["/repos/"] = answer(404)
    for place, part in (("/commits/", "commits/master"), ("/git/trees/", f"git/trees/{COMMIT}?recursive=1")):
        body = upstream.answers.pop(place)
        upstream.answers[f"/repos/ieee8023/covid-chestxray-dataset{place}"] = answer(
            301, Location=f"{upstream.url}/api/repositories/7/{part}"
        )
        upstream.answers[f"/repositories/7{place}"] = body
    assert take(upstream, tmp_path, github_token="TOKEN") == FILES


# Kaggle


def description(**others: Any) -> bytes:
    return json.dumps({"currentVersionNumber": 3, "licenseName": "other", **others}).encode()


def resolve(upstream: Upstream, tmp_path: Path, **others: Any) -> tuple[str, str | None]:
    revision = PneumoniaCollection(upstream.settings(tmp_path, **others), sleep=lambda _: None).resolve()
    return revision.id, revision.license


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"code": "NOT_FOUND"},
        {"code": None},
        {"lastUpdated": "yesterday"},
        {"lastUpdated": {"seconds": []}},
        {"versions": [None, 7]},
        {"ownerName": 5, "tags": "none"},
    ],
    ids=str,
)
def test_fields_that_are_not_used_may_hold_anything(upstream: Upstream, tmp_path: Path, odd: dict[str, Any]) -> None:
    upstream.answers["/GetDataset"] = answer(200, description(**odd), Content_Type="application/json")
    assert resolve(upstream, tmp_path) == ("3", "other")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, {"code": 500, "message": "oops"}, UpstreamUnavailableError),
        (503, {"code": "UNAVAILABLE", "message": {"nested": ["oops"]}}, UpstreamUnavailableError),
        (502, [], UpstreamUnavailableError),
        (404, {"error": {"code": 404, "message": "gone"}}, UpstreamRefusedError),
        (403, {"code": "403", "message": "rate limit"}, RateLimitedError),
        (200, {"currentVersionNumber": "3"}, UpstreamCorruptError),
        (200, {"currentVersionNumber": True}, UpstreamCorruptError),
        (200, [3], UpstreamCorruptError),
        (200, {"code": 404, "message": "not here"}, UpstreamCorruptError),
    ],
    ids=str,
)
def test_errors_in_any_form_are_told_by_their_status(
    upstream: Upstream, tmp_path: Path, status: int, body: Any, error: type[SourceError]
) -> None:
    upstream.answers["/GetDataset"] = answer(status, json.dumps(body).encode(), Content_Type="application/json")
    with pytest.raises(error) as caught:
        resolve(upstream, tmp_path)
    assert type(caught.value) is error


def test_a_giant_description_is_not_taken(upstream: Upstream, tmp_path: Path) -> None:
    body = gzip.compress(b" " * (100 * MB), 1)
    upstream.answers["/GetDataset"] = answer(200, body, Content_Encoding="gzip", Content_Type="application/json")
    with pytest.raises(UpstreamCorruptError, match="more than 8,388,608 bytes came"):
        resolve(upstream, tmp_path)


def test_a_range_that_is_not_there_starts_the_download_anew(upstream: Upstream, tmp_path: Path) -> None:
    file, body = io.BytesIO(), random.Random(1).randbytes(3 * CHUNK)
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("chest_xray/train/NORMAL/a.jpeg", body)
    whole = file.getvalue()
    etag, cut = f'"{hashlib.md5(whole).hexdigest()}"', len(whole) // 2

    def storage(handler: BaseHTTPRequestHandler) -> None:
        if "Range" in handler.headers:
            answer(416, b"<Error><Code>InvalidRange</Code></Error>")(handler)
        elif len([path for path, _ in upstream.seen if "/storage" in path]) == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(whole)))
            handler.send_header("ETag", etag)
            handler.end_headers()
            handler.wfile.write(whole[:cut])
            handler.close_connection = True
        else:
            answer(200, whole, ETag=etag)(handler)

    upstream.answers["/GetDataset"] = answer(200, description(), Content_Type="application/json")
    upstream.answers["/DownloadDataset"] = answer(302, Location=f"{upstream.url}/storage?Signature=x")
    upstream.answers["/storage"] = storage
    source = PneumoniaCollection(upstream.settings(tmp_path, http_attempts=4), sleep=lambda _: None)
    (found,) = source.files(source.resolve(), ()).files
    assert found.body == body
    ranges = [headers.get("Range") for path, headers in upstream.seen if "/storage" in path]
    assert ranges == [None, f"bytes={CHUNK}-", None]
