"""Reads a bare git repository with the ``git`` program, each time anew, so that a moved branch shows at once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from upstream_simulator.messages import CHUNK, Body

_OBJECT = re.compile(r"([0-9a-f]{40}) (\w+) (\d+)")
_REF = re.compile(r"[\w+-][\w.+@-]*(/[\w+-][\w.+@-]*)*")
_ABBREVIATED_SHA = re.compile(r"[0-9a-f]{4,40}")
_COMMIT_FIELDS = ("%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%B")
_NOT_COUNTED = "-"  # in the place of the number of lines of a binary file


class GitObject(NamedTuple):
    """What git says of an object: its SHA-1, its type and its length in bytes."""

    sha: str
    kind: str
    size: int


class Entry(NamedTuple):
    """One entry of a tree; ``size`` is ``None`` for all but files."""

    path: str
    mode: str
    kind: str
    sha: str
    size: int | None


class Person(NamedTuple):
    """Who did something, and when (seconds since 1970)."""

    name: str
    email: str
    seconds: int


class Commit(NamedTuple):
    """What git says of a commit."""

    sha: str
    tree: str
    parents: list[str]
    author: Person
    committer: Person
    message: str


class Change(NamedTuple):
    """What a commit did to a file: ``A`` added, ``D`` deleted, ``M`` or ``T`` modified; ``sha`` names the new bytes."""

    path: str
    letter: str
    sha: str
    additions: int
    deletions: int


class Repository:
    """A bare repository.

    Args:
        git_dir: where it lies.
    """

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir

    def is_empty(self) -> bool:
        """Say whether there is no branch and no tag."""
        return not self._git("for-each-ref", "--count=1")

    def commit(self, ref: str) -> str | None:
        """Return the SHA-1 of the commit that ``ref`` (branch, tag, SHA-1 or its beginning, ``HEAD``) names."""
        found = self._lookup([f"{name}^{{commit}}" for name in _names(ref)])
        return found.sha if found else None

    def tree(self, ref: str) -> str | None:
        """Return the SHA-1 of the tree whose SHA-1, or the beginning of it, is ``ref``."""
        found = self._lookup([f"{ref}^{{tree}}"]) if _ABBREVIATED_SHA.fullmatch(ref) else None
        return found.sha if found else None

    def blob(self, ref: str, path: str) -> GitObject | None:
        """Return the file at ``path`` in the commit that ``ref`` names."""
        if {"", ".", ".."} & set(path.split("/")):  # git would take some of these as relative to a working tree
            return None
        found = self._lookup([f"{name}:{path}" for name in _names(ref)])
        return found if found and found.kind == "blob" else None

    def log(self, sha: str, *limits: str) -> list[Commit]:
        """Return commit ``sha`` and those before it, as far as ``git log`` shows them with ``limits``."""
        fields = self._git("log", "-z", f"--format=tformat:{'%x00'.join(_COMMIT_FIELDS)}", *limits, sha)
        values = fields.decode(errors="replace").split("\0")[:-1]
        width = len(_COMMIT_FIELDS)
        return [_commit(values[start : start + width]) for start in range(0, len(values), width)]

    def count(self, sha: str, *limits: str) -> int:
        """Return the number of commits that ``log`` would return."""
        return int(self._git("rev-list", "--count", *limits, sha))

    def changes(self, commit: Commit) -> list[Change]:
        """Return what ``commit`` did, compared with its first parent."""
        between = (commit.parents[0], commit.sha) if commit.parents else ("--root", commit.sha)
        flags = ("-r", "-z", "--no-commit-id", "--no-renames", "--no-abbrev", "--raw", "--numstat")
        words = self._git("diff-tree", *flags, *between).decode(errors="replace").split("\0")[:-1]
        # ":<mode> <mode> <sha> <sha> <letter>" and path for each file, then "<added>\t<deleted>\t<path>" for each.
        half = len(words) * 2 // 3
        return [_change(*facts) for facts in zip(words[:half:2], words[1:half:2], words[half:], strict=True)]

    def entries(self, sha: str, *, recursive: bool) -> list[Entry]:
        """Return what is in the tree of a commit, or in a tree."""
        deep = ("-r", "-t") if recursive else ()
        listing = self._git("ls-tree", *deep, "--long", "-z", "--full-tree", sha).decode()
        return [_entry(line) for line in listing.split("\0")[:-1]]

    def read(self, blob: GitObject) -> bytes:
        """Return the bytes of a file."""
        return self._git("cat-file", "blob", blob.sha)

    def stream(self, *arguments: str) -> Body:
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


def _names(ref: str) -> list[str]:
    """Return the full names that ``ref`` may stand for; none where git's own syntax would mean something else."""
    if _REF.fullmatch(ref) is None:
        return []
    if ref == "HEAD" or ref.startswith("refs/"):
        return [ref]
    names = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
    return [*names, ref] if _ABBREVIATED_SHA.fullmatch(ref) else names


def _commit(values: Sequence[str]) -> Commit:
    sha, tree, parents, author, author_mail, authored, committer, committer_mail, committed, message = values
    return Commit(
        sha,
        tree,
        parents.split(),
        Person(author, author_mail, int(authored)),
        Person(committer, committer_mail, int(committed)),
        message.rstrip("\n"),
    )


def _change(raw: str, path: str, counted: str) -> Change:
    _, _, _, sha, letter = raw.split()
    added, deleted, _ = counted.split("\t", 2)
    numbers = [0 if number == _NOT_COUNTED else int(number) for number in (added, deleted)]
    return Change(path, letter, sha, *numbers)


def _entry(line: str) -> Entry:
    """Read a record of ``git ls-tree --long``."""
    facts, path = line.split("\t", 1)
    mode, kind, sha, size = facts.split()
    return Entry(path, mode, kind, sha, int(size) if kind == "blob" else None)
