"""How all pages are drawn.

Those that are published, one file each, which loads nothing, extend ``standalone.html``.
"""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cxr_snapshot import shown


def environment(folder: Path) -> Environment:
    """Return what draws the templates of a folder; whatever these are given is escaped."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        finalize=shown.html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def data_uri(jpeg: bytes) -> str:
    """Return the address of a picture that holds the picture itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
