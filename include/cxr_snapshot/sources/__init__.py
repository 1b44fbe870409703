"""The upstreams: a file for each collection, and the clients that fetch.

In: settings. Out: revisions, files with their bytes, and ledger rows that say what each file is.

A collection is one file here (``covid.py``, ``pneumonia.py``): what its rows, paths and words mean, its licence, its
citation. A new one is a file like these and one line in ``SOURCES``. May use no other room.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cxr_snapshot.settings import Settings
    from cxr_snapshot.sources.base import About, Source

# In the order in which they are ingested. By name, so that the DAG file reads the list without importing the clients.
SOURCES = {
    "covid": "cxr_snapshot.sources.covid:CovidCollection",
    "pneumonia": "cxr_snapshot.sources.pneumonia:PneumoniaCollection",
}


def build_sources(settings: Settings) -> dict[str, Source]:
    """Return every source by its name."""
    return {name: resolve_name(path)(settings) for name, path in SOURCES.items()}


def about(name: str, *, synthetic: bool = False) -> About:
    """Return what people must know of a source; next to nothing of one that an older or newer version knew.

    Of generated data nothing is true that is true of the collection in whose name it comes.
    """
    from cxr_snapshot.sources.base import GENERATED, UNKNOWN

    if synthetic:
        return GENERATED
    found: About = resolve_name(SOURCES[name]).about if name in SOURCES else UNKNOWN
    return found
