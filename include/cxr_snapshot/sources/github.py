"""Files of a branch of a GitHub repository.

Asks GitHub's REST API what is there, and fetches only blobs that the caller does not know. Every blob is checked
against the hash by which git names it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

import requests

from cxr_snapshot import shown
from cxr_snapshot.errors import RateLimitedError, UpstreamCorruptError, UpstreamRefusedError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import Listing, Revision, UpstreamFile
from cxr_snapshot.sources.http import (
    BadAnswerError,
    Retrier,
    Sleep,
    TokenAuth,
    check_status,
    new_session,
    read_body,
    says_synthetic,
)
from cxr_snapshot.sources.identities import MAX_FILE, rule_of_file, spelt_out
from cxr_snapshot.sources.tarballs import DAMAGED, archive_members

# Unknown files that are fetched singly: half of what GitHub was seen to allow in a row. More come with one request,
# from the archive, which has all the others too.
FEW = 50
MAX_LISTING = 40 * 1024**2  # bytes; GitHub cuts a tree off at 100,000 entries
MAX_VALUES = 1_000_000  # values in such an answer, each of which takes far more memory than bytes
_MAX_SHA = 1000  # bytes of the answer that holds a commit's name

THREADS = 8
LOOK_AHEAD = 2 * THREADS  # bodies that may wait in memory for their turn
LOOK_AHEAD_BYTES = 2 * MAX_FILE  # of these bodies together

# https://docs.github.com/en/rest/about-the-rest-api/api-versions
_VERSION = {"X-GitHub-Api-Version": "2022-11-28"}
_SHA_ONLY = _VERSION | {"Accept": "application/vnd.github.sha"}
_JSON = _VERSION | {"Accept": "application/vnd.github+json"}
_PIN_HELP = "Give a commit SHA-1 (at least 7 hexadecimal digits) or a date such as 2020-03-28."
# Files and archives are asked for without a token, so that none helps.
_REMEDIES_OF_FILES = {
    404: "Run again. If it lasts: a private repository cannot be read.",
    429: "Wait an hour: GitHub counts what this address downloads, with or without a token. What came is kept, so the "
    "next try needs less.",
}

_log = shown.logger(__name__)


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
        named_in: what names the repository and what the branch, for errors.
        sleep: waits so many seconds.
        now: the time, in seconds since 1970.
    """

    name: str
    metadata_path: str | None

    def __init__(
        self,
        settings: Settings,
        repo: str,
        branch: str,
        *,
        named_in: tuple[str, str] = ("CXR_GITHUB_REPO", "CXR_GITHUB_BRANCH"),
        sleep: Sleep = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.repo, self._branch, self._named_in, self._is_moved = repo, branch, named_in, False
        self._api = f"{settings.github_api_url.rstrip('/')}/repos/{repo}"
        self._raw = f"{settings.github_raw_url.rstrip('/')}/{repo}"
        self._codeload = f"{settings.github_codeload_url.rstrip('/')}/{repo}"
        self._synthetic = False  # whether the last answer said so
        # One session for all threads. The token goes to the REST API only; raw files and archives are public.
        self._session = new_session(settings, TokenAuth(settings.github_token, settings.github_api_url), THREADS)
        # Each service counts by itself, and a pause of one says nothing of the others.
        self._http = Retrier(self.name, settings, _remedies(named_in[0]), sleep=sleep, now=now)
        self._raw_http = Retrier(self.name, settings, _REMEDIES_OF_FILES, sleep=sleep, now=now)
        self._archive_http = Retrier(self.name, settings, _REMEDIES_OF_FILES, sleep=sleep, now=now)
        # Of single files that the archive can give as well.
        self._optional_http = Retrier(self.name, settings, _REMEDIES_OF_FILES, sleep=sleep, now=now, impatient=True)

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
            commit = self._newest(last_seen)
        elif re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", pin):
            commit = self._commit_as_of(pin)
        elif re.fullmatch(r"[0-9a-fA-F]{7,40}", pin):
            with self._saying(
                422, f"the repository has no commit {pin}", f"A forced push may have removed it. {_PIN_HELP}"
            ):
                commit = self._commit(pin.lower(), None)
        else:
            raise UpstreamRefusedError(self.name, self._api, f"{pin!r} names no commit", _PIN_HELP)
        return Revision(self.name, commit, synthetic=self._synthetic)

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        """List the wanted files as of ``revision``.

        Up to ``FEW`` unknown files beside known ones are fetched singly, and all come in order of path. More, and what
        is left when single files are refused by a rate limit, come from one archive, in its order, after those that
        are known. Before them come those whose path or size is not usable, without a body.

        Raises:
            SourceError: the tree is cut off, or bytes cannot be had or do not match git's hash.
        """
        with self._commit_is_there(revision.id):
            every = self._tree(revision.id)
        rules = {blob.path: rule_of_file(blob.path, blob.size) for blob in every}
        if self.metadata_path and rules.get(self.metadata_path):
            problem = f"{self.metadata_path} is larger than {MAX_FILE:,} bytes"
            raise UpstreamCorruptError(self.name, self._api, problem, "Look at what it has become.")
        wanted = [blob for blob in every if rules[blob.path] is None]
        odd = [
            UpstreamFile(spelt_out(blob.path), blob.size, blob.sha, ignored=rules[blob.path])
            for blob in every
            if rules[blob.path]
        ]
        unknown = [blob for blob in wanted if blob.sha not in known]
        if len(unknown) < len(wanted) and len(unknown) <= FEW:
            return Listing(len(every), self._checked(revision.id, odd, self._singly(revision.id, wanted, known)))
        there = [UpstreamFile(blob.path, blob.size, blob.sha) for blob in wanted if blob.sha in known]
        return Listing(len(every), self._checked(revision.id, odd + there, self._from_archive(revision.id, unknown)))

    def _newest(self, last_seen: str | None) -> str:
        """Return the branch's newest commit."""
        remedy = (
            f"The branch may have been renamed, as from master to main: https://github.com/{self.repo}/branches lists "
            f"what there is. Set {self._named_in[1]} to its new name."
        )
        with self._saying(422, f"the repository has no branch {self._branch}", remedy):
            return self._commit(self._branch, last_seen)

    @contextmanager
    def _saying(self, status: int, problem: str, remedy: str) -> Iterator[None]:
        """Let a refusal with this status say what it means here."""
        try:
            yield
        except UpstreamRefusedError as error:
            if error.status != status:
                raise
            raise UpstreamRefusedError(self.name, error.url, f"{problem} (HTTP {status})", remedy) from None

    @contextmanager
    def _commit_is_there(self, sha: str) -> Iterator[None]:
        """Where something of a commit is not found, ask whether the commit itself is gone, and say so."""
        try:
            yield
        except UpstreamRefusedError as error:
            if error.status == 404:
                problem = f"commit {sha} is not in the repository any more"
                remedy = "A forced push removed it. Start a new run, which takes the branch's newest commit."
                with self._saying(422, problem, remedy):
                    self._commit(sha, None)
            raise

    def _checked(self, sha: str, first: list[UpstreamFile], rest: Iterator[UpstreamFile]) -> Iterator[UpstreamFile]:
        """Yield all; unlike ``itertools.chain`` this can be closed, which ends the threads that fetch ahead."""
        yield from first
        with self._commit_is_there(sha):
            yield from rest

    def _commit(self, ref: str, last_seen: str | None) -> str:
        url = f"{self._api}/commits/{quote(ref)}"
        # For this media type the commit's SHA-1 is also the ETag, so that no ETag has to be stored.
        headers = _SHA_ONLY | ({"If-None-Match": f'"{last_seen}"'} if last_seen else {})

        def fetch() -> str:
            body = self._get(url, _MAX_SHA, headers=headers)
            if body is None and last_seen:
                return last_seen
            return _checked_sha((body or b"").decode(errors="replace").strip())

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

        try:
            sha = self._http.call(url, fetch)
        except UpstreamRefusedError as error:
            if error.status == 404:  # of the branch or of the repository: the answer does not say which
                self._newest(None)
            raise
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
        with self._archive_http.explained(url):
            for attempt in self._archive_http.attempts(url):
                with attempt:
                    yield from self._read_archive(url, missing)
        if missing:
            _log.warning(
                "%s: %d files are not, or not rightly, in the archive; fetching them singly", url, len(missing)
            )
        yield from self._fetch_all(sha, list(missing.values()), (), self._raw_http)

    def _read_archive(self, url: str, missing: dict[str, _Blob]) -> Iterator[UpstreamFile]:
        """Yield what is right in the archive, and take it out of ``missing`` (so that no later try yields it again)."""
        if not missing:
            return
        with self._session.get(url, stream=True) as response:
            check_status(response)
            try:
                for path, size, read in archive_members(response):
                    blob = missing.get(path.partition("/")[2])
                    if blob is None or size != blob.size:
                        continue
                    if git_blob_sha1(body := read()) == blob.sha:
                        del missing[blob.path]
                        yield UpstreamFile(blob.path, blob.size, blob.sha, body)
                    if not missing:
                        return
            except DAMAGED as error:
                raise BadAnswerError("the archive is damaged or cut off") from error

    def _singly(self, sha: str, wanted: list[_Blob], known: Container[str]) -> Iterator[UpstreamFile]:
        """Yield all files, the unknown ones fetched singly as long as GitHub allows it."""
        left = {blob.path: blob for blob in wanted}
        try:
            for file in self._fetch_all(sha, wanted, known, self._optional_http):
                del left[file.path]
                yield file
        except RateLimitedError as error:
            _log.warning("%s The archive is taken for the rest", error)
        else:
            return
        yield from (UpstreamFile(blob.path, blob.size, blob.sha) for blob in left.values() if blob.sha in known)
        yield from self._from_archive(sha, [blob for blob in left.values() if blob.sha not in known])

    def _fetch_all(self, sha: str, wanted: list[_Blob], known: Container[str], http: Retrier) -> Iterator[UpstreamFile]:
        """Yield files in the order of ``wanted``; unknown ones are fetched by threads that run a little ahead."""
        waiting: deque[tuple[int, UpstreamFile | Future[UpstreamFile]]] = deque()
        ahead = 0  # bytes of those that wait
        pool = ThreadPoolExecutor(THREADS, thread_name_prefix="github")
        try:
            for blob in wanted:
                there = blob.sha in known
                size = 0 if there else blob.size
                while waiting and (len(waiting) >= LOOK_AHEAD or ahead + size > LOOK_AHEAD_BYTES):
                    done, item = waiting.popleft()
                    yield _result(item)
                    ahead -= done
                file = UpstreamFile(blob.path, blob.size, blob.sha)
                waiting.append((size, file if there else pool.submit(self._fetch, sha, blob, http)))
                ahead += size
            while waiting:
                yield _result(waiting.popleft()[1])
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, sha: str, blob: _Blob, http: Retrier) -> UpstreamFile:
        url = f"{self._raw}/{sha}/{quote(blob.path)}"

        def fetch() -> bytes:
            body = self._get(url, blob.size) or b""
            if len(body) != blob.size or git_blob_sha1(body) != blob.sha:
                raise BadAnswerError(f"{len(body)} bytes came that do not match git's hash {blob.sha}")
            return body

        return UpstreamFile(blob.path, blob.size, blob.sha, http.call(url, fetch))

    def _get_json(self, url: str, params: dict[str, str]) -> Any:
        body = self._get(url, MAX_LISTING, headers=_JSON, params=params) or b""
        if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise BadAnswerError(f"the answer holds more than {MAX_VALUES:,} values")
        try:
            return json.loads(body)  # the bytes, because requests' own json() overlooks what is not UTF-8
        except (ValueError, RecursionError) as error:
            raise BadAnswerError("the answer is no JSON") from error

    def _get(self, url: str, limit: int, **kwargs: Any) -> bytes | None:
        """Return the body of an answer, of ``limit`` bytes at most; ``None`` where nothing changed (304)."""
        with self._session.get(url, stream=True, **kwargs) as response:
            check_status(response)
            self._warn_of_move(response)
            self._synthetic = says_synthetic(response)
            return None if response.status_code == 304 else read_body(response, limit)

    def _warn_of_move(self, response: requests.Response) -> None:
        """Say once where the answer came from another address for good: every request takes two then."""
        if not self._is_moved and any(answer.status_code in (301, 308) for answer in response.history):
            self._is_moved = True
            _log.warning(
                "%s: the repository %s was renamed or moved. GitHub leads to it until somebody takes the old name. Set "
                "%s to the new one, to which https://github.com/%s leads, too.",
                self.name,
                self.repo,
                self._named_in[0],
                self.repo,
            )


