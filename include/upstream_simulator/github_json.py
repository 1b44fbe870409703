"""The JSON of GitHub's REST API, in the form of its OpenAPI description (``commit`` and ``git-tree``)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from upstream_simulator.git import Change, Commit, Entry, Person

_STATUS = {"A": "added", "D": "removed", "M": "modified", "T": "changed"}
_UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
_MOST_FILES = 300  # on one page of a commit: https://docs.github.com/rest/commits/commits#get-a-commit


@dataclass(frozen=True)
class Where:
    """Which repository an answer is about.

    Attributes:
        host: address of the API.
        name: ``owner/name``.
    """

    host: str
    name: str

    @property
    def api(self) -> str:
        """Address of the repository in the API."""
        return f"{self.host}/repos/{self.name}"

    @property
    def web(self) -> str:
        """Address of the repository for people."""
        return f"https://github.com/{self.name}"


def commit(where: Where, facts: Commit) -> dict[str, Any]:
    """Describe a commit. Nobody who made one has an account here: ``author`` and ``committer`` are null then."""
    url = f"{where.api}/commits/{facts.sha}"
    return {
        "sha": facts.sha,
        "node_id": base64.b64encode(f"06:Commit{facts.sha}".encode()).decode(),
        "commit": {
            "author": _person(facts.author),
            "committer": _person(facts.committer),
            "message": facts.message,
            "tree": {"sha": facts.tree, "url": f"{where.api}/git/trees/{facts.tree}"},
            "url": f"{where.api}/git/commits/{facts.sha}",
            "comment_count": 0,
            "verification": _UNSIGNED,
        },
        "url": url,
        "html_url": f"{where.web}/commit/{facts.sha}",
        "comments_url": f"{url}/comments",
        "author": None,
        "committer": None,
        "parents": [
            {"sha": sha, "url": f"{where.api}/commits/{sha}", "html_url": f"{where.web}/commit/{sha}"}
            for sha in facts.parents
        ],
    }


def changes(where: Where, sha: str, facts: Sequence[Change]) -> dict[str, Any]:
    """Describe what commit ``sha`` changed, which is told of one commit, not in lists."""
    additions, deletions = sum(file.additions for file in facts), sum(file.deletions for file in facts)
    return {
        "stats": {"total": additions + deletions, "additions": additions, "deletions": deletions},
        "files": [_file(where, sha, file) for file in facts[:_MOST_FILES]],
    }


def tree(where: Where, sha: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Describe what is in a tree."""
    described = [_entry(where, entry) for entry in entries]
    return {"sha": sha, "url": f"{where.api}/git/trees/{sha}", "tree": described, "truncated": False}


def _person(facts: Person) -> dict[str, str]:
    date = f"{datetime.fromtimestamp(facts.seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return {"name": facts.name, "email": facts.email, "date": date}


def _file(where: Where, sha: str, facts: Change) -> dict[str, Any]:
    path = quote(facts.path, safe="")
    return {
        "sha": None if facts.letter == "D" else facts.sha,
        "filename": facts.path,
        "status": _STATUS[facts.letter],
        "additions": facts.additions,
        "deletions": facts.deletions,
        "changes": facts.additions + facts.deletions,
        "blob_url": f"{where.web}/blob/{sha}/{path}",
        "raw_url": f"{where.web}/raw/{sha}/{path}",
        "contents_url": f"{where.api}/contents/{path}?ref={sha}",
    }


def _entry(where: Where, facts: Entry) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": facts.path, "mode": facts.mode, "type": facts.kind, "sha": facts.sha}
    if facts.size is not None:
        entry["size"] = facts.size
    if facts.kind != "commit":  # a submodule lies in another repository
        entry["url"] = f"{where.api}/git/{facts.kind}s/{facts.sha}"
    return entry
