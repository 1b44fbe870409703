"""Small snapshots, of which only the catalogue is of interest, and readers of its page."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from typing import Any

import numpy as np
from PIL import Image

from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.index import INDEX_PAGE
from cxr_snapshot.store.encoding import json_bytes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES


def sheet(value: int) -> bytes:
    """Return a contact sheet in one shade of gray."""
    jpeg = io.BytesIO()
    Image.new("L", (1186, 480), value).save(jpeg, "JPEG")
    return jpeg.getvalue()


def put_snapshot(store: Store, version: str, *, gray: int = 100, latest: bool = True, **facts: Any) -> dict[str, Any]:
    """Write as much of a snapshot as the catalogue looks at, and return its ``snapshot.json``."""
    known = {
        "version": version,
        "uri": store.uri(f"{version}/"),
        "created": f"{version[:10]}T03:00:00+00:00",
        "code_version": "1",
        "schema_version": 2,
        "counts": dict.fromkeys(CLASSES, 1200),
        "splits": {},
        "revisions": {"covid": "a" * 40, "pneumonia": "2"},
        "settings": {"salt": "x"},
        "content_digest": "0" * 64,
        "manifest_sha256": "1" * 64,
        "audit": {"headline": "It teaches where an image is from."},
    } | facts
    files = {"snapshot.json": json_bytes(known), "preview.jpg": sheet(gray)}
    sums = sums_bytes({name: hashlib.sha256(body).hexdigest() for name, body in files.items()})
    for name, body in files.items():
        store.put(f"{version}/{name}", body)
    store.put(f"{version}/{SUMS}", sums)
    store.put(f"{version}/{SUCCESS}", hashlib.sha256(sums).hexdigest().encode())
    if latest:
        store.put_json("latest.json", {"version": version})
    return known


def pictures_on_page(store: Store) -> list[bytes]:
    """Return the pictures that ``index.html`` holds, as JPEG."""
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", store.get(INDEX_PAGE).decode())
    return [base64.b64decode(each) for each in found]


def grays_on_page(store: Store) -> list[int]:
    """Return the shade of each picture on the page, in order, in tens: JPEG keeps it roughly."""
    return sorted(
        10 * round(np.asarray(Image.open(io.BytesIO(picture))).mean() / 10) for picture in pictures_on_page(store)
    )
