"""A third collection, as somebody would add it: one file, and one line in ``SOURCES``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container

import pandas as pd

from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import About, Listing, Revision, UpstreamFile
from cxr_snapshot.sources.words import modality, view_kind
from cxr_snapshot.tables import LEDGER_SCHEMA, conform
from support.ledgers import picture

IMAGES = {f"{kind}/{number}.png": picture(900 + number, "PNG") for number, kind in enumerate(["sick", "well"] * 3)}


class ThirdCollection:
    name = "third"
    about = About(
        title="A Third Collection",
        url="https://example.org/third",
        shows="adults of one hospital",
        licence="Images of the third collection are CC0.",
        limit="The third collection is made up.",
        citation="@misc{third2026, title = {A Third Collection}}",
    )
    metadata_path = None
    search_crops = False
    republishes = ()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def resolve(self, *, pin: str | None = None, last_seen: str | None = None) -> Revision:
        return Revision(self.name, pin or "7")

    def files(self, revision: Revision, known: Container[str]) -> Listing:
        files = (UpstreamFile(path, len(body), hashlib.md5(body).hexdigest(), body) for path, body in IMAGES.items())
        return Listing(len(IMAGES), files)

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        kinds = inventory["path"].str.split("/").str[0].map({"sick": "viral", "well": "normal"})
        facts = inventory[["path", "sha256", "bytes"]].assign(
            source=self.name,
            in_upstream=True,
            finding_kind=kinds,
            finding=kinds,
            patient_id="third:" + inventory["path"],
            view="PA",
            view_kind=view_kind("PA"),
            modality="X-ray",
            modality_kind=modality("X-ray"),
            license="CC0",
            **{"class": kinds.map({"viral": "PNEUMONIA", "normal": "NORMAL"})},
        )
        return conform(facts, LEDGER_SCHEMA)
