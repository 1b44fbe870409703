"""Files of a branch of a GitHub repository.

Asks GitHub's REST API what is there, and fetches only blobs that the caller does not know. Every blob is checked
against the hash by which git names it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tarfile
import time
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

import requests

from cxr_snapshot.errors import UpstreamCorruptError, UpstreamRefusedError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import Listing, Revision, UpstreamFile
from cxr_snapshot.sources.http import BadAnswerError, Retrier, Sleep, TokenAuth, new_session
from cxr_snapshot.sources.identities import is_usable, spelt_out

THREADS = 8
LOOK_AHEAD = 2 * THREADS  # bodies that may wait in memory for their turn

_SHA_ONLY = "application/vnd.github.sha"
_JSON = "application/vnd.github+json"
_PIN_HELP = "Give a commit SHA-1 (at least 7 hexadecimal digits) or a date such as 2020-03-28."
_REMEDIES = {
    401: "The token is wrong or has expired: renew GITHUB_TOKEN or the Airflow connection cxr_github.",
    403: "Give a token that may read this repository, in GITHUB_TOKEN or the Airflow connection cxr_github.",
    404: "Check CXR_GITHUB_REPO, CXR_GITHUB_BRANCH and the commit; a private repository also needs GITHUB_TOKEN "
    "or the Airflow connection cxr_github.",
    409: "The repository seems to be empty: check CXR_GITHUB_REPO.",
    422: f"There is no such commit or branch: check CXR_GITHUB_BRANCH and the commit. {_PIN_HELP}",
    429: "Wait, or set GITHUB_TOKEN or the Airflow connection cxr_github: a token allows 5,000 requests an hour, "
    "no token 60.",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Blob:
    path: str
    sha: str
    size: int


class GithubRepository:
    """Those files of one branch that a collection wants; a collection is a subclass.

    Args:
        settings: the run's settings.
        repo: ``owner/name``.
        branch: the branch that is watched.
        sleep: waits so many seconds.
    """

    name: str

    def __init__(self, settings: Settings, repo: str, branch: str, *, sleep: Sleep = time.sleep) -> None:
        self.repo, self._branch = repo, branch
        self._api = f"{settings.github_api_url.rstrip('/')}/repos/{repo}"
        self._raw = f"{settings.github_raw_url.rstrip('/')}/{repo}"
        self._codeload = f"{settings.github_codeload_url.rstrip('/')}/{repo}"
        # One session for all threads. The token goes to the REST API only; raw files and archives are public.
        self._session = new_session(settings, TokenAuth(settings.github_token, settings.github_api_url), THREADS)
        self._http = Retrier(self.name, settings, _REMEDIES, sleep=sleep)

    def is_wanted(self, path: str) -> bool:
        """Say whether a file of the repository belongs to the collection."""
        raise NotImplementedError

    def resolve(self, *, pin: str | None = None, last_seen: str | None = None) -> Revision:
        """Name the branch's newest commit, in one request, or the commit that ``pin`` means.

        Args:
            pin: a commit SHA-1, whole or its first 7 or more digits; or a date ``YYYY-MM-DD``: the branch as it was at
                the end of that day, UTC.
            last_seen: the commit known to the caller. GitHub answers 304 where it is still the newest.

        Raises:
            SourceError: GitHub cannot be asked, or does not know the branch or ``pin``.
        """
        if pin is None:
            return Revision(self.name, self._commit(self._branch, last_seen))
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", pin):
            return Revision(self.name, self._commit_as_of(pin))
        if re.fullmatch(r"[0-9a-fA-F]{7,40}", pin):
            return Revision(self.name, self._commit(pin.lower(), None))
        raise UpstreamRefusedError(self.name, self._api, f"{pin!r} names no commit", _PIN_HELP)

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        """List the wanted files as of ``revision``.

        Where none of the files is known, they come from one archive, in its order; else each unknown one is fetched
        by itself, and all come in order of path. Before them come those whose path is not usable, without a body.

        Raises:
            SourceError: the tree is cut off, or bytes cannot be had or do not match git's hash.
        """
        every = self._tree(revision.id)
        wanted = [blob for blob in every if is_usable(blob.path)]
        odd = [
            UpstreamFile(spelt_out(blob.path), blob.size, blob.sha, ignored="unusable_name")
            for blob in every
            if not is_usable(blob.path)
        ]
        if any(blob.sha in known for blob in wanted):
            return Listing(len(every), _both(odd, self._singly(revision.id, wanted, known)))
        return Listing(len(every), _both(odd, self._from_archive(revision.id, wanted)))

    def _commit(self, ref: str, last_seen: str | None) -> str:
        url = f"{self._api}/commits/{quote(ref)}"
        # For this media type the commit's SHA-1 is also the ETag, so that no ETag has to be stored.
        headers = {"Accept": _SHA_ONLY} | ({"If-None-Match": f'"{last_seen}"'} if last_seen else {})

        def fetch() -> str:
            response = self._get(url, headers=headers)
            if response.status_code == 304 and last_seen:
                return last_seen
            return _checked_sha(response.text.strip())

        return self._http.call(url, fetch)

    def _commit_as_of(self, day: str) -> str:
        url = f"{self._api}/commits"
        try:
            date.fromisoformat(day)
        except ValueError as error:
            raise UpstreamRefusedError(self.name, url, f"{day} is no day of the calendar", _PIN_HELP) from error
        params = {"sha": self._branch, "until": f"{day}T23:59:59Z", "per_page": "1"}

        def fetch() -> str | None:
            commits = self._get_json(url, params)
            try:
                return _checked_sha(commits[0]["sha"]) if commits else None
            except (KeyError, TypeError) as error:
                raise BadAnswerError("the list of commits has an unknown form") from error

        sha = self._http.call(url, fetch)
        if sha is None:
            problem = f"branch {self._branch} has no commit up to {day}"
            raise UpstreamRefusedError(self.name, url, problem, "Give a later day.")
        return sha

    def _tree(self, sha: str) -> list[_Blob]:
        """Return the wanted blobs of commit ``sha``, by path."""
        url = f"{self._api}/git/trees/{sha}"

        def fetch() -> tuple[list[_Blob], bool]:
            tree = self._get_json(url, {"recursive": "1"})
            return [blob for blob in listed_blobs(tree) if self.is_wanted(blob.path)], tree["truncated"] is True

        blobs, truncated = self._http.call(url, fetch)
        if truncated:
            problem = "GitHub cut the list of files off (truncated)"
            remedy = "The repository has outgrown this way of listing it; nothing is published from half a list."
            raise UpstreamCorruptError(self.name, url, problem, remedy)
        return blobs

    def _from_archive(self, sha: str, wanted: list[_Blob]) -> Iterator[UpstreamFile]:
        """Yield all files with their bodies, from one streamed archive; what is not right in it is fetched singly."""
        url = f"{self._codeload}/tar.gz/{sha}"
        missing = {blob.path: blob for blob in wanted}
        with self._http.explained(url):
            for attempt in self._http.attempts(url):
                with attempt:
                    yield from self._read_archive(url, missing)
        if missing:
            _log.warning(
                "%s: %d files are not, or not rightly, in the archive; fetching them singly", url, len(missing)
            )
        yield from self._singly(sha, list(missing.values()), known=())

    def _read_archive(self, url: str, missing: dict[str, _Blob]) -> Iterator[UpstreamFile]:
        """Yield what is right in the archive, and take it out of ``missing`` (so that no later try yields it again)."""
        if not missing:
            return
        with self._session.get(url, stream=True) as response:
            response.raise_for_status()
            try:
                with tarfile.open(fileobj=response.raw, mode="r|gz") as archive:
                    for member in archive:
                        blob = missing.get(member.name.partition("/")[2])
                        if blob is None or not member.isfile() or member.size != blob.size:
                            continue
                        stream = archive.extractfile(member)
                        body = stream.read() if stream else b""
                        if git_blob_sha1(body) == blob.sha:
                            del missing[blob.path]
                            yield UpstreamFile(blob.path, blob.size, blob.sha, body)
            except (tarfile.TarError, EOFError) as error:
                raise BadAnswerError("the archive is damaged or cut off") from error

    def _singly(self, sha: str, wanted: list[_Blob], known: Container[str]) -> Iterator[UpstreamFile]:
        """Yield files in the order of ``wanted``; unknown ones are fetched by threads that run a little ahead."""
        waiting: deque[UpstreamFile | Future[UpstreamFile]] = deque()
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="github")
        try:
            for blob in wanted:
                if blob.sha in known:
                    waiting.append(UpstreamFile(blob.path, blob.size, blob.sha))
                else:
                    waiting.append(pool.submit(self._fetch, sha, blob))
                if len(waiting) >= LOOK_AHEAD:
                    yield _result(waiting.popleft())
            while waiting:
                yield _result(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, sha: str, blob: _Blob) -> UpstreamFile:
        url = f"{self._raw}/{sha}/{quote(blob.path)}"

        def fetch() -> bytes:
            body = self._get(url).content
            if git_blob_sha1(body) != blob.sha:
                raise BadAnswerError(f"{len(body)} bytes came that do not match git's hash {blob.sha}")
            return body

        return UpstreamFile(blob.path, blob.size, blob.sha, self._http.call(url, fetch))

    def _get_json(self, url: str, params: dict[str, str]) -> Any:
        body = self._get(url, headers={"Accept": _JSON}, params=params).content
        try:
            return json.loads(body)  # the bytes, because requests' own json() overlooks what is not UTF-8
        except ValueError as error:
            raise BadAnswerError("the answer is no JSON") from error

    def _get(self, url: str, **kwargs: Any) -> requests.Response:
        response = self._session.get(url, **kwargs)
        response.raise_for_status()
        return response


def git_blob_sha1(body: bytes) -> str:
    """Return the name that git gives to a file of these bytes, in hexadecimal."""
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def listed_blobs(tree: Any) -> list[_Blob]:
    """Return the files in GitHub's answer to ``git/trees``, by path.

    Raises:
        BadAnswerError: the answer has not the form that GitHub documents.
    """
    try:
        blobs = [
            _Blob(str(entry["path"]), _checked_sha(entry["sha"]), int(entry["size"]))
            for entry in tree["tree"]
            if entry["type"] == "blob"
        ]
        if not isinstance(tree["truncated"], bool):
            raise BadAnswerError("the list of files does not say whether it is whole")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadAnswerError("the list of files has an unknown form") from error
    return sorted(blobs, key=lambda blob: blob.path)


def _checked_sha(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise BadAnswerError(f"{text[:60]!r} is no SHA-1")
    return text


def _both(first: list[UpstreamFile], rest: Iterator[UpstreamFile]) -> Iterator[UpstreamFile]:
    """Yield all; unlike ``itertools.chain`` this can be closed, which ends the threads that fetch ahead."""
    yield from first
    yield from rest


def _result(item: UpstreamFile | Future[UpstreamFile]) -> UpstreamFile:
    return item.result() if isinstance(item, Future) else item
