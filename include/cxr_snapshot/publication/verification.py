"""Reads a published snapshot back, as a consumer would."""

from __future__ import annotations

from cxr_snapshot.errors import VerificationError
from cxr_snapshot.publication.checksums import REPAIR, SUCCESS, SUMS, read_sums
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map

SAMPLE = 32  # images whose bytes are read back


def verify(store: Store, version: str, *, all_images: bool = False) -> dict[str, int]:
    """Read a published snapshot back and compare it with its own ``SHA256SUMS`` and manifest.

    Every name and every size is checked, the bytes of every file that is no image, and the bytes of a sample of images
    (those with the lowest SHA-256, at most ``SAMPLE``) or of all.

    Args:
        store: where it is.
        version: its name.
        all_images: read back every image.

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
    sums = read_sums(store, version)
    wanted = sums.keys() | {SUMS, SUCCESS}
    for problem, names in (("missing", wanted - present.keys()), (f"not in {SUMS}", present.keys() - wanted)):
        if names:
            raise VerificationError(
                f"{store.uri(folder)}: {len(names)} files {problem}, such as {min(names)}. {REPAIR}"
            )
    manifest = store.get_table(folder + "manifest.parquet", ["file", "bytes"])
    sizes = dict(zip(manifest["file"].astype(str), manifest["bytes"].astype(int), strict=True))
    for name, size in sizes.items():
        if name not in present or present[name].size != size:
            found = f"{present[name].size} bytes" if name in present else "nothing"
            raise VerificationError(f"{store.uri(folder)}{name} has {found}, not {size} bytes. {REPAIR}")
    images = sorted(sizes, key=lambda name: sums[name])[: None if all_images else SAMPLE]
    to_read = sorted((sums.keys() - sizes.keys()) | set(images))
    for name, sha256 in bounded_map(lambda name: store.sha256(folder + name), to_read):
        if sha256 != sums[name]:
            raise VerificationError(f"{store.uri(folder)}{name} is not what {SUMS} says. {REPAIR}")
    return {
        "objects": len(present),
        "bytes": sum(item.size for item in present.values()),
        "read_back": len(to_read),
    }
