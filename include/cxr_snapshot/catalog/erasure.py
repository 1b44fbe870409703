"""Takes withdrawn images out of what the pipeline keeps for itself under ``_work``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cxr_snapshot.audit import EXAMPLES, LOST, PAGE
from cxr_snapshot.inspection.packs import PACKS
from cxr_snapshot.inspection.uniform import KEPT
from cxr_snapshot.plan import RUNS
from cxr_snapshot.store.encoding import parquet_bytes
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import change_sealed
from cxr_snapshot.tables import to_frame

_SHOWN = ("/data/", PACKS, f"/{PAGE}", f"/{LOST}")  # in the names of what shows images in a run's folder


def erase_work(store: Store, places: Iterable[Store], sha256s: Collection[str]) -> None:
    """Delete all that shows some of the upstreams' files; again and again with the same result.

    Blobs; files made of them; small pictures that the audit and the search for copies keep; and of all runs the
    shards, what was packed for them, the audit's page and the pictures of what was lost.

    Args:
        store: where they are.
        places: the store as each edition sees it.
        sha256s: of the upstreams' files.

    Raises:
        StorageError: the store refused or did not answer.
    """
    store.delete(blob_name(sha256) for sha256 in sorted(sha256s))
    store.delete(name for name in store.list(KEPT) if _stem(name) in sha256s)
    store.delete(name for name in store.list(RUNS) if any(each in name for each in _SHOWN))
    for folder in ("_work/looks/", "_work/descriptions/"):
        for name in store.list(folder):
            _drop(store, name, sha256s)
    for place in places:
        for name in place.list(EXAMPLES):
            _drop(place, name, sha256s)
        # where an older version kept what describes pictures; nobody reads it any more
        place.delete(name for name in place.list("_work/lookalikes/") if name.endswith("/descriptions.parquet"))


def _drop(store: Store, name: str, sha256s: Collection[str]) -> None:
    """Take the rows of some files out of a sealed table; one that is damaged is deleted, since it is made again."""
    wanted = pa.array(sorted(sha256s), type=pa.string())

    def without(body: bytes | None) -> bytes | None:
        if body is None:
            store.delete([name])
            return None
        table = pq.read_table(pa.BufferReader(body))
        hit = pc.is_in(table["sha256"], value_set=wanted)
        if not pc.any(hit).as_py():
            return None
        kept = table.filter(pc.invert(hit))
        return parquet_bytes(to_frame(kept), kept.schema.remove_metadata())

    change_sealed(store, name, without, "Withdraw again.")


def _stem(name: str) -> str:
    """Return the SHA-256 in the name of a file made of a blob."""
    return name.rsplit("/", 1)[1].split(".", 1)[0]
