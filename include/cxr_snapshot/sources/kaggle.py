"""The zip of a Kaggle dataset.

Uses Kaggle's SDK (``kagglesdk``, a part of the ``kaggle`` package) without the command line's module ``kaggle``: to
import that one asks Kaggle who the user is, without a timeout, prints a help text where nobody is logged in, makes a
folder in the user's home and may delete expired logins there. The SDK's own download is replaced too: it has no
timeouts and checks no checksum. So the SDK makes the requests, and everything after the answer's headers is done here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from cxr_snapshot import shown
from cxr_snapshot.errors import SettingsError, UpstreamCorruptError, UpstreamRefusedError, UpstreamUnavailableError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import zips
from cxr_snapshot.sources.base import Listing, Revision, UpstreamFile
from cxr_snapshot.sources.http import (
    BadAnswerError,
    Meter,
    Retrier,
    Sleep,
    TokenAuth,
    check_status,
    new_session,
    read_body,
    says_synthetic,
)

CHUNK = 1024 * 1024  # bytes
MAX_DESCRIPTION = 8 * CHUNK  # bytes of the description of a dataset
PROGRESS_SECONDS = 5.0

_log = shown.logger(__name__)


@dataclass(frozen=True)
class Download:
    """What the storage says of a zip; kept beside it as JSON, so that a later task can go on with a partial one.

    Attributes:
        etag: the strong ETag, or ``None``: then a partial file is of no use.
        size: length in bytes, or ``None`` where it was not told.
        md5: in hexadecimal, or ``None`` where it was not told.
    """

    etag: str | None
    size: int | None
    md5: str | None

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> Self:
        """Read the headers of an answer that holds the whole file."""
        etag, length = headers.get("ETag", ""), headers.get("Content-Length", "")
        return cls(
            etag=etag if etag.startswith('"') else None,  # a weak one may not be used to continue
            size=int(length) if length.isdigit() else None,
            md5=md5_of_header(headers.get("X-Goog-Hash", "")),
        )

    @classmethod
    def load(cls, file: Path) -> Self | None:
        """Read what was saved; ``None`` where there is nothing, or nothing that can be read."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            _log.warning("%s is no record of a download (%s); the download starts from its beginning", file, error)
            return None

    def save(self, file: Path) -> None:
        """Write it in one step, so that a killed task leaves the old or the new text."""
        draft = file.with_name(f"{file.name}.new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(file)


@dataclass(frozen=True)
class Target:
    """Where one version of the dataset comes from and where it goes to: ``file``, and two more beside it until then."""

    url: str
    version: int
    file: Path

    @property
    def part(self) -> Path:
        """The zip as long as it is not whole and checked."""
        return self.file.with_name(f"{self.file.name}.part")

    @property
    def sidecar(self) -> Path:
        """The saved ``Download``."""
        return self.file.with_name(f"{self.file.name}.json")

    def is_whole(self) -> bool:
        """Say whether an earlier task finished the zip, by its size and MD5."""
        about = Download.load(self.sidecar) if self.file.exists() else None
        return about is not None and self.file.stat().st_size == about.size and _md5(self.file) == about.md5

    def progress(self) -> tuple[Download | None, int]:
        """Return what is known of a partial file that can be continued, and its length in bytes; else ``None``, 0."""
        about = Download.load(self.sidecar) if self.part.exists() else None
        done = self.part.stat().st_size if about else 0
        return (about, done) if about and about.etag and about.size and done <= about.size else (None, 0)

    def delete(self) -> None:
        """Delete the zip and what was saved of it."""
        self.file.unlink(missing_ok=True)
        self.sidecar.unlink(missing_ok=True)


class KaggleDataset:
    """All files of one dataset's zip; a collection is a subclass.

    Args:
        settings: the run's settings.
        dataset: ``owner/slug``.
        named_in: what names it, for errors.
        sleep: waits so many seconds.
    """

    name: str

    def __init__(
        self, settings: Settings, dataset: str, *, named_in: str = "CXR_KAGGLE_DATASET", sleep: Sleep = time.sleep
    ) -> None:
        self._settings, self._dataset = settings, dataset
        self._base = settings.kaggle_api_url.rstrip("/")
        self._service = f"{self._base}/v1/datasets.DatasetApiService"
        check = f"Check {named_in} ({self._dataset})"
        login = "KAGGLE_API_TOKEN, or KAGGLE_USERNAME and KAGGLE_KEY"
        remedies = {
            401: f"The login is wrong or has expired: renew {login}, or unset them; public data needs none.",
            403: f"{check}: Kaggle says this of unknown datasets too. A private one needs {login}.",
            404: f"{check} and the version number.",
            429: f"Wait, or set {login}: without a login Kaggle allows fewer requests.",
        }
        self._http = Retrier(self.name, settings, remedies, sleep=sleep)

    def resolve(self, *, pin: str | None = None, last_seen: str | None = None) -> Revision:  # noqa: ARG002
        """Name the dataset's newest version and its licence, in one request that downloads nothing.

        Args:
            pin: a version number to use in place of the newest.
            last_seen: not used; Kaggle has no cheaper way to say "unchanged" than this one small answer.

        Raises:
            SourceError: Kaggle cannot be asked, or does not know the dataset or the version.
        """
        from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

        url, request = f"{self._service}/GetDataset", ApiGetDatasetRequest()
        request.owner_slug, request.dataset_slug = self._dataset.split("/")

        def fetch() -> tuple[int, str | None, bool]:
            with self._api() as api, _open_answer(lambda: api.get_dataset(request)) as response:
                return *described_dataset(read_body(response, MAX_DESCRIPTION)), says_synthetic(response)

        newest, license_name, synthetic = self._http.call(url, fetch)
        if pin is not None and (not re.fullmatch(r"[1-9][0-9]{0,8}", pin) or int(pin) > newest):
            problem = f"{self._dataset} has no version {pin!r}"
            raise UpstreamRefusedError(self.name, url, problem, f"Give a number from 1 to {newest}.")
        return Revision(self.name, pin or str(newest), license_name, synthetic)

    def files(self, revision: Revision, known: Container[str]) -> Listing:  # noqa: ARG002
        """Download the zip of ``revision`` and list its files by path, all but the ignored ones with their bodies.

        ``known`` is not used: the zip comes whole, and its CRC-32s are too weak to say that a file of another version
        is the same. The zip is deleted when the last file has been taken from the listing.

        Raises:
            SourceError: the zip cannot be had, or is damaged.
        """
        folder = private_folder(self._settings.scratch_dir)
        file = folder / f"{self._dataset.replace('/', '__')}__v{int(revision.id)}.zip"
        target = Target(f"{self._service}/DownloadDataset", int(revision.id), file)
        if not target.is_whole():
            self._http.call(target.url, lambda: self._download(target))
            target.part.replace(file)
        with self._damage_reported(target):
            members = zips.list_members(file)
        return Listing(len(members), self._read(target, members))

    def _read(self, target: Target, members: list[zips.Member]) -> Iterator[UpstreamFile]:
        with self._damage_reported(target):
            yield from zips.read_members(target.file, members)
        target.delete()

    @contextmanager
    def _damage_reported(self, target: Target) -> Iterator[None]:
        """Report a damaged zip as an error of this source, and delete it, so that the next try gets a new one."""
        with self._http.explained(target.url):
            try:
                yield
            except BadAnswerError:
                target.delete()
                raise

    def _download(self, target: Target) -> None:
        """Make the partial file whole and check it. One try: what has come stays for the next, unless it is damaged."""
        about, done = target.progress()
        try:
            if about is None or done != about.size:
                about = self._fetch(target, about, done)
            check_download(target.part, about).save(target.sidecar)
        except BadAnswerError as error:
            if error.final is UpstreamCorruptError:
                target.part.unlink(missing_ok=True)
            raise

    def _fetch(self, target: Target, about: Download | None, done: int) -> Download:
        """Ask for a fresh signed link and write what it gives: the rest from ``done``, or all of it."""
        headers = {"Accept-Encoding": "identity"}  # else a range could be one of compressed bytes
        if about and about.etag and done:
            headers |= {"Range": f"bytes={done}-", "If-Range": about.etag}
        with self._api(headers) as api, closing(self._ask(api, target.version)) as response:
            if response.status_code == 206 and about and about.size:
                expected = f"bytes {done}-{about.size - 1}/{about.size}"
                if response.headers.get("Content-Range") != expected:
                    raise BadAnswerError(f"another range came than the one that was asked for ({expected})")
                if response.headers.get("ETag", about.etag) != about.etag:
                    raise BadAnswerError("a range of another file came")
            else:
                about, done = Download.of_headers(response.headers), 0
                about.save(target.sidecar)
            self._refuse_giant(target.url, about.size or 0)
            with target.part.open("ab" if done else "wb") as out:
                self._write(target.url, response, out, about.size)
        return about

    def _ask(self, api: Any, version: int) -> requests.Response:
        """Return the open answer of the storage."""
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = self._dataset.split("/")
        request.dataset_version_number = version
        try:
            return _open_answer(lambda: api.download_dataset(request))
        except requests.HTTPError as error:
            with error.response as answer:
                if answer.status_code == 416:  # the storage has another file now
                    raise BadAnswerError("the rest of the zip is not to be had; the download starts anew") from None
                elsewhere = not answer.url.startswith(f"{self._base}/")
                if elsewhere and 400 <= answer.status_code < 500 and answer.status_code != 429:
                    # Not Kaggle refuses but the storage behind it: the link has expired. The next try gets a new one.
                    problem = f"the signed download link was refused (HTTP {answer.status_code})"
                    raise BadAnswerError(problem, UpstreamUnavailableError) from None
                raise

    def _write(self, url: str, response: requests.Response, out: IO[bytes], size: int | None) -> None:
        total = f"{size / 1e6:.0f} MB" if size else "an unknown total"
        _log.info("%s: downloading from %.0f of %s on", self._dataset, out.tell() / 1e6, total)
        logged, meter = time.monotonic(), Meter()
        for chunk in response.iter_content(CHUNK):
            out.write(chunk)
            meter.add(len(chunk))
            self._refuse_giant(url, out.tell())
            if time.monotonic() - logged >= PROGRESS_SECONDS:
                logged = time.monotonic()
                _log.info("%s: %.0f of %s", self._dataset, out.tell() / 1e6, total)

    def _refuse_giant(self, url: str, size: int) -> None:
        if size > zips.MAX_TOTAL:
            problem = f"the zip has {size} bytes or more; the limit is {zips.MAX_TOTAL}"
            raise UpstreamCorruptError(self.name, url, problem, "Check what the dataset has become.")

    @contextmanager
    def _api(self, headers: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Yield the SDK's client for datasets, on a session of our own.

        The SDK's session would have no timeout and would look for credentials in the user's home; and the SDK has no
        public way to name another address of the API, or to send a header.
        """
        from kagglesdk.kaggle_client import KaggleClient
        from kagglesdk.kaggle_env import KaggleEnv

        client = KaggleClient(env=KaggleEnv.PROD)
        with new_session(self._settings, self._auth()) as session:
            session.headers.update({"Content-Type": "application/json", **(headers or {})})
            session.hooks["response"].append(_take)
            client.http_client()._session = session
            client.http_client()._endpoint = self._base
            yield client.datasets.dataset_api_client

    def _auth(self) -> AuthBase:
        username, key = self._settings.kaggle_username, self._settings.kaggle_key
        if self._settings.kaggle_token is None and username and key:
            return HTTPBasicAuth(username, key)
        return TokenAuth(self._settings.kaggle_token, self._base)


def private_folder(scratch: Path) -> Path:
    """Return a folder in ``scratch`` that only its owner, this user, can look into; made where it is not there.

    Raises:
        SettingsError: somebody else made it, and could have put anything there.
    """
    folder = scratch / "downloads"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise SettingsError(
            f"{folder} cannot be used ({error.strerror}). Set CXR_SCRATCH_DIR to another one."
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise SettingsError(f"{folder} is not this user's alone. Set CXR_SCRATCH_DIR to another folder.")
    return folder


def md5_of_header(header: str) -> str | None:
    """Return the MD5, in hexadecimal, from an ``X-Goog-Hash`` header such as ``crc32c=...,md5=...``, if there is one.

    Raises:
        BadAnswerError: what is there is no MD5.
    """
    for item in header.split(","):
        name, _, value = item.strip().partition("=")
        if name.lower() == "md5":
            try:
                digest = base64.b64decode(value, validate=True)
            except ValueError as error:  # no base64, or no ASCII
                raise BadAnswerError("the X-Goog-Hash header holds no MD5") from error
            if len(digest) != 16:
                raise BadAnswerError("the X-Goog-Hash header holds no MD5")
            return digest.hex()
    return None


def check_download(part: Path, about: Download) -> Download:
    """Compare a finished download with what the storage said of it, and return ``about`` with nothing left open.

    Where the storage told no MD5, every file inside is read and compared with its CRC-32. A CRC-32C, which is all that
    is told of a file that was put together from parts, is not compared: Python cannot compute it fast without one more
    library, and whether the files inside are right is known without it.

    Raises:
        BadAnswerError: the bytes are not the right ones.
    """
    size, md5 = part.stat().st_size, _md5(part)
    if about.size is not None and size != about.size:
        raise BadAnswerError(f"the zip has {size} bytes where {about.size} were announced")
    if about.md5 is not None and md5 != about.md5:
        raise BadAnswerError(f"the zip's MD5 is {md5} where {about.md5} was announced")
    if about.md5 is None:
        zips.check_every_byte(part)
    return replace(about, size=size, md5=md5)


def described_dataset(body: bytes) -> tuple[int, str | None]:
    """Return the newest version and the licence from Kaggle's description of a dataset; nothing else in it is used.

    Raises:
        BadAnswerError: they are not there.
    """
    try:
        answer = json.loads(body)
        newest, license_name = answer["currentVersionNumber"], answer.get("licenseName")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadAnswerError("the description of the dataset has an unknown form") from error
    if not isinstance(newest, int) or isinstance(newest, bool) or newest < 1:
        raise BadAnswerError(f"the dataset's current version is {str(newest)[:40]!r}")
    return newest, shown.line(license_name)[:200] if isinstance(license_name, str) and license_name else None


class _TakenError(Exception):
    """Takes an open answer out of the SDK, which would read more of it than is needed here and fail on odd ones."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__()
        self.response = response


def _open_answer(call: Callable[[], object]) -> requests.Response:
    """Return what ``_take`` takes out of a call of the SDK."""
    try:
        call()
    except _TakenError as taken:
        return taken.response
    raise BadAnswerError("Kaggle's SDK gave no answer")


def _take(response: requests.Response, **_: object) -> None:
    check_status(response)
    if not response.is_redirect:
        raise _TakenError(response)


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
