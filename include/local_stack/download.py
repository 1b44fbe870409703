"""Copies the latest snapshot to a folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.processes import StackError

if TYPE_CHECKING:
    from cxr_snapshot.storage import Store


def download(store: Store, snapshots: Path) -> tuple[Path, int]:
    """Copy the latest snapshot to ``snapshots/<version>`` and check every file against ``SHA256SUMS``.

    A snapshot never changes, so one that is there already is not fetched again.

    Args:
        store: where the snapshots are.
        snapshots: folder that gets one folder for each version.

    Returns:
        The folder, and how many files were fetched.

    Raises:
        StackError: there is no snapshot, or a file differs from its checksum.
    """
    from cxr_snapshot.storage import bounded_map

    latest = store.get_json("latest.json")
    if latest is None:
        raise StackError(f"There is no snapshot yet: {store.uri('latest.json')} does not exist. Run `make run` first.")
    version = latest["version"]
    target = snapshots / version
    if target.exists():
        if (target / "snapshot.json").read_bytes() != store.get(f"{version}/snapshot.json"):
            raise StackError(f"{target} holds another snapshot, of another store. Move it away and try again.")
        return target, 0
    draft = snapshots / f".{version}.part"
    shutil.rmtree(draft, ignore_errors=True)
    sums = _checksums(store.get(f"{version}/SHA256SUMS").decode())
    names = sorted(store.list(f"{version}/"))
    for name, body in bounded_map(store.get, names):
        file = draft / name.removeprefix(f"{version}/")
        wanted = sums.pop(file.relative_to(draft).as_posix(), None)
        if wanted and hashlib.sha256(body).hexdigest() != wanted:
            raise StackError(f"{store.uri(name)} is damaged: its SHA-256 is not {wanted}, which SHA256SUMS names.")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
    if sums:
        raise StackError(f"{store.uri(version)} lacks {len(sums)} files that SHA256SUMS names, such as {min(sums)}.")
    draft.rename(target)
    return target, len(names)


def _checksums(text: str) -> dict[str, str]:
    """Return the SHA-256 of each path in a ``SHA256SUMS`` file."""
    return {path: digest for digest, path in (line.split("  ", 1) for line in text.splitlines())}
