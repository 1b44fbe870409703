"""What decoding found, kept in the store, so that no image is decoded twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pandas as pd
from PIL import Image

from cxr_snapshot import shown
from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.inspection.decoding import inspect_image
from cxr_snapshot.inspection.descriptions import description_of, keep_descriptions
from cxr_snapshot.progress import Progress
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.store.blobs import get_blob
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import add_sealed_rows, find_sealed_table
from cxr_snapshot.tables import INSPECTION_SCHEMA, conform, empty_frame

log = shown.logger(__name__)

# Part of the cache's name: a change of what is recorded must give a new one.
RECIPE = "4"


# Results are kept in 16 tables by the first hex digit of the blob's SHA-256. Few enough to read on a quiet night, many
# enough to be shared out to workers.
PARTITIONS = "0123456789abcdef"

SAVE_EVERY = 500  # images; a killed task loses no more than these, and those that are being saved


def inspect_shard(store: Store, images: pd.DataFrame, shard: int, searched: pd.Series) -> dict[str, int]:
    """Inspect one of ``INSPECT_SHARDS`` equal shares of some blobs; see :func:`inspect_blobs`.

    Lost blobs are left out and warned of: shards work at the same time, and one alone shall fetch them again.

    Args:
        store: as there.
        images: columns ``sha256``, null where there is no blob, and ``bytes``.
        shard: which share, counted from 0.
        searched: SHA-256 of the blobs in which crops are looked for; nulls are left out.
    """
    partitions = PARTITIONS[shard::INSPECT_SHARDS]
    return inspect_blobs(store, partitions, _sizes(images), searched=set(searched.dropna()), leave_lost=True)


def load_all_inspections(store: Store, images: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of all blobs, columns of ``INSPECTION_SCHEMA``, after inspecting those that still were not.

    Args:
        store: as for :func:`inspect_blobs`.
        images: as for :func:`inspect_shard`.

    Raises:
        LostBlobError: a blob is missing or damaged.
    """
    known = load_inspections(store)
    missing = _sizes(images[~images["sha256"].isin(known["sha256"])])
    if not missing:
        return known
    log.warning("%d images were not inspected, or the results were lost; this is done now", len(missing))
    inspect_blobs(store, PARTITIONS, missing)
    return load_inspections(store)


def inspect_blobs(
    store: Store,
    partitions: Sequence[str],
    sizes: Mapping[str, int],
    *,
    searched: Collection[str] = frozenset(),
    leave_lost: bool = False,
) -> dict[str, int]:
    """Inspect the blobs of some partitions that were never inspected, and keep the results.

    Args:
        store: holds the blobs and the results.
        partitions: first hex digits of the SHA-256 of the blobs that this call looks after.
        sizes: bytes by SHA-256 of the blobs that must be inspected afterwards; those of other partitions are left to
            other calls.
        searched: those in which crops are looked for; what finds them is made of the same pixels, and kept.
        leave_lost: go on without blobs that are missing or damaged.

    Returns:
        ``images``: how many of ``sizes`` are in these partitions; ``new``: how many of them had to be decoded.

    Raises:
        LostBlobError: a blob is missing or damaged.
        StorageError: a blob or a result cannot be read or written.
    """
    wanted = {sha256 for sha256 in sizes if sha256.startswith(tuple(partitions))}
    missing = sorted(wanted.difference(load_inspections(store, partitions)["sha256"]))
    found = _inspect_all(store, missing, sizes, searched, leave_lost)
    # One at a time is saved while the next ones are decoded.
    for _ in bounded_map(lambda batch: _keep(store, batch), _batches(found), threads=1):
        pass
    log.info("%d images in this shard, %d of them decoded now; results in %s", len(wanted), len(missing), _where(store))
    return {"images": len(wanted), "new": len(missing)}


def load_inspections(store: Store, partitions: Sequence[str] = PARTITIONS) -> pd.DataFrame:
    """Return what is known of the blobs of ``partitions``, in the columns of ``INSPECTION_SCHEMA``.

    What is damaged counts as not known, so that it is made again.
    """
    present = store.list(_name(""))
    names = [_name(partition) for partition in partitions if _name(partition) in present]
    found = [table for _, table in bounded_map(lambda name: find_sealed_table(store, name), names)]
    tables = [table for table in found if table is not None]
    return pd.concat(tables, ignore_index=True) if tables else empty_frame(INSPECTION_SCHEMA)


def _sizes(images: pd.DataFrame) -> dict[str, int]:
    there = images[images["sha256"].notna()]
    return dict(zip(there["sha256"], there["bytes"], strict=True))


def _batches(found: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(found, SAVE_EVERY)):
        yield batch


def _keep(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep rows that are sorted by SHA-256, all partitions at the same time."""
    keep_descriptions(store, rows)  # first, since what counts as inspected is not decoded here again
    found = conform(pd.DataFrame(rows, columns=INSPECTION_SCHEMA.names), INSPECTION_SCHEMA)
    parts = found.groupby(found["sha256"].str[0])
    for _ in bounded_map(lambda part: add_sealed_rows(store, _name(part[0]), part[1], INSPECTION_SCHEMA), parts):
        pass


def _inspect_all(
    store: Store, sha256s: Sequence[str], sizes: Mapping[str, int], searched: Collection[str], leave_lost: bool
) -> Iterator[dict[str, Any]]:
    """Decode here, in this thread, while others fetch ahead; yield rows of ``INSPECTION_SCHEMA``, and descriptions."""
    progress = Progress("images inspected", len(sha256s))

    def fetch(sha256: str) -> bytes | None:
        try:
            return get_blob(store, sha256)
        except LostBlobError as error:
            if not leave_lost:
                raise
            log.warning("%s It is left to the task filter, which fetches it again", error)
            return None

    for sha256, body in bounded_map(fetch, sha256s, held=lambda sha256, _: sizes[sha256]):
        if body is not None:
            more = _description if sha256 in searched else None
            yield {"sha256": sha256} | inspect_image(body, more)
        progress.advance()


def _description(image: Image.Image) -> dict[str, Any]:
    return description_of(image)._asdict()


def _where(store: Store) -> str:
    return store.uri(_name(""))


def _name(partition: str) -> str:
    return f"_work/inspections/{RECIPE}/{partition}.parquet" if partition else f"_work/inspections/{RECIPE}/"
