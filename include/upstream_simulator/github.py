"""A stand-in for the parts of GitHub that the pipeline uses, on top of a folder of bare git repositories.

``GITHUB_DIR/<owner>/<name>.git`` is a repository. Where it is a link to another one in the folder, the repository was
renamed: the old name leads to the new one. No credentials are checked. Answers of the API have the form of GitHub's
OpenAPI description, see ``tests/simulator/openapi``.
"""

from __future__ import annotations

import gzip
import mimetypes
import re
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from upstream_simulator import github_json, problems
from upstream_simulator.budget import Budget
from upstream_simulator.git import Repository
from upstream_simulator.messages import (
    Request,
    Response,
    bytes_response,
    empty_response,
    is_unchanged,
    json_response,
    text_response,
    weak_etag,
)

SHA_MEDIA_TYPE = "application/vnd.github.sha"
API_PER_HOUR = 60
API_PER_HOUR_WITH_TOKEN = 5000

_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_API = re.compile(r"/github-api/(?:repos/([^/]+/[^/]+)|repositories/(\d+))/(commits|git/trees)(?:/(.+))?", re.DOTALL)
_RAW = re.compile(r"/github-raw/([^/]+/[^/]+)/([^/]+)/(.+)", re.DOTALL)
_CODELOAD = re.compile(r"/github-codeload/([^/]+/([^/]+))/tar\.gz/(.+)", re.DOTALL)

# https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
_LIMITS_PAGE = "https://docs.github.com/rest/overview/resources-in-the-rest-api#rate-limiting"
_REDIRECTS_PAGE = "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"
_EXCEEDED = (
    "API rate limit exceeded for 127.0.0.1. (But here's the good news: Authenticated requests get a higher rate limit. "
    "Check out the documentation for more details.)"
)


