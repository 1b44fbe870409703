"""A stand-in for the parts of Kaggle that the pipeline uses, on top of a folder of zips.

``KAGGLE_DIR/<owner>/<slug>/<version>.zip``: the highest number is the current version. ``<version>.licence`` beside
it, a text, is the licence that Kaggle states for it. As on Kaggle, a download is answered with a redirect to a storage
address on another host that is signed and expires. No credentials are checked.
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
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from upstream_simulator import problems
from upstream_simulator.messages import CHUNK, Body, Request, Response, bytes_response, empty_response, json_response

LICENSE_NAME = "Attribution 4.0 International (CC BY 4.0)"

# What the storage tells of a file's bytes, in one header or in two:
# https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash
# There is no MD5 of a file that was put together from parts: https://cloud.google.com/storage/docs/composite-objects
# To compute a CRC-32C takes a second for some 5 MB here, so that none is told by default.
HashForm = Literal["md5", "crc32c and md5", "crc32c, md5 in two headers", "crc32c"]


class Kaggle:
    """Answers requests as Kaggle's API and its storage do.

    Args:
        kaggle_dir: folder with ``<owner>/<slug>/<version>.zip``; links are followed.
        storage_url: returns the address of the storage for a client that asks under this ``Host``.
        signed_url_seconds: how long a storage address may be used.
        now: the time, in seconds since 1970.

    Attributes:
        storage_url: as given.
        hash_form: what the storage tells of a file's bytes.
        heeds_if_range: whether the storage reads ``If-Range``. A server or a proxy on the way may not; HTTP lets it:
            https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5.

    Raises:
        FileNotFoundError: ``kaggle_dir`` is no folder.
    """

    def __init__(
        self,
        kaggle_dir: Path,
        storage_url: Callable[[str], str],
        signed_url_seconds: float = 300.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not kaggle_dir.is_dir():
            raise FileNotFoundError(f"{kaggle_dir} is no folder; name one that holds <owner>/<slug>/<version>.zip")
        self.hash_form: HashForm = "md5"
        self.heeds_if_range = True
        self.storage_url = storage_url
        self._folder, self._seconds, self._now = kaggle_dir, signed_url_seconds, now
        self._key = secrets.token_bytes(32)

    def api(self, request: Request) -> Response:
        """Answer a request below ``/kaggle-api``."""
        match = re.fullmatch(r"/kaggle-api/v1/datasets\.DatasetApiService/(\w+)", request.path)
        methods = {"GetDataset": self._get_dataset, "DownloadDataset": self._download_dataset}
        if match is None or match[1] not in methods or request.method != "POST":
            return problems.kaggle(404, "Not Found")
        try:
            asked = json.loads(request.body)
            owner, slug = str(asked["ownerSlug"]), str(asked["datasetSlug"])
        except (ValueError, TypeError, KeyError) as error:
            return problems.kaggle(400, f"The request must be a JSON object with ownerSlug and datasetSlug: {error!r}")
        versions = self._versions(owner, slug)
        if not versions:  # Kaggle does not tell unknown from private
            return problems.kaggle(403, "Permission 'datasets.get' was denied")
        return methods[match[1]](request, owner, slug, versions, asked)

    def storage(self, request: Request) -> Response:
        """Answer a request below ``/kaggle-storage``: the bytes of a zip, or a range of them."""
        match = re.fullmatch(r"/kaggle-storage/([^/]+)/([^/]+)/(\d+)\.zip", request.path)
        file = self._versions(match[1], match[2]).get(int(match[3])) if match else None
        expires = request.query.get("Expires", "")
        if not hmac.compare_digest(request.query.get("Signature", "").encode(), self._sign(request.path, expires)):
            return problems.storage(403, "SignatureDoesNotMatch", "Access denied.")
        if self._now() >= float(expires):
            return problems.expired()
        if file is None:
            return problems.storage(404, "NoSuchKey", "The specified key does not exist.")
        return self._send_file(request, file)

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
            "licenseName": _licence(versions[current]),
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
            return problems.kaggle(400, "Only whole datasets are served here; leave fileName out.")
        number = asked.get("datasetVersionNumber") or max(versions)
        if number not in versions:
            return problems.kaggle(404, f"Version {number} of {owner}/{slug} was not found")
        path = f"/kaggle-storage/{owner}/{slug}/{number}.zip"
        expires = repr(self._now() + self._seconds)
        query = urlencode({"Expires": expires, "Signature": self._sign(path, expires).decode()})
        # To https://storage.googleapis.com/kaggle-data-sets/...: https://github.com/Kaggle/kaggle-cli/issues/113.
        return empty_response(302, {"Location": f"{self.storage_url(request.headers.get('host', ''))}{path}?{query}"})

    def _sign(self, path: str, expires: str) -> bytes:
        return hmac.new(self._key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest().encode()

    def _send_file(self, request: Request, file: Path) -> Response:
        """Answer with a file, or with the range of it that is asked for."""
        facts = file.stat()
        digest = _md5(file, facts.st_size, facts.st_mtime_ns)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": "attachment; filename=archive.zip",
            "Accept-Ranges": "bytes",
            "ETag": f'"{digest.hex()}"',
            "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
            **self._hashes(file, digest),
        }
        wanted = request.headers.get("range", "")
        known = request.headers.get("if-range", headers["ETag"])
        if self.heeds_if_range and known not in (headers["ETag"], headers["Last-Modified"]):
            wanted = ""  # the client has the beginning of other bytes: it must get the whole
        span = _span(wanted, facts.st_size)
        if span is None:
            return Response(200, headers, _read(file, 0, facts.st_size), facts.st_size)
        if not span:
            body = b"<Error><Code>InvalidRange</Code></Error>"
            return bytes_response(416, body, "application/xml", {"Content-Range": f"bytes */{facts.st_size}"})
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{facts.st_size}"
        return Response(206, headers, _read(file, span.start, len(span)), len(span))

    def _hashes(self, file: Path, md5: bytes) -> dict[str, str]:
        """Return the headers that tell of the file's bytes, in ``hash_form``."""
        told = f"md5={base64.b64encode(md5).decode()}"
        if self.hash_form == "md5":
            return {"X-Goog-Hash": told}
        crc = f"crc32c={base64.b64encode(crc32c(file.read_bytes()).to_bytes(4)).decode()}"
        if self.hash_form == "crc32c":
            return {"X-Goog-Hash": crc}
        if self.hash_form == "crc32c and md5":
            return {"X-Goog-Hash": f"{crc},{told}"}
        return {"X-Goog-Hash": crc, "x-goog-hash": told}  # two keys here, one name for HTTP


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


def _licence(file: Path) -> str:
    """Return the licence of a version.

    Many say no more than "Other (specified in description)", which is what Kaggle shows of
    https://www.kaggle.com/datasets/teejmahal20/airline-passenger-satisfaction.
    """
    stated = file.with_suffix(".licence")
    return stated.read_text(encoding="utf-8").strip() if stated.exists() else LICENSE_NAME


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli), which Python's library lacks: https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC_TABLE = [_crc_of_byte(value) for value in range(256)]