def git_blob_sha1(body: bytes) -> str:
    """Return the name that git gives to a file of these bytes, in hexadecimal."""
    digest = hashlib.sha1(b"blob %d\0" % len(body), usedforsecurity=False)
    digest.update(body)
    return digest.hexdigest()


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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadAnswerError("the list of files has an unknown form") from error
    if len({blob.path for blob in blobs}) < len(blobs):
        raise BadAnswerError("the list of files names one twice")
    return sorted(blobs, key=lambda blob: blob.path)


def _remedies(repo: str) -> dict[int, str]:
    """Return what a person can do about a status code, where ``repo`` names the repository."""
    return {
        401: "The token is wrong or has expired: renew GITHUB_TOKEN or the Airflow connection cxr_github.",
        403: "Try another token, or none, in GITHUB_TOKEN or the Airflow connection cxr_github.",
        404: f"Check {repo}: there is no such repository, or it is not public.",
        409: f"The repository is empty: check {repo}.",
        429: "Wait, or set GITHUB_TOKEN or the Airflow connection cxr_github: a token allows 5,000 requests an hour, "
        "no token 60.",
    }


def _checked_sha(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", text):
        raise BadAnswerError(f"{text[:60]!r} is no SHA-1")
    return text


def _result(item: UpstreamFile | Future[UpstreamFile]) -> UpstreamFile:
    return item.result() if isinstance(item, Future) else item