class GitHub:
    """Answers requests as GitHub does.

    Args:
        folder: holds the repositories.
        api_per_hour: how many requests to the API are allowed without a token; ``None``: limits are told, not kept.
        raw_per_hour: how many files can be had one by one; ``None`` for any number.
        now: the time, in seconds since 1970.

    Raises:
        FileNotFoundError: ``folder`` is no folder.
    """

    def __init__(
        self,
        folder: Path,
        api_per_hour: int | None = None,
        raw_per_hour: int | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder} is no folder; name one that holds <owner>/<repository>.git")
        self._folder = folder.resolve()
        self._limits_are_kept = api_per_hour is not None
        self._with_token = Budget(API_PER_HOUR_WITH_TOKEN, now)
        self._without = Budget(API_PER_HOUR if api_per_hour is None else api_per_hour, now)
        self._raw_budget = None if raw_per_hour is None else Budget(raw_per_hour, now)

    def api(self, request: Request) -> Response:
        """Answer a request below ``/github-api``."""
        budget = self._with_token if "authorization" in request.headers else self._without
        refused = not budget.spend() and self._limits_are_kept
        response = problems.github(403, _EXCEEDED, _LIMITS_PAGE) if refused else self._api(request)
        used = min(budget.used, budget.limit) if self._limits_are_kept else 1
        limits = {"limit": budget.limit, "remaining": budget.limit - used, "used": used, "reset": budget.reset}
        headers = {f"x-ratelimit-{name}": str(value) for name, value in limits.items()}
        headers["x-ratelimit-resource"] = "core"
        return replace(response, headers={**headers, **response.headers})

    def raw(self, request: Request) -> Response:
        """Answer a request below ``/github-raw``: one file of one commit."""
        if self._raw_budget and not self._raw_budget.spend():
            # Counted apart from the API, with or without a token, and without a word on when it ends:
            # https://github.blog/changelog/2025-05-08-updated-rate-limits-for-unauthenticated-requests
            # https://github.com/skypilot-org/skypilot/issues/5438, https://github.com/algolia/npm-search/issues/993
            return text_response(429, "429: Too Many Requests")
        match = _RAW.fullmatch(request.path)
        git_dir = self._find(match[1]) if match else None
        if match is None or git_dir is None:
            return text_response(404, "404: Not Found")
        if moved := self._moved(git_dir):
            return _elsewhere(request, match[1], moved)
        return _raw_file(request, Repository(git_dir), match[2], match[3])

    def codeload(self, request: Request) -> Response:
        """Answer a request below ``/github-codeload``: a whole commit as a tar.gz of unknown length."""
        match = _CODELOAD.fullmatch(request.path)
        git_dir = self._find(match[1]) if match else None
        if match is None or git_dir is None:
            return text_response(404, "404: Not Found")
        if moved := self._moved(git_dir):
            return _elsewhere(request, match[1], moved)
        commit = Repository(git_dir).commit(match[3])
        if commit is None:
            return text_response(404, "404: Not Found")
        name = f"{match[2]}-{match[3].removeprefix('refs/heads/').replace('/', '-')}"
        headers = {
            "Content-Type": "application/x-gzip",
            "Content-Disposition": f"attachment; filename={name}.tar.gz",
            "ETag": weak_etag(commit),
        }
        body = Repository(git_dir).stream("archive", "--format=tar.gz", "-1", f"--prefix={name}/", commit)
        return Response(200, headers, body, None)

    def _find(self, name: str) -> Path | None:
        """Return where the repository ``owner/name`` lies."""
        git_dir = self._folder / f"{name}.git"
        return git_dir if _NAME.fullmatch(name) and (git_dir / "HEAD").is_file() else None

    def _moved(self, git_dir: Path) -> str | None:
        """Return the name that a repository has now, where it has another one."""
        there = git_dir.resolve()
        if there == git_dir or not there.is_relative_to(self._folder):
            return None
        return str(there.relative_to(self._folder)).removesuffix(".git")

    def _numbered(self, number: str) -> Path | None:
        """Return the repository with this number; a repository keeps it when it is renamed."""
        for git_dir in self._folder.glob("*/*.git"):
            name = str(git_dir.relative_to(self._folder)).removesuffix(".git")
            if not git_dir.is_symlink() and _number(name) == number:
                return git_dir
        return None

    def _api(self, request: Request) -> Response:
        match = _API.fullmatch(request.path)
        if match is None or request.method != "GET":
            return problems.github(404, "Not Found")
        name, number, endpoint, ref = match.groups()
        git_dir = self._find(name) if name else self._numbered(number)
        if git_dir is None or (endpoint == "git/trees" and not ref):
            return problems.github(404, "Not Found", _page(endpoint, ref))
        host = f"http://{request.headers.get('host', '')}/github-api"
        if moved := self._moved(git_dir):
            # https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
            old, new = f"/github-api/repos/{name}", f"{host}/repositories/{_number(moved)}"
            url = request.target.replace(old, new, 1)
            problem = {"message": "Moved Permanently", "url": url, "documentation_url": _REDIRECTS_PAGE}
            return json_response(301, problem, {"Location": url})
        where = github_json.Where(host, str(git_dir.relative_to(self._folder)).removesuffix(".git"))
        repository = Repository(git_dir)
        if endpoint == "git/trees":
            return _tree(request, repository, where, ref)
        return _one_commit(request, repository, where, ref) if ref else _commits(request, repository, where)


def _number(name: str) -> str:
    return str(zlib.crc32(name.encode()))


def _page(endpoint: str, ref: str | None) -> str:
    if endpoint == "git/trees":
        return problems.GET_TREE
    return problems.GET_COMMIT if ref else problems.LIST_COMMITS


def _elsewhere(request: Request, name: str, moved: str) -> Response:
    """Lead to the same file of a renamed repository.

    https://docs.github.com/repositories/creating-and-managing-repositories/renaming-a-repository promises it for "web
    traffic". Not for ever, nor everywhere: https://github.com/sublimehq/package_control_channel/pull/1846.
    """
    return empty_response(301, {"Location": request.target.replace(f"/{name}/", f"/{moved}/", 1)})


