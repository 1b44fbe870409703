"""Reads a published snapshot back, as a consumer would."""

from __future__ import annotations

import hashlib

from cxr_snapshot.errors import VerificationError
from cxr_snapshot.publishing import SUCCESS, SUMS
from cxr_snapshot.storage import Store, bounded_map

SAMPLE = 32  # images whose bytes are read back
_REPAIR = "Do not use this snapshot. Delete its prefix and its claim in _work/claims, and run the DAG with force."


def verify(store: Store, version: str) -> dict[str, int]:
    """Read a published snapshot back and compare it with its own ``SHA256SUMS`` and manifest.

    Every name and every size is checked, every table's bytes, and the bytes of a sample of images (those with the
    lowest SHA-256, at most ``SAMPLE``).

    Returns:
        How many ``objects`` and ``bytes`` there are, and how many objects were ``read_back``.

    Raises:
        VerificationError: something is missing, left over, or not what was promised.
    """
    folder = f"{version}/"
    present = {name.removeprefix(folder): item for name, item in store.list(folder).items()}
    for name in (SUMS, SUCCESS):
        if name not in present:
            raise VerificationError(f"{store.uri(folder)}{name} is missing, so this is no snapshot. Run the DAG again.")
    sums = _parse_sums(store.get(folder + SUMS).decode())
    if unexpected := sorted(present.keys() ^ sums.keys() ^ {SUMS, SUCCESS}):
        raise VerificationError(f"{store.uri(folder)}: {unexpected[:5]} missing or not in {SUMS}. {_REPAIR}")
    manifest = store.get_table(folder + "manifest.parquet")
    sizes = dict(zip(manifest["file"].astype(str), manifest["bytes"].astype(int), strict=True))
    for name, size in sizes.items():
        if present[name].size != size:
            raise VerificationError(f"{store.uri(folder)}{name} has {present[name].size} bytes, not {size}. {_REPAIR}")
    sample = sorted(sizes, key=lambda name: sums[name])[:SAMPLE]
    to_read = sorted((sums.keys() - sizes.keys()) | set(sample))
    for name, body in bounded_map(lambda name: store.get(folder + name), to_read):
        if hashlib.sha256(body).hexdigest() != sums[name]:
            raise VerificationError(f"{store.uri(folder)}{name} is not what {SUMS} says. {_REPAIR}")
    return {
        "objects": len(present),
        "bytes": sum(item.size for item in present.values()),
        "read_back": len(to_read),
    }


def _parse_sums(text: str) -> dict[str, str]:
    """Return SHA-256 by name from what ``sha256sum`` writes."""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: sha256 for sha256, name in pairs}
