"""Turns values into pages. Everything is escaped by the template engine unless a template says otherwise; none does."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse

from cxr_snapshot.audit.overrides import sentence
from cxr_snapshot.audit.words import SYNTHETIC, counted
from cxr_snapshot.catalog.images import NOT_STATED
from cxr_snapshot.publication.changes import KINDS, describe, first
from cxr_snapshot.settings import Settings
from cxr_snapshot.tables import CLASSES
from cxr_snapshot.templates import environment
from snapshot_pages_app.gallery import partners


def render(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """Return the page that ``template`` makes of ``values``."""
    edition = request.path_params.get("edition")
    page = _ENVIRONMENT.get_template(template).render(
        root=request.scope["root_path"], base=base_of(request), edition=edition, **values
    )
    return HTMLResponse(page, status_code=status, headers=headers)


def base_of(request: Request) -> str:
    """Return the address below which all pages of the edition are that the request is about."""
    root, edition = request.scope["root_path"], request.path_params.get("edition")
    return f"{root}/editions/{quote(edition, safe='')}" if edition else root


def size(number: int) -> str:
    """Return a number of bytes in words, such as ``1.4 MB``."""
    amount, unit = float(number), "bytes"
    for bigger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, bigger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 99.5 else f"{amount:.1f} {unit}"


def when(text: str) -> str:
    """Return an ISO 8601 time as people write it, such as ``2026-11-23 03:00 UTC``; any other text as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time:%Y-%m-%d %H:%M} {time:%Z}".strip()


def revision(pin: str | None) -> str:
    """Return a revision as people name it: a short commit, or a version; ``none`` of a source that was not asked."""
    if pin is None:
        return "none"
    return f"version {pin}" if pin.isdigit() and len(pin) < 40 else f"commit {pin[:10]}"


def plain(markdown: str) -> str:
    """Return text without the marks for bold and code."""
    return markdown.replace("**", "").replace("`", "")


def shown(value: object) -> str:
    """Return a setting or a measurement in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return "none" if value is None else str(value)


def unlike_default(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a snapshot's settings that are not the project's defaults."""
    defaults = {item.name: item.default for item in fields(Settings)}
    return {name: value for name, value in settings.items() if value != defaults.get(name)}


_ENVIRONMENT = environment(Path(__file__).parent / "templates")
_ENVIRONMENT.filters |= {
    "counted": counted,
    "describe": describe,
    "first_snapshot": first,
    "number": "{:,}".format,
    "partners": partners,
    "plain": plain,
    "revision": revision,
    "sentence": sentence,
    "shown": shown,
    "size": size,
    "unlike_default": unlike_default,
    "when": when,
}
_ENVIRONMENT.globals |= {"CLASSES": CLASSES, "NOT_STATED": NOT_STATED, "KINDS": KINDS, "SYNTHETIC": SYNTHETIC}

# The one script of the pages, by its hash, as a policy names what may run.
_SCRIPT = _ENVIRONMENT.get_template("theme.js").render().encode()
SCRIPT_HASH = f"'sha256-{b64encode(sha256(_SCRIPT).digest()).decode()}'"
