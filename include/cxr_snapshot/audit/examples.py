"""Picks the images that people should look at, and draws them as small contact sheets."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cxr_snapshot.audit import EXAMPLES
from cxr_snapshot.audit.looks import SIDE
from cxr_snapshot.audit.probes import Probe, visible
from cxr_snapshot.audit.words import CLASSES_QUESTION, PICTURES
from cxr_snapshot.inspection.contact_sheets import PICTURES as MOST
from cxr_snapshot.inspection.contact_sheets import contact_sheet
from cxr_snapshot.inspection.packs import put_pack, read_pack
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.tables import CLASSES

FEWEST_LETTERS = 4  # marks in a row from which a picture is a candidate for burnt-in text

_KEYS = ("sha256", "kept_sha256")
_ALIKE = ("same pixels as ", "copy of ")  # how the evidence of such a pair begins
_DUPLICATES = ("duplicate_image", "near_duplicate_image", "duplicate_across_classes")


def pick_duplicates(ledger: pd.DataFrame) -> list[dict[str, Any]]:
    """Return pictures that are copies of others, those of two classes first; at most ``MOST``.

    Those that only a file name or a third picture links are left out: they need not look alike.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.

    Returns:
        Dicts with ``rule``, ``left_out`` and ``kept`` (source and path), their ``sha256`` and ``kept_sha256``, and the
        ``evidence``. ``kept`` is the one that the evidence names first; where none was kept, it was left out too.
    """
    left_out = ledger[ledger["rule"].isin(_DUPLICATES)].sort_values(["rule", "source", "path"])
    found: list[dict[str, Any]] = []
    pictures = ledger[ledger["cluster"].notna() & ledger["sha256"].notna()]
    seen: set[frozenset[str]] = set()
    for _, row in left_out.iterrows():
        others = pictures[pictures["cluster"].eq(row["cluster"]) & ~pictures.index.isin([row.name])]
        places = {row["evidence"].find(f" {_address(other)} ("): other for _, other in others.iterrows()}
        named = [place for place in places if place >= 0]
        if not row["evidence"].startswith(_ALIKE) or not named:
            continue
        partner = places[min(named)]
        pair = frozenset((_address(row), _address(partner)))
        if pair in seen:
            continue
        seen.add(pair)
        addresses = {"left_out": _address(row), "kept": _address(partner)}
        hashes = {"sha256": row["sha256"], "kept_sha256": partner["sha256"]}
        found.append({"rule": row["rule"], "evidence": row["evidence"], **addresses, **hashes})
        if len(found) == MOST:
            break
    return found


def pick_shortcuts(manifest: pd.DataFrame, probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """Return the images whose class was told most surely without lungs, at most ``MOST`` of each class.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
        probes: from :func:`cxr_snapshot.audit.probes.run_probes`.

    Returns:
        Dicts with ``file``, ``class``, ``sha256`` and ``certainty``, the probability that was given to the class.
    """
    wanted = ("no_lungs", PICTURES, CLASSES_QUESTION)
    certainty = next(probe.certainty for probe in probes if (probe.name, probe.of, probe.question) == wanted)
    judged = manifest.assign(certainty=manifest["sha256"].map(certainty)).dropna(subset="certainty")
    judged = judged.assign(certainty=judged["certainty"].round(2))
    surest = judged.sort_values(["class", "certainty", "sha256"], ascending=[True, False, True])
    return _records(surest.groupby("class").head(MOST), ["file", "class", "sha256", "certainty"])


def pick_texts(manifest: pd.DataFrame, looks: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the images with most marks that may be letters; experimental. At most ``MOST`` of each class.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.
        looks: columns of ``looks.LOOK_SCHEMA``.

    Returns:
        Dicts with ``file``, ``class``, ``sha256`` and ``text_score``.
    """
    scores = looks.set_index("sha256")["text_score"]
    scored = manifest.assign(text_score=manifest["sha256"].map(scores)).dropna(subset="text_score")
    candidates = scored[scored["text_score"] >= FEWEST_LETTERS]
    most = candidates.sort_values(["class", "text_score", "sha256"], ascending=[True, False, True])
    return _records(most.groupby("class").head(MOST), ["file", "class", "sha256", "text_score"])


def load_pictures(pictures: Pictures, picked: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, bytes]:
    """Return the pictures of what was picked, by SHA-256.

    They are kept in one object, since most of them are picked night after night.

    Args:
        pictures: of the blobs.
        picked: by kind, from the functions above.
    """
    name = f"{EXAMPLES}{pictures.form.recipe}.parquet"
    wanted = {each[key] for kind in picked.values() for each in kind for key in _KEYS if key in each}
    kept = read_pack(pictures.store, name) if wanted else {}
    missing = sorted(wanted - kept.keys())
    found = {sha256: kept[sha256] for sha256 in wanted & kept.keys()}
    found |= dict(zip(missing, pictures.load(missing), strict=True))
    if wanted and found != kept:
        put_pack(pictures.store, name, pictures.form, dict(sorted(found.items())))
    return found


def draw_duplicates(pictures: Mapping[str, bytes], pairs: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a sheet with pictures above their copies."""
    rows = {"Picture": "kept_sha256", "Its copy": "sha256"}
    return contact_sheet({title: [pictures[pair[name]] for pair in pairs] for title, name in rows.items()})


def draw_by_class(
    pictures: Mapping[str, bytes], picked: Sequence[Mapping[str, Any]], *, without_lungs: bool = False
) -> bytes:
    """Return a sheet with a row for each class that has pictures.

    Args:
        pictures: by SHA-256 of the blob.
        picked: what to draw, each with ``class`` and ``sha256``.
        without_lungs: black out what the probe ``no_lungs`` does not see.
    """
    rows = {name: [each["sha256"] for each in picked if each["class"] == name] for name in CLASSES}
    sheet = {name: [pictures[sha256] for sha256 in row] for name, row in rows.items() if row}
    if without_lungs:
        sheet = {name: [_blacked_out(body) for body in bodies] for name, bodies in sheet.items()}
    return contact_sheet(sheet)


def _blacked_out(picture: bytes) -> bytes:
    image = Image.open(io.BytesIO(picture)).convert("L")
    scale = image.width // SIDE
    mask = np.kron(visible("no_lungs"), np.ones((scale, scale), dtype=bool))
    file = io.BytesIO()
    Image.fromarray(np.asarray(image) * mask).save(file, "PNG")
    return file.getvalue()


def _address(row: pd.Series) -> str:
    return f"{row['source']}:{row['path']}"


def _records(table: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Return rows as plain data."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in table[names].to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
