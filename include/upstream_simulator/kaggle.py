"""A stand-in for the parts of Kaggle that the pipeline uses, on top of a folder of zips.

``KAGGLE_DIR/<owner>/<slug>/<version>.zip``: the highest number is the current version. As on Kaggle, a download is
answered with a redirect to a storage address that is signed and expires. No credentials are checked.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
import secrets
import time
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from upstream_simulator.messages import CHUNK, Body, Request, Response, bytes_response, empty_response, json_response

LICENSE_NAME = "Attribution 4.0 International (CC BY 4.0)"


class Kaggle:
    """Answers requests as Kaggle's API and its storage do.

    Args:
        kaggle_dir: folder with ``<owner>/<slug>/<version>.zip``; links are followed.
        signed_url_seconds: how long a storage address may be used.

    Raises:
        FileNotFoundError: ``kaggle_dir`` is no folder.
    """

    def __init__(self, kaggle_dir: Path, signed_url_seconds: float = 300.0) -> None:
        if not kaggle_dir.is_dir():
            raise FileNotFoundError(f"{kaggle_dir} is no folder; name one that holds <owner>/<slug>/<version>.zip")
        self._folder, self._seconds = kaggle_dir, signed_url_seconds
        self._key = secrets.token_bytes(32)

    def api(self, request: Request) -> Response:
        """Answer a request below ``/kaggle-api``."""
        match = re.fullmatch(r"/kaggle-api/v1/datasets\.DatasetApiService/(\w+)", request.path)
        methods = {"GetDataset": self._get_dataset, "DownloadDataset": self._download_dataset}
        if match is None or match[1] not in methods or request.method != "POST":
            return _problem(404, "Not Found")
        try:
            asked = json.loads(request.body)
            owner, slug = str(asked["ownerSlug"]), str(asked["datasetSlug"])
        except (ValueError, TypeError, KeyError) as error:
            return _problem(400, f"The request must be a JSON object with ownerSlug and datasetSlug: {error!r}")
        versions = self._versions(owner, slug)
        if not versions:  # Kaggle does not tell unknown from private
            return _problem(403, "Permission 'datasets.get' was denied")
        return methods[match[1]](request, owner, slug, versions, asked)

    def storage(self, request: Request) -> Response:
        """Answer a request below ``/kaggle-storage``: the bytes of a zip, or a range of them."""
        match = re.fullmatch(r"/kaggle-storage/([^/]+)/([^/]+)/(\d+)\.zip", request.path)
        file = self._versions(match[1], match[2]).get(int(match[3])) if match else None
        expires = request.query.get("Expires", "")
        if not hmac.compare_digest(request.query.get("Signature", "").encode(), self._sign(request.path, expires)):
            return _storage_problem(403, "SignatureDoesNotMatch", "The signature does not fit this address.")
        if time.time() >= float(expires):
            return _storage_problem(403, "ExpiredToken", "The signed address has expired; ask for a new one.")
        if file is None:
            return _storage_problem(404, "NoSuchKey", "There is no such file.")
        return _send_file(request, file)

    def _versions(self, owner: str, slug: str) -> dict[int, Path]:
        """Return the zips of a dataset by version number; empty where there is no such dataset."""
        if not all(re.fullmatch(r"[\w-]+", part) for part in (owner, slug)):
            return {}
        return {int(file.stem): file for file in (self._folder / owner / slug).glob("*.zip") if file.stem.isdecimal()}

    def _get_dataset(
        self, _: Request, owner: str, slug: str, versions: dict[int, Path], __: dict[str, Any]
    ) -> Response:
        current = max(versions)
        dates = {number: _date(file) for number, file in versions.items()}
        answer = {
            "ref": f"{owner}/{slug}",
            "title": slug,
            "ownerRef": owner,
            "licenseName": LICENSE_NAME,
            "currentVersionNumber": current,
            "lastUpdated": dates[current],
            "totalBytes": versions[current].stat().st_size,
            "versions": [{"versionNumber": number, "creationDate": dates[number]} for number in sorted(dates)],
        }
        return json_response(200, answer)

    def _download_dataset(
        self, request: Request, owner: str, slug: str, versions: dict[int, Path], asked: dict[str, Any]
    ) -> Response:
        if asked.get("fileName"):
            return _problem(400, "Only whole datasets are served here; leave fileName out.")
        number = asked.get("datasetVersionNumber") or max(versions)
        if number not in versions:
            return _problem(404, f"Version {number} of {owner}/{slug} was not found")
        path = f"/kaggle-storage/{owner}/{slug}/{number}.zip"
        expires = repr(time.time() + self._seconds)
        query = urlencode({"Expires": expires, "Signature": self._sign(path, expires).decode()})
        return empty_response(302, {"Location": f"http://{request.headers.get('host', '')}{path}?{query}"})

    def _sign(self, path: str, expires: str) -> bytes:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest().encode()


def _send_file(request: Request, file: Path) -> Response:
    """Answer with a file, or with the range of it that is asked for."""
    facts = file.stat()
    digest = _md5(file, facts.st_size, facts.st_mtime_ns)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": "attachment; filename=archive.zip",
        "Accept-Ranges": "bytes",
        "ETag": f'"{digest.hex()}"',
        "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
        "X-Goog-Hash": f"md5={base64.b64encode(digest).decode()}",
    }
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", headers["ETag"]) not in (headers["ETag"], headers["Last-Modified"]):
        wanted = ""  # the client has the beginning of other bytes: it must get the whole
    span = _span(wanted, facts.st_size)
    if span is None:
        return Response(200, headers, _read(file, 0, facts.st_size), facts.st_size)
    if not span:
        body = b"<Error><Code>InvalidRange</Code></Error>"
        return bytes_response(416, body, "application/xml", {"Content-Range": f"bytes */{facts.st_size}"})
    headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{facts.st_size}"
    return Response(206, headers, _read(file, span.start, len(span)), len(span))


def _span(header: str, size: int) -> range | None:
    """Return the bytes that a ``Range`` header asks for.

    Args:
        header: value of the header; empty where there is none.
        size: length of the file in bytes.

    Returns:
        The positions; an empty range where there are no such bytes; ``None`` where the whole file is to be sent (no
        header, several ranges, or one that cannot be read, which HTTP says to overlook).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)


def _read(file: Path, start: int, length: int) -> Body:
    with file.open("rb") as stream:
        stream.seek(start)
        while length and (chunk := stream.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk


@functools.lru_cache
def _md5(file: Path, size: int, mtime_ns: int) -> bytes:  # noqa: ARG001 - size and time are there for the cache
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, functools.partial(hashlib.md5, usedforsecurity=False)).digest()


def _date(file: Path) -> str:
    return f"{datetime.fromtimestamp(file.stat().st_mtime, UTC):%Y-%m-%dT%H:%M:%S}Z"


def _problem(status: int, message: str) -> Response:
    return json_response(status, {"code": status, "message": message})


def _storage_problem(status: int, code: str, message: str) -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return bytes_response(status, body.encode(), "application/xml")
