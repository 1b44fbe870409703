"""Draws the contact sheet: a row of pictures for each class."""

from __future__ import annotations

import pandas as pd

from cxr_snapshot.inspection.contact_sheets import PICTURES, contact_sheet
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.tables import CLASSES


def draw_preview(pictures: Pictures, manifest: pd.DataFrame) -> bytes:
    """Return a JPEG with up to ``PICTURES`` pictures of each class, those with the lowest SHA-256.

    Args:
        pictures: of the blobs.
        manifest: columns of ``MANIFEST_SCHEMA``.
    """
    of_class = {name: manifest.loc[manifest["class"].eq(name), "sha256"].sort_values() for name in CLASSES}
    return contact_sheet(
        {
            f"{name}: {len(sha256s)} images": list(pictures.load(sha256s.head(PICTURES)))
            for name, sha256s in of_class.items()
        }
    )
