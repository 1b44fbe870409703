"""A stand-in for the parts of GitHub that the pipeline uses, on top of any bare git repository.

Every answer is read from the repository with the ``git`` program when it is asked for, so that a moved branch shows at
once. The repository is served under whatever owner and name is asked for. No credentials are checked, and the rate
limit in the headers is never used up: faults stand for both.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from upstream_simulator.messages import (
    CHUNK,
    Body,
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

_OBJECT = re.compile(r"([0-9a-f]{40}) (\w+) (\d+)")
_REF = re.compile(r"[\w+-][\w.+@-]*(/[\w+-][\w.+@-]*)*")
_ABBREVIATED_SHA = re.compile(r"[0-9a-f]{4,40}")
_COMMIT_FIELDS = ("%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%B")


class GitObject(NamedTuple):
    """What git says of an object: its SHA-1, its type and its length in bytes."""

    sha: str
    kind: str
    size: int


class GitHub:
    """Answers requests as GitHub does.

    Args:
        git_dir: a bare git repository.

    Raises:
        FileNotFoundError: ``git_dir`` is no git repository.
    """

    def __init__(self, git_dir: Path) -> None:
        if not (git_dir / "HEAD").is_file():
            raise FileNotFoundError(f"{git_dir} is no bare git repository; name a folder that holds HEAD and refs/")
        self._git_dir = git_dir

    def api(self, request: Request) -> Response:
        """Answer a request below ``/github-api``."""
        response = self._api(request)
        limit = 5000 if "authorization" in request.headers else 60
        limits = {"limit": limit, "remaining": limit - 1, "used": 1, "reset": int(time.time()) + 3600}
        headers = {f"x-ratelimit-{name}": str(value) for name, value in limits.items()}
        headers["x-ratelimit-resource"] = "core"
        return Response(response.status, {**headers, **response.headers}, response.body, response.length)

    def raw(self, request: Request) -> Response:
        """Answer a request below ``/github-raw``: one file of one commit."""
        match = re.fullmatch(r"/github-raw/[^/]+/[^/]+/([^/]+)/(.+)", request.path, re.DOTALL)
        blob = self._blob(*match.groups()) if match else None
        if blob is None:
            return text_response(404, "404: Not Found")
        headers = {"ETag": f'"{blob.sha}"', "Content-Type": "application/octet-stream", "Cache-Control": "max-age=300"}
        if is_unchanged(request, headers["ETag"]):
            return empty_response(304, headers)
        return Response(200, headers, self._stream("cat-file", "blob", blob.sha), blob.size)

    def codeload(self, request: Request) -> Response:
        """Answer a request below ``/github-codeload``: a whole commit as a tar.gz of unknown length."""
        match = re.fullmatch(r"/github-codeload/[^/]+/([^/]+)/tar\.gz/(.+)", request.path, re.DOTALL)
        commit = self._commit(match[2]) if match else None
        if match is None or commit is None:
            return text_response(404, "404: Not Found")
        name = f"{match[1]}-{match[2].removeprefix('refs/heads/').replace('/', '-')}"
        headers = {
            "Content-Type": "application/x-gzip",
            "Content-Disposition": f"attachment; filename={name}.tar.gz",
            "ETag": weak_etag(commit),
        }
        body = self._stream("archive", "--format=tar.gz", "-1", f"--prefix={name}/", commit)
        return Response(200, headers, body, None)

    def _api(self, request: Request) -> Response:
        match = re.fullmatch(r"/github-api/repos/([^/]+/[^/]+)/(commits|git/trees)(?:/(.+))?", request.path, re.DOTALL)
        if match is None or request.method != "GET":
            return _not_found()
        repository, endpoint, ref = match.groups()
        base = f"http://{request.headers.get('host', '')}/github-api/repos/{repository}"
        if endpoint == "commits":
            return self._one_commit(request, base, ref) if ref else self._commits(request, base)
        return self._tree(request, base, ref) if ref else _not_found()

    def _one_commit(self, request: Request, base: str, ref: str) -> Response:
        sha = self._commit(ref)
        if sha is None:
            return _problem(422, f"No commit found for SHA: {ref}")
        if SHA_MEDIA_TYPE not in request.headers.get("accept", ""):
            return _cacheable(request, self._log(base, sha, "-1")[0], f"commit {sha}")
        headers = {"ETag": f'"{sha}"'}
        if is_unchanged(request, headers["ETag"]):
            return empty_response(304, headers)
        return bytes_response(200, sha.encode(), f"{SHA_MEDIA_TYPE}; charset=utf-8", headers)

    def _commits(self, request: Request, base: str) -> Response:
        query = request.query
        sha = self._commit(query.get("sha", "HEAD"))
        if sha is None:
            return _not_found()
        try:
            limits = [f"--max-count={_page_size(query)}"]
            if "until" in query:
                limits.append(f"--min-age={_timestamp(query['until'])}")
        except ValueError as error:
            return _problem(422, f"Validation Failed: {error}")
        return _cacheable(request, self._log(base, sha, *limits), f"commits {sha} {limits}")

    def _tree(self, request: Request, base: str, ref: str) -> Response:
        sha = self._commit(ref) or self._tree_sha(ref)
        if sha is None:
            return _not_found()
        recursive = ("-r", "-t") if "recursive" in request.query else ()
        listing = self._git("ls-tree", *recursive, "--long", "-z", "--full-tree", sha).decode()
        entries = [_tree_entry(base, line) for line in listing.split("\0")[:-1]]
        tree = {"sha": sha, "url": f"{base}/git/trees/{sha}", "tree": entries, "truncated": False}
        return _cacheable(request, tree, f"tree {sha} {recursive}")

    def _log(self, base: str, sha: str, *limits: str) -> list[dict[str, Any]]:
        fields = self._git("log", "-z", f"--format=tformat:{'%x00'.join(_COMMIT_FIELDS)}", *limits, sha)
        values = fields.decode(errors="replace").split("\0")[:-1]
        width = len(_COMMIT_FIELDS)
        return [_commit_json(base, values[start : start + width]) for start in range(0, len(values), width)]

    def _commit(self, ref: str) -> str | None:
        """Return the SHA-1 of the commit that ``ref`` (branch, tag, SHA-1 or its beginning, ``HEAD``) names."""
        found = self._lookup([f"{name}^{{commit}}" for name in _names(ref)])
        return found.sha if found else None

    def _tree_sha(self, ref: str) -> str | None:
        found = self._lookup([f"{ref}^{{tree}}"]) if _ABBREVIATED_SHA.fullmatch(ref) else None
        return found.sha if found else None

    def _blob(self, ref: str, path: str) -> GitObject | None:
        if {"", ".", ".."} & set(path.split("/")):  # git would take some of these as relative to a working tree
            return None
        found = self._lookup([f"{name}:{path}" for name in _names(ref)])
        return found if found and found.kind == "blob" else None

    def _lookup(self, names: Sequence[str]) -> GitObject | None:
        """Return the first of ``names`` that git knows."""
        if any("\n" in name for name in names):  # one name a line
            return None
        answer = self._git("cat-file", "--batch-check", stdin="".join(f"{name}\n" for name in names))
        for line in answer.decode().split("\n"):
            if match := _OBJECT.fullmatch(line):
                return GitObject(match[1], match[2], int(match[3]))
        return None

    def _command(self, *arguments: str) -> list[str]:
        return ["git", f"--git-dir={self._git_dir}", *arguments]

    def _git(self, *arguments: str, stdin: str = "") -> bytes:
        command = self._command(*arguments)
        return subprocess.run(command, input=stdin.encode(), stdout=subprocess.PIPE, check=True).stdout

    def _stream(self, *arguments: str) -> Body:
        """Yield what a git command prints; it starts with the first chunk and ends with the generator."""
        with subprocess.Popen(self._command(*arguments), stdout=subprocess.PIPE) as process:
            if process.stdout is None:
                raise RuntimeError("git was started without a pipe")
            try:
                while chunk := process.stdout.read(CHUNK):
                    yield chunk
                if process.wait() != 0:
                    raise subprocess.CalledProcessError(process.returncode, process.args)
            finally:
                process.kill()


def _names(ref: str) -> list[str]:
    """Return the full names that ``ref`` may stand for; none where git's own syntax would mean something else."""
    if _REF.fullmatch(ref) is None:
        return []
    if ref == "HEAD" or ref.startswith("refs/"):
        return [ref]
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    return [*names, ref] if _ABBREVIATED_SHA.fullmatch(ref) else names