def _raw_file(request: Request, repository: Repository, ref: str, path: str) -> Response:
    blob = repository.blob(ref, path)
    if blob is None:
        return text_response(404, "404: Not Found")
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    is_text = kind.startswith("text/")
    headers = {
        "ETag": f'"{blob.sha}"',
        "Content-Type": "text/plain; charset=utf-8" if is_text else kind,
        "Cache-Control": "max-age=300",
        "Vary": "Authorization,Accept-Encoding",
    }
    if is_unchanged(request, headers["ETag"]):
        return empty_response(304, headers)
    if is_text and "gzip" in request.headers.get("accept-encoding", ""):
        # Text comes packed: https://github.com/megvii-research/megfile/issues/366
        packed = gzip.compress(repository.read(blob), mtime=0)
        packing = {"Content-Encoding": "gzip", "ETag": f"W/{headers['ETag']}"}
        return bytes_response(200, packed, headers["Content-Type"], headers | packing)
    return Response(200, headers, repository.stream("cat-file", "blob", blob.sha), blob.size)


def _unknown(repository: Repository, status: int, message: str, page: str) -> Response:
    """Say that a commit, branch or tree is not there; see https://github.com/github/rest-api-description/issues/385."""
    if repository.is_empty():
        return problems.github(409, "Git Repository is empty.", page)
    return problems.github(status, message, page)


def _one_commit(request: Request, repository: Repository, where: github_json.Where, ref: str) -> Response:
    sha = repository.commit(ref)
    if sha is None:
        return _unknown(repository, 422, f"No commit found for SHA: {ref}", problems.GET_COMMIT)
    if SHA_MEDIA_TYPE not in request.headers.get("accept", ""):
        (commit,) = repository.log(sha, "-1")
        value = github_json.commit(where, commit) | github_json.changes(where, sha, repository.changes(commit))
        return _cacheable(request, value, f"commit {sha}")
    headers = {"ETag": f'"{sha}"'}
    if is_unchanged(request, headers["ETag"]):
        return empty_response(304, headers)
    return bytes_response(200, sha.encode(), f"{SHA_MEDIA_TYPE}; charset=utf-8", headers)


def _commits(request: Request, repository: Repository, where: github_json.Where) -> Response:
    query = request.query
    sha = repository.commit(query.get("sha", "HEAD"))
    if sha is None:
        return _unknown(repository, 404, "Not Found", problems.LIST_COMMITS)
    try:
        size = min(max(int(query.get("per_page", "30")), 1), 100)
        page = max(int(query.get("page", "1")), 1)
        limits = [f"--min-age={_timestamp(query['until'])}"] if "until" in query else []
    except ValueError as error:
        return problems.github(422, f"Validation Failed: {error}", problems.LIST_COMMITS)
    commits = repository.log(sha, f"--max-count={size}", f"--skip={(page - 1) * size}", *limits)
    last = -(-repository.count(sha, *limits) // size)
    value = [github_json.commit(where, commit) for commit in commits]
    return _cacheable(request, value, f"commits {sha} {query}", _links(f"{where.api}/commits", query, page, last))


def _links(url: str, query: dict[str, str], page: int, last: int) -> dict[str, str]:
    """Return the header that leads to other pages: https://docs.github.com/rest/using-the-rest-api/using-pagination."""
    pages = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    wanted = (["prev", "first"] if page > 1 else []) + (["next", "last"] if page < last else [])
    links = [f'<{url}?{urlencode(query | {"page": str(pages[name])})}>; rel="{name}"' for name in wanted]
    return {"Link": ", ".join(links)} if links else {}


def _tree(request: Request, repository: Repository, where: github_json.Where, ref: str) -> Response:
    sha = repository.commit(ref) or repository.tree(ref)
    if sha is None:
        return _unknown(repository, 404, "Not Found", problems.GET_TREE)
    recursive = "recursive" in request.query
    value = github_json.tree(where, sha, repository.entries(sha, recursive=recursive))
    return _cacheable(request, value, f"tree {sha} {recursive}")


def _cacheable(request: Request, value: Any, identity: str, headers: dict[str, str] | None = None) -> Response:
    """Answer with JSON and an ETag, or with 304 where the client has it already."""
    headers = {"ETag": weak_etag(identity), **(headers or {})}
    return (
        empty_response(304, headers) if is_unchanged(request, headers["ETag"]) else json_response(200, value, headers)
    )


def _timestamp(text: str) -> int:
    """Return the Unix time of an ISO 8601 text; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
