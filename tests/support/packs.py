"""Packs of pictures, as an audit leaves them in its run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.packs import pack_name, put_pack
from cxr_snapshot.store.objects import Store


def pack(store: Store, folder: str, pictures: Mapping[str, bytes], form: Form = SMALL) -> list[str]:
    """Pack pictures, by the SHA-256 of their blobs, and return the names of the packs."""
    packs = {
        name: {sha256: pictures[sha256] for sha256 in found}
        for name, found in groupby(sorted(pictures), lambda sha256: pack_name(folder, form, sha256))
    }
    for name, found in packs.items():
        put_pack(store, name, form, found)
    return list(packs)
