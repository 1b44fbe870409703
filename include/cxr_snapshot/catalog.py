"""Answers questions about what is published. Nothing here writes to the store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from cxr_snapshot.changes import changes_report, compare
from cxr_snapshot.checksums import SUCCESS, SUMS, read_sums
from cxr_snapshot.errors import DownloadError, MissingObjectError, VerificationError
from cxr_snapshot.publishing import LATEST, is_version, read_pointer, version_key
from cxr_snapshot.storage import Store, bounded_map, parse_json


def versions(store: Store) -> list[str]:
    """Return the names of all complete snapshots, oldest first."""
    names = sorted((name for name in store.folders() if is_version(name)), key=version_key)
    return [name for name, complete in bounded_map(lambda name: store.exists(f"{name}/{SUCCESS}"), names) if complete]


def resolve(store: Store, version: str) -> str:
    """Return the name of a complete snapshot; ``latest`` stands for the one that ``latest.json`` names.

    Raises:
        MissingObjectError: there is no such snapshot; the text names the newest ones that are there.
    """
    name = read_pointer(store)[0] if version == "latest" else version
    if name is None:
        raise MissingObjectError(f"{store.uri(LATEST)} does not exist: nothing was published yet.")
    if not is_version(name) or not store.exists(f"{name}/{SUCCESS}"):
        newest = ", ".join(reversed(versions(store)[-5:])) or "none"
        raise MissingObjectError(f"{store.uri(name)} is no complete snapshot. The newest are: {newest}.")
    return name


def list_snapshots(store: Store) -> list[dict[str, Any]]:
    """Return a short record of every complete snapshot, oldest first.

    Each has ``version``, ``uri``, ``created``, ``counts`` by class, ``revisions`` by source, ``content_digest`` and
    whether it is the ``latest``.
    """
    latest, _ = read_pointer(store)
    fields = ("version", "uri", "created", "counts", "revisions", "content_digest")
    facts = [facts for _, facts in bounded_map(lambda name: _facts(store, name), versions(store))]
    return [{name: item[name] for name in fields} | {"latest": item["version"] == latest} for item in facts]


def show(store: Store, version: str) -> dict[str, Any]:
    """Return ``snapshot.json``, and the snapshot's number of ``files``, their ``bytes`` and whether it is ``latest``.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    name = resolve(store, version)
    files = store.list(f"{name}/")
    size = sum(item.size for item in files.values())
    return _facts(store, name) | {"files": len(files), "bytes": size, "latest": name == read_pointer(store)[0]}


def diff(store: Store, old: str, new: str) -> dict[str, Any]:
    """Compare two snapshots, image by image.

    Returns:
        ``old`` and ``new`` version, ``revisions``, ``counts`` of each kind of change, and the lists of changes by kind
        as in ``changes.json``.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    old, new = resolve(store, old), resolve(store, new)
    found = compare(_manifest(store, old), _excluded(store, old), _manifest(store, new), _excluded(store, new))
    report = changes_report(found, _facts(store, old), _facts(store, new)["revisions"])
    return {"old": old, "new": new, **{name: report[name] for name in ("revisions", "counts", *found)}}


def download(
    store: Store, version: str, folder: Path, advance: Callable[[int, int], None] = lambda _done, _total: None
) -> int:
    """Copy a snapshot to a local folder and check every file against ``SHA256SUMS``.

    A killed call is continued: files that are there with the right SHA-256 are not fetched again. ``_SUCCESS`` is
    written last, as in the store.

    Args:
        store: where it is.
        version: its name, or ``latest``.
        folder: what gets the files; new, empty, or begun by an earlier call for the same snapshot.
        advance: called after each file with the bytes so far and in all.

    Returns:
        How many files were fetched.

    Raises:
        DownloadError: the folder holds something else.
        MissingObjectError: there is no such snapshot, or a file of it is missing.
        VerificationError: a file is damaged in the store.
    """
    name = resolve(store, version)
    listed = store.get(f"{name}/{SUMS}")
    sums = read_sums(store, name)
    _prepare(folder, listed, f"{name} of {store.uri('')}")
    sizes = {path.removeprefix(f"{name}/"): item.size for path, item in store.list(f"{name}/").items()}
    if missing := sorted(sums.keys() - sizes.keys()):
        raise MissingObjectError(
            f"{store.uri(name)} lacks {len(missing)} files that {SUMS} names, such as {missing[0]}."
        )
    done = fetched = 0
    for path, was_fetched in bounded_map(lambda path: _fetch(store, name, path, sums[path], folder), sorted(sums)):
        fetched += was_fetched
        done += sizes[path]
        advance(done, sum(sizes[path] for path in sums))
    (folder / SUCCESS).write_bytes(store.get(f"{name}/{SUCCESS}"))
    return fetched


def _facts(store: Store, version: str) -> dict[str, Any]:
    name = f"{version}/snapshot.json"
    return parse_json(store.get(name), store.uri(name))


def _manifest(store: Store, version: str) -> pd.DataFrame:
    return store.get_table(f"{version}/manifest.parquet")


def _excluded(store: Store, version: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(store.get(f"{version}/excluded.csv")), dtype=str)


def _prepare(folder: Path, sums: bytes, what: str) -> None:
    """Mark the folder by ``SHA256SUMS`` as this snapshot's; refuse one that holds anything else."""
    marker = folder / SUMS
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file() or marker.read_bytes() != sums:
            raise DownloadError(f"{folder} holds files that are not of snapshot {what}. Choose an empty folder.")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_bytes(sums)
    except OSError as error:
        raise DownloadError(f"cannot write to {folder}: {error}. Choose another folder.") from error


def _fetch(store: Store, version: str, path: str, sha256: str, folder: Path) -> bool:
    """Fetch one file unless it is there, and say whether that was needed."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise VerificationError(f"{store.uri(version)}/{SUMS} names {path}, which is outside of the snapshot.")
    file = folder / path
    if file.is_file():
        with file.open("rb") as body:
            if hashlib.file_digest(body, "sha256").hexdigest() == sha256:
                return False
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    if store.save(f"{version}/{path}", part) != sha256:
        part.unlink()
        raise VerificationError(f"{store.uri(version)}/{path} is damaged: its SHA-256 is not the one in {SUMS}.")
    part.replace(file)
    return True