def _cacheable(request: Request, value: Any, identity: str) -> Response:
    """Answer with JSON and an ETag, or with 304 where the client has it already."""
    headers = {"ETag": weak_etag(identity)}
    return (
        empty_response(304, headers) if is_unchanged(request, headers["ETag"]) else json_response(200, value, headers)
    )


def _problem(status: int, message: str) -> Response:
    return json_response(status, {"message": message, "status": str(status)})


def _not_found() -> Response:
    return _problem(404, "Not Found")


def _page_size(query: dict[str, str]) -> int:
    return min(max(int(query.get("per_page", "30")), 1), 100)


def _timestamp(text: str) -> int:
    """Return the Unix time of an ISO 8601 text; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _iso(timestamp: str) -> str:
    return f"{datetime.fromtimestamp(int(timestamp), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _commit_json(base: str, values: Sequence[str]) -> dict[str, Any]:
    sha, tree, parents, author, author_mail, authored, committer, committer_mail, committed, message = values
    return {
        "sha": sha,
        "url": f"{base}/commits/{sha}",
        "commit": {
            "author": {"name": author, "email": author_mail, "date": _iso(authored)},
            "committer": {"name": committer, "email": committer_mail, "date": _iso(committed)},
            "message": message.rstrip("\n"),
            "tree": {"sha": tree, "url": f"{base}/git/trees/{tree}"},
        },
        "parents": [{"sha": parent, "url": f"{base}/commits/{parent}"} for parent in parents.split()],
    }


def _tree_entry(base: str, line: str) -> dict[str, Any]:
    """Turn a record of ``git ls-tree --long`` into GitHub's form."""
    facts, path = line.split("\t", 1)
    mode, kind, sha, size = facts.split()
    entry: dict[str, Any] = {"path": path, "mode": mode, "type": kind, "sha": sha}
    if kind == "blob":
        entry["size"] = int(size)
    if kind != "commit":  # a submodule lies in another repository
        entry["url"] = f"{base}/git/{kind}s/{sha}"
    return entry
