"""Draws ``index.html``: one file that loads nothing from elsewhere, with links to the snapshots beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image
from rich.filesize import decimal

from cxr_snapshot import shown
from cxr_snapshot.audit.words import SYNTHETIC, counted
from cxr_snapshot.tables import CLASSES
from cxr_snapshot.templates import data_uri, environment

_PICTURES = 8  # snapshots that are shown with a picture; some 15 KB each
_WIDTH = 560  # pixels of a picture


def with_pictures(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the entries of the snapshots that the page shows with a picture: the newest of each edition come first.

    Args:
        entries: from :func:`cxr_snapshot.publication.index.read_index`.
    """
    ranked = [(age, entry) for _, group in _by_edition(entries) for age, entry in enumerate(group)]
    return [entry for _, entry in sorted(ranked, key=lambda each: each[0])[:_PICTURES]]


def render_index(entries: Sequence[Mapping[str, Any]], sheets: Mapping[str, bytes]) -> bytes:
    """Return the page; equal arguments give equal bytes.

    Args:
        entries: as of :func:`with_pictures`.
        sheets: contact sheets as JPEG, by ``path``, for those snapshots that are shown with a picture.
    """
    text = _ENVIRONMENT.get_template("index.html").render(
        editions=_by_edition(entries),
        pictures={path: _small(body) for path, body in sheets.items()},
        synthetic=any(entry["synthetic"] for entry in entries),
    )
    return text.encode()


def _by_edition(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the entries of each edition, the newest first."""
    return [(name, list(group)[::-1]) for name, group in groupby(entries, key=lambda entry: str(entry["edition"]))]


def _small(sheet: bytes) -> str:
    """Return the address of a smaller copy, which holds the picture itself."""
    picture, jpeg = Image.open(io.BytesIO(sheet)), io.BytesIO()
    picture.thumbnail((_WIDTH, _WIDTH))
    picture.save(jpeg, "JPEG", quality=70)
    return data_uri(jpeg.getvalue())


_ENVIRONMENT = environment(Path(__file__).parent)
_ENVIRONMENT.filters |= {"counted": counted, "number": "{:,}".format, "short": shown.short_hashes, "size": decimal}
_ENVIRONMENT.globals |= {"CLASSES": CLASSES, "SYNTHETIC": SYNTHETIC}
