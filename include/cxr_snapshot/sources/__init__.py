"""The upstreams. A new one is one file beside these and one line here."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_snapshot.settings import Settings
    from cxr_snapshot.sources.base import Source

# In the order in which they are ingested. By name, so that the DAG file reads the list without importing the clients.
SOURCES = {
    "covid": "cxr_snapshot.sources.github:GithubSource",
    "pneumonia": "cxr_snapshot.sources.kaggle:KaggleSource",
}


def build_sources(settings: Settings) -> dict[str, Source]:
    """Return every source by its name."""
    return {name: resolve_name(path)(settings) for name, path in SOURCES.items()}
