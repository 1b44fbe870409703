"""Copies a snapshot to a local folder, and checks every byte."""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cxr_snapshot.catalog.reading import resolve
from cxr_snapshot.errors import DownloadError, MissingObjectError, SnapshotError, VerificationError
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, parse_sums, read_sums, sums_bytes
from cxr_snapshot.publication.marks import ERASING, MARK, Mark, read_mark
from cxr_snapshot.publication.versions import is_version, version_key
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map

NEW_SUMS = f"{SUMS}.withdrawn"  # in the local copy of a snapshot of which something was erased

_FACTS = "snapshot.json"
_PART = re.compile(r"\.[0-9a-f]{32}\.part")


class Downloaded(NamedTuple):
    """What a download did.

    Attributes:
        fetched: files that were fetched.
        saved: bytes that were not, since the folder had them.
    """

    fetched: int
    saved: int


def download(
    store: Store, version: str, folder: Path, advance: Callable[[int, int], None] = lambda _done, _total: None
) -> Downloaded:
    """Copy a snapshot to a local folder and check every file against ``SHA256SUMS``.

    A killed call is continued: files that are there with the right SHA-256 are not fetched again. A folder that holds
    an earlier snapshot becomes this one: what is in both stays, and of the earlier one's files the others are deleted.
    ``_SUCCESS`` is written last, as in the store. Of one of which something was withdrawn, the mark is copied too. What
    was erased is not fetched, and is deleted where an earlier call has fetched it; ``SHA256SUMS.withdrawn`` then lists
    what is left.


    Args:
        store: where it is.
        version: its name, or ``latest``.
        folder: what gets the files; new, empty, begun by an earlier call for the same snapshot, or holding an earlier
            snapshot from the same place.
        advance: called after each file with the bytes so far and in all.

    Raises:
        DownloadError: the folder holds something else, or cannot be written to; or bytes are being erased just now.
        MissingObjectError: there is no such snapshot, or a file of it is missing.
        VerificationError: a file is damaged in the store.
    """
    name = resolve(store, version)
    listed = store.get(f"{name}/{SUMS}")
    sums = read_sums(store, name)
    _prepare(folder, listed, store.uri(f"{name}/"))
    mark, etag = read_mark(store, name)
    if mark.state == ERASING:
        raise DownloadError(
            f"{store.uri(name)} is being made anew without images that were withdrawn. Try again later; if that was "
            "broken off, whoever withdrew them has to do so again, which ends it."
        )
    sums = mark.now(sums)
    sizes = {path.removeprefix(f"{name}/"): item.size for path, item in store.list(f"{name}/").items()}
    if missing := sorted(sums.keys() - sizes.keys()):
        raise MissingObjectError(
            f"{store.uri(name)} lacks {len(missing)} files that {SUMS} names, such as {missing[0]}."
        )
    done = fetched = saved = 0
    for path, was_fetched in bounded_map(lambda path: _fetch(store, name, path, sums[path], folder), sorted(sums)):
        fetched += was_fetched
        saved += 0 if was_fetched else sizes[path]
        done += sizes[path]
        advance(done, sum(sizes[path] for path in sums))
    if etag:
        _take_over(store, name, mark, sums, folder)
    (folder / SUCCESS).write_bytes(store.get(f"{name}/{SUCCESS}"))
    return Downloaded(fetched, saved)


def _take_over(store: Store, version: str, mark: Mark, sums: Mapping[str, str], folder: Path) -> None:
    """Copy the mark, and let the folder be what it says."""
    with _local_errors(folder / MARK):
        (folder / MARK).write_bytes(store.get(f"{version}/{MARK}"))
        if mark.removed or mark.sums:
            (folder / NEW_SUMS).write_bytes(sums_bytes(sums))
        for path in mark.removed:
            _refuse_outside(store, version, path)
            (folder / path).unlink(missing_ok=True)


def _prepare(folder: Path, sums: bytes, uri: str) -> None:
    """Mark the folder by ``SHA256SUMS`` as that of the snapshot at ``uri``; refuse one that holds anything else."""
    marker = folder / SUMS
    with _local_errors(folder):
        if marker.is_file() and marker.read_bytes() == sums:
            return
        if folder.is_dir() and any(folder.iterdir()):
            _make_room(folder, parse_sums(sums), uri)
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_bytes(sums)


def _make_room(folder: Path, wanted: Collection[str], uri: str) -> None:
    """Delete what an earlier snapshot in the folder has and the wanted one has not.

    ``SHA256SUMS`` of the earlier one stays until then, so that a killed call is continued by the next one.
    """
    marker = folder / SUMS
    there = parse_sums(marker.read_bytes()) if marker.is_file() else {}
    held = {*there, SUMS, SUCCESS, MARK, NEW_SUMS}
    files = [
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
    ]
    strange = sorted(name for name in files if name not in held and not _PART.fullmatch(PurePosixPath(name).name))
    if strange or not _is_earlier(folder, uri):
        what = f"such as {strange[0]}" if strange else "and no earlier snapshot of the same place"
        raise DownloadError(f"{folder} holds files that are not of snapshot {uri}, {what}. Choose an empty folder.")
    (folder / SUCCESS).unlink(missing_ok=True)
    for name in sorted(set(files).difference(wanted, [SUMS, SUCCESS, _FACTS])):
        (folder / name).unlink()


def _is_earlier(folder: Path, uri: str) -> bool:
    """Say whether the folder holds an earlier version, or a part of it, from where the one at ``uri`` is."""
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
        version = str(facts["version"])
        place = facts["uri"].removesuffix(f"{version}/")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
    wanted = uri.removeprefix(place).removesuffix("/")
    return is_version(version) and is_version(wanted) and version_key(version) < version_key(wanted)


def _fetch(store: Store, version: str, path: str, sha256: str, folder: Path) -> bool:
    """Fetch one file unless it is there, and say whether that was needed."""
    _refuse_outside(store, version, path)
    file = folder / path
    # Of a fixed length: what adds to a long name makes one that no file system takes.
    part = file.with_name(f".{hashlib.sha256(path.encode()).hexdigest()[:32]}.part")
    with _local_errors(file):
        if file.is_file():
            with file.open("rb") as body:
                if hashlib.file_digest(body, "sha256").hexdigest() == sha256:
                    return False
        file.parent.mkdir(parents=True, exist_ok=True)
        if store.save(f"{version}/{path}", part) != sha256:
            part.unlink()
            raise VerificationError(f"{store.uri(version)}/{path} is damaged: its SHA-256 is not the one in {SUMS}.")
        part.replace(file)
    return True


def _refuse_outside(store: Store, version: str, path: str) -> None:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise VerificationError(f"{store.uri(version)}/{SUMS} names {path}, which is outside of the snapshot.")


@contextmanager
def _local_errors(file: Path) -> Iterator[None]:
    """Say of a disk that is full, or of a name that the file system does not take, what can be done."""
    try:
        yield
    except SnapshotError:  # some of ours are an OSError too
        raise
    except OSError as error:
        remedy = "Choose another folder."
        if error.errno == errno.ENAMETOOLONG:
            remedy = "Choose a folder with a shorter path, or a snapshot of schema version 2, whose names are short."
        raise DownloadError(f"cannot write to {file}: {error.strerror}. {remedy}") from error
