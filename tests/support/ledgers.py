"""Small ledgers with real pictures behind them, for tests of what is made from a balanced ledger."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cxr_snapshot.audit import summary
from cxr_snapshot.selection.manifest import build_manifest, excluded_records
from cxr_snapshot.sources.covid import finding_kind, folder
from cxr_snapshot.sources.words import modality, view_kind
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA, conform

FACTS: dict[str, Any] = {
    "content_digest": "c" * 64,
    "code_version": "0",
    "revisions": {"covid": "1" * 40, "pneumonia": "2"},
    "settings": {"views": "frontal", "max_per_class": None},
    "counts": {"COVID": 2, "NORMAL": 2, "PNEUMONIA": 2},
    "candidates": {"COVID": 2, "NORMAL": 3, "PNEUMONIA": 2},
    "excluded": {"not_drawn": 1},
}

FIGURES = {
    f"{name}_{of}": 0.8
    for name in ("file_facts", "thumbnail", "no_lungs", "border")
    for of in ("originals", "pictures")
}
_VERDICT = {"level": "strong", "headline": "It teaches the source."}
_FOUND: dict[str, Any] = {"verdict": _VERDICT, "checks": [], "overrides": [], "figures": FIGURES}
REPORT = {"audit.json": json.dumps(_FOUND).encode(), "audit.html": b"<!doctype html>"}  # as much as a draft looks at
AUDIT = summary(_FOUND)


def picture(number: int, file_format: str = "JPEG", mode: str = "L", size: tuple[int, int] = (90, 70)) -> bytes:
    """Return an image file; each number gives another picture."""
    gray = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, file_format)
    return file.getvalue()


def with_kinds(facts: dict[str, Any]) -> dict[str, Any]:
    """Return ledger facts with what their words mean, as the collections say it."""
    stated = facts.get("finding")
    named = stated.lower() if facts["source"] == "pneumonia" and stated in CLASSES else finding_kind(stated)
    meanings = {
        "finding_kind": named,
        "view_kind": view_kind(facts.get("view")),
        "modality_kind": modality(facts.get("modality")),
        "folder_kind": folder(facts.get("folder")),
    }
    return facts | meanings


def row(number: int, kind: str, body: bytes, **others: Any) -> dict[str, Any]:
    """Return one ledger row that is in."""
    covid = kind == "COVID"
    image = Image.open(io.BytesIO(body))
    facts = {
        "source": "covid" if covid else "pneumonia",
        "revision": FACTS["revisions"]["covid" if covid else "pneumonia"],
        "path": f"images/{number}.jpg" if covid else f"chest_xray/train/{kind}/{number}.jpeg",
        "metadata_line": number + 1 if covid else None,
        "in_upstream": True,
        "class": kind,
        "patient_id": f"{'covid' if covid else 'pneumonia'}:{number}",
        "finding": "COVID-19" if covid else kind,
        "view": "PA" if covid else "AP",
        "modality": "X-ray",
        "age": 40.0 + number if covid else None,
        "license": "CC BY-NC-ND" if covid else "CC BY 4.0",
        "url": "https://example.org/a,b",
        "doi": "10.1000/1",
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "format": image.format,
        "mode": image.mode,
        "width": image.width,
        "height": image.height,
        "pixel_sha256": hashlib.sha256(image.tobytes()).hexdigest(),
        "phash": f"{number:064x}",
        "group": f"g{number}",
        "split": "train",
    }
    return with_kinds(facts | others)


def ledger(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return the rows as a ledger."""
    return conform(pd.DataFrame(rows), LEDGER_SCHEMA)


def parted(ledger: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what is in and what is left out, as a draft is made of it."""
    return build_manifest(ledger), excluded_records(ledger)


def small_ledger(store: Store) -> pd.DataFrame:
    """Return two images of each class, of several formats and splits, and one that was not drawn; keep the blobs."""
    formats = ["JPEG", "PNG", "WEBP", "JPEG", "JPEG", "PNG"]
    kinds = ["COVID", "COVID", "NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"]
    splits = ["train", "test", "train", "test", "train", "train"]
    bodies = [picture(number, file_format) for number, file_format in enumerate(formats)]
    rows = [
        row(number, kind, body, split=split)
        for number, (kind, split, body) in enumerate(zip(kinds, splits, bodies, strict=True))
    ]
    rows.append(row(9, "NORMAL", picture(9), rule="not_drawn", reason="Not drawn.", evidence="2 of 3"))
    for body in [*bodies, picture(9)]:
        store.put(blob_name(hashlib.sha256(body).hexdigest()), body)
    return ledger(*rows)
