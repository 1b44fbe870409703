"""Small upstreams of right answers, the real clients that ask them, and what may become of it."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from urllib.parse import unquote

import requests

from cxr_snapshot.errors import SourceError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.covid import METADATA, CovidCollection
from cxr_snapshot.sources.github import git_blob_sha1
from cxr_snapshot.sources.pneumonia import PneumoniaCollection
from support.wire import Answer, answering

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MAX_WAIT = 60.0  # seconds, the longest pause within a task
_STORAGE = "https://storage.example.org/"

Damage = Callable[[Answer], Answer]


@functools.cache
def repository() -> dict[str, bytes]:
    """Return the files of the repository."""
    files = {f"images/{name}": Random(name).randbytes(size) for name, size in (("a.jpg", 700), ("b é.png", 40))}
    return files | {"images/empty.jpg": b"", METADATA: b"patientid,finding,view,filename\n1,COVID-19,PA,a.jpg\n"}


@functools.cache
def members() -> dict[str, bytes]:
    """Return what Kaggle's zip holds."""
    folder = "chest_xray/train/"
    files = {f"{folder}{name}": Random(name).randbytes(300) for name in ("NORMAL/a.jpeg", "PNEUMONIA/b.jpeg")}
    return files | {f"chest_xray/{name}": body for name, body in files.items()} | {"chest_xray/.DS_Store": b"x"}


@functools.cache
def tree() -> bytes:
    entries = [
        {"path": path, "mode": "100644", "type": "blob", "sha": git_blob_sha1(body), "size": len(body), "url": "any"}
        for path, body in {**repository(), "README.md": b"hello"}.items()
    ]
    entries.append({"path": "images", "mode": "040000", "type": "tree", "sha": COMMIT, "url": "any"})
    return json.dumps({"sha": COMMIT, "url": "any", "tree": entries, "truncated": False}).encode()


@functools.cache
def tar(kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return the archive as codeload sends it, not packed yet."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=kind, pax_headers={"comment": COMMIT}) as archive:
        for path, body in {**repository(), "README.md": b"hello"}.items():
            info = tarfile.TarInfo(f"covid-{COMMIT}/{path}")
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return packed.getvalue()


def gzipped(body: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(body) + packer.flush()


@functools.cache
def zipped(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for path, body in members().items():
            archive.writestr(zipfile.ZipInfo(path), body, method)
    return packed.getvalue()


def github_answer(request: requests.PreparedRequest) -> tuple[str, Answer]:
    """Return what a request asks for, and the right answer."""
    url = unquote(request.url or "")
    if url.startswith("https://api.github.com/repos/") and "/commits/" in url:
        return "commit", Answer(COMMIT.encode(), headers=[("ETag", f'"{COMMIT}"')])
    if url.startswith("https://api.github.com/repos/") and f"/git/trees/{COMMIT}" in url:
        return "tree", Answer(tree(), headers=[("Content-Type", "application/json; charset=utf-8")])
    if url.startswith("https://codeload.github.com/") and url.endswith(COMMIT):
        return "archive", Answer(gzipped(tar()), headers=[("Content-Type", "application/x-gzip")])
    body = repository().get(url.partition(f"/{COMMIT}/")[2])
    return "raw", Answer(status="404") if body is None else Answer(body)


def kaggle_answer(request: requests.PreparedRequest) -> tuple[str, Answer]:
    """Return what a request asks for, and the right answer."""
    url = request.url or ""
    if url.endswith("/GetDataset"):
        described = {"currentVersionNumber": 2, "licenseName": "CC BY 4.0", "title": "Any", "totalBytes": 1}
        return "description", Answer(json.dumps(described).encode(), headers=[("Content-Type", "application/json")])
    if url.endswith("/DownloadDataset"):
        return "link", Answer(status="302", headers=[("Location", f"{_STORAGE}any.zip?Signature=any")])
    if not url.startswith(_STORAGE):
        return "elsewhere", Answer(status="404")
    md5 = base64.b64encode(hashlib.md5(zipped(), usedforsecurity=False).digest()).decode()
    return "zip", Answer(zipped(), headers=[("ETag", '"any"'), ("X-Goog-Hash", f"crc32c=AAAAAA==,md5={md5}")])


def ask_github(random: Random, damage: dict[str, Damage]) -> str:
    """Take the repository in, where answers by name are damaged; return ``taken`` or the error's name.

    Raises:
        AssertionError: something was taken that is not what was announced.
        Exception: anything but an error that is documented.
    """
    known = {git_blob_sha1(body) for body in repository().values() if random.random() < 0.5}
    slept: list[float] = []
    try:
        with answering(_damaged(github_answer, damage)):
            source = CovidCollection(_settings(Path()), sleep=slept.append)
            revision = source.resolve()
            listing = source.files(revision, known)
            files = list(listing.files)
    except SourceError as error:
        assert str(error).isprintable()
        return type(error).__name__
    finally:
        assert all(0 <= pause <= MAX_WAIT for pause in slept)
    for file in files:
        if file.body is not None:
            assert (git_blob_sha1(file.body), len(file.body)) == (file.upstream_hash, file.size)
    if "commit" not in damage:
        assert revision.id == COMMIT
    if "tree" not in damage:
        found = {file.path: file.body if file.body is not None else file.upstream_hash for file in files}
        right = {path: (body, git_blob_sha1(body)) for path, body in repository().items()}
        assert found == {path: sha if sha in known else body for path, (body, sha) in right.items()}
        assert listing.total == len(files)
    return "taken"


def ask_kaggle(damage: dict[str, Damage], *, announced: bool = True) -> str:
    """Take the dataset in, as :func:`ask_github` does.

    Args:
        damage: by name of the answer.
        announced: whether the storage tells the right hash.
    """
    slept: list[float] = []
    folder = _scratch()
    try:
        with answering(_damaged(kaggle_answer, damage)):
            source = PneumoniaCollection(_settings(folder), sleep=slept.append)
            revision = source.resolve()
            json.dumps([revision.id, revision.license]).encode()
            str(revision.license).encode()
            files = list(source.files(revision, ()).files)
    except SourceError as error:
        assert str(error).isprintable()
        return type(error).__name__
    finally:
        assert all(0 <= pause <= MAX_WAIT for pause in slept)
        shutil.rmtree(folder / "downloads", ignore_errors=True)
    for file in files:
        file.path.encode()
        assert file.body is None or (_crc(file.body), len(file.body)) == (file.upstream_hash, file.size)
    if announced:
        bodies = {file.path: file.body for file in files if not file.ignored}
        assert bodies == {
            path: body for path, body in members().items() if path.count("chest_xray") == 1 and len(body) > 1
        }
    return "taken"


def _crc(body: bytes) -> str:
    return f"crc32:{zlib.crc32(body):08x}:{len(body)}"


def _damaged(
    answer: Callable[[requests.PreparedRequest], tuple[str, Answer]], damage: dict[str, Damage]
) -> Callable[[requests.PreparedRequest], Answer]:
    def damaged(request: requests.PreparedRequest) -> Answer:
        name, right = answer(request)
        return damage[name](right) if name in damage else right

    return damaged


def _settings(scratch: Path) -> Settings:
    return Settings(bucket="any", scratch_dir=scratch, http_attempts=2, http_max_wait=MAX_WAIT)


@functools.cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))
