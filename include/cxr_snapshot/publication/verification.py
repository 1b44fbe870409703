"""Reads a published snapshot back, as a consumer would."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.errors import StorageError, VerificationError
from cxr_snapshot.publication.checksums import REPAIR, SUCCESS, SUMS, read_sums, read_table
from cxr_snapshot.publication.marks import MARK, read_mark
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map

log = shown.logger(__name__)

IMAGES = "images/"
SAMPLE = 32  # images whose bytes are read back, where there are so many
SHARE = 30  # at least one image in so many is read back


def verify(store: Store, version: str, *, all_images: bool = False) -> dict[str, int]:
    """Read a published snapshot back and compare it with its own ``SHA256SUMS`` and manifest.

    Checked are every name and every size; that each row of the manifest has an image of its own, with the SHA-256 that
    it states, and each image a row; the bytes of every file that is no image; and the bytes of a sample of images (of
    each snapshot another one; see :func:`draw_sample`) or of all. Of a snapshot that bears a mark, what was erased must
    be gone, and what was made anew without it must be what the mark says; while that goes on, either state is right.

    Args:
        store: where it is.
        version: its name.
        all_images: read back every image.

    Returns:
        How many ``objects`` and ``bytes`` there are, how many objects were ``read_back``, and how many images were
        ``withdrawn``, if any.

    Raises:
        VerificationError: something is missing, left over, or not what was promised.
    """
    folder = f"{version}/"
    present = {name.removeprefix(folder): item for name, item in store.list(folder).items()}
    for name in (SUMS, SUCCESS):
        if name not in present:
            raise VerificationError(f"{store.uri(folder)}{name} is missing, so this is no snapshot. Run the DAG again.")
    sums, (mark, etag) = read_sums(store, version), read_mark(store, version)
    wanted = sums.keys() | {SUMS, SUCCESS} | ({MARK} if etag else set())
    gone = mark.removed.keys() - present.keys()
    problems = {
        "missing": wanted - present.keys() - mark.removed.keys(),
        f"not in {SUMS}": present.keys() - wanted,
        f"there that {MARK} calls erased": (mark.removed.keys() & present.keys()) - mark.before.keys(),
    }
    for problem, names in problems.items():
        if names:
            raise VerificationError(
                f"{store.uri(folder)}: {len(names)} files {problem}, such as {min(names)}. {REPAIR}"
            )
    manifest = read_table(store, version, "manifest.parquet", sums, ["file", "bytes", "sha256"])
    manifest = manifest.fillna({"file": "", "bytes": -1, "sha256": ""})
    images = {name for name in sums if name.startswith(IMAGES)}
    if wrong := _mismatch(manifest, images, sums) or _same_but_for_case(sums):
        raise VerificationError(f"{store.uri(folder)}: {wrong}. {REPAIR}")
    images -= gone
    for name, size in zip(manifest["file"], manifest["bytes"], strict=True):
        if name in images and (found := present[name].size) != size:
            raise VerificationError(f"{store.uri(folder)}{name} has {found} bytes, not {size} bytes. {REPAIR}")
    others = {name for name in sums.keys() - gone if not name.startswith(IMAGES)}
    to_read = sorted(others | (images if all_images else draw_sample(version, images)))
    for name, sha256 in bounded_map(lambda name: store.sha256(folder + name), to_read):
        if sha256 not in mark.allowed(name, sums[name]):
            source = MARK if name in mark.sums else SUMS
            raise VerificationError(f"{store.uri(folder)}{name} is not what {source} says. {REPAIR}")
    result = {
        "objects": len(present),
        "bytes": sum(item.size for item in present.values()),
        "read_back": len(to_read),
    }
    if etag:
        log.warning("%s: %s", store.uri(folder), mark.sentence)
        result["withdrawn"] = len(mark.images)
    return result


def draw_sample(version: str, images: Iterable[str]) -> set[str]:
    """Return the names of the images that are read back where not all are; in each version others."""
    lots = sorted(images, key=lambda name: hashlib.sha256(f"{version} {name}".encode()).digest())
    return set(lots[: max(SAMPLE, math.ceil(len(lots) / SHARE))])


def take_back(store: Store, version: str, reason: VerificationError) -> VerificationError:
    """Make a snapshot that failed its verification, and that ``latest.json`` never named, one that was only begun.

    Args:
        store: where it is.
        version: its name.
        reason: what is wrong with it.

    Returns:
        The error to raise.
    """
    try:
        store.delete([f"{version}/{SUCCESS}"])
    except StorageError as error:
        return VerificationError(f"{reason} It could not be taken back: {error}")
    return VerificationError(
        f"{reason} It was taken back: its {SUCCESS} is deleted, and the latest snapshot stays what it was. Clear the "
        "task publish, which goes on with it; or the next run does."
    )


def _mismatch(manifest: pd.DataFrame, images: set[str], sums: Mapping[str, str]) -> str | None:
    """Say in which way the manifest's rows are not the files under ``images/``, each one named once, with its hash."""
    files = manifest["file"]
    if len(files) != len(images) or set(files) != images:
        twice = files[files.duplicated()]
        example = min([*twice, *(set(files) ^ images)])
        return f"the manifest has {len(files)} rows for {len(images)} files under {IMAGES}, look at {example}"
    wrong = [file for file, sha256 in zip(files, manifest["sha256"], strict=True) if sums[file] != sha256]
    return f"{len(wrong)} rows of the manifest have another SHA-256 than {SUMS}, such as {wrong[0]}" if wrong else None


def _same_but_for_case(names: Iterable[str]) -> str | None:
    """Name two files that are one where case does not count, as on most laptops: the second would replace the first."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        if (other := seen.setdefault(name.casefold(), name)) != name:
            return f"{other} and {name} differ only in case"
    return None
