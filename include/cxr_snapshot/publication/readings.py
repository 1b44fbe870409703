"""When the bytes of each published image were last read, and so which ones a publication must read.

A publication reads what is new in it, what the store's listing says was written over, and of the rest those that were
read longest ago: at least a share of 1/``DAYS``, and all that were not read for ``DAYS`` days. So no image is published
whose bytes nobody has compared with their SHA-256 for more than ``DAYS`` days.
"""

from __future__ import annotations

import hashlib
import math
from datetime import date, timedelta

import pandas as pd
import pyarrow as pa

from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.inspection.forms import Form
from cxr_snapshot.inspection.uniform import list_uniform, uniform_name
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.store.blobs import list_blobs
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table
from cxr_snapshot.tables import empty_frame

DAYS = 30
AT_LEAST = 256  # images that are read where there are so many; a few seconds

_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),  # of the blob, or of the one that the object was made from
        ("etag", pa.string()),  # of the object when it was read; another one means that it was written over
        ("day", pa.string()),  # YYYY-MM-DD
    ]
)


def divide(
    store: Store, manifest: pd.DataFrame, today: str, form: Form | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the images of a snapshot into those to read and those to trust, columns of the noted table each.

    Args:
        store: holds the blobs or what was made of them, and what was noted of earlier readings.
        manifest: columns of ``MANIFEST_SCHEMA``.
        today: ``YYYY-MM-DD``.
        form: of the files that are published; ``None`` where they are the blobs.

    Raises:
        LostBlobError: by the store's listing, some are missing.
    """
    listed = list_blobs(store) if form is None else list_uniform(store, form)
    images = pd.DataFrame({"sha256": upstream_files(manifest)}).drop_duplicates()
    if missing := sorted(set(images["sha256"]).difference(listed)):
        name = blob_name(missing[0]) if form is None else uniform_name(missing[0], form)
        raise LostBlobError(f"{len(missing)} files are missing, such as {store.uri(name)}.")
    images = images.assign(etag=[listed[sha256].etag for sha256 in images["sha256"]])
    noted = find_sealed_table(store, _name(form))
    known = images.merge(empty_frame(_SCHEMA) if noted is None else noted, on=["sha256", "etag"])
    trusted = known[~known["sha256"].isin(_due(known, today))]
    return images[~images["sha256"].isin(trusted["sha256"])].assign(day=today), trusted


def note_read(store: Store, read: pd.DataFrame, trusted: pd.DataFrame, today: str, form: Form | None = None) -> None:
    """Note that images were read ``today``. If two runs do so at once, the last one's table stays; each is right."""
    both = pd.concat([read.assign(day=today), trusted]).sort_values("sha256", ignore_index=True)
    put_sealed_table(store, _name(form), both, _SCHEMA)


def _name(form: Form | None) -> str:
    return "_work/readings.parquet" if form is None else f"_work/readings/{form.recipe}.parquet"


def _due(known: pd.DataFrame, today: str) -> set[str]:
    """Return the SHA-256 of the images that were read longest ago."""
    lots = [hashlib.sha256(f"{today} {sha256}".encode()).hexdigest() for sha256 in known["sha256"]]
    oldest_first = known.assign(lot=lots).sort_values(["day", "lot"])
    last_day = (date.fromisoformat(today) - timedelta(days=DAYS)).isoformat()
    overdue = int((known["day"] <= last_day).sum())
    return set(oldest_first["sha256"].head(max(overdue, math.ceil(len(known) / DAYS), AT_LEAST)))
