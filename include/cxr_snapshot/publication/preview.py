"""Draws the contact sheet: what the snapshot is, and a row of pictures for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_snapshot.audit.words import DRAWINGS, counted
from cxr_snapshot.inspection.contact_sheets import PICTURES, contact_sheet
from cxr_snapshot.publication.cards import titled
from cxr_snapshot.tables import CLASSES


def choose(manifest: pd.DataFrame) -> dict[str, list[str]]:
    """Return up to ``PICTURES`` images of each class, those upstream's files that have the lowest SHA-256.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
    """
    of_class = {name: manifest.loc[manifest["class"].eq(name), "source_sha256"].sort_values() for name in CLASSES}
    return {name: sha256s.head(PICTURES).tolist() for name, sha256s in of_class.items()}


def draw_preview(chosen: Mapping[str, Sequence[bytes]], facts: Mapping[str, Any]) -> bytes:
    """Return the contact sheet as JPEG, which people may meet without the snapshot that it is of.

    Args:
        chosen: pictures by class.
        facts: what ``snapshot.json`` says.
    """
    what = "generated sample" if facts.get("synthetic") else "chest X-rays"
    heading = [
        f"COVID, NORMAL and PNEUMONIA, {what}: snapshot {titled(facts)}",
        *([DRAWINGS] if facts.get("synthetic") else []),
        facts["audit"]["headline"],
    ]
    rows = {f"{name}: {counted(facts['counts'][name], 'image')}": bodies for name, bodies in chosen.items()}
    return contact_sheet(rows, heading)
