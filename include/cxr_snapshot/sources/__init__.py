"""The upstreams: a file for each collection, and the clients that fetch.

In: settings. Out: revisions, files with their bytes, and ledger rows that say what each file is.

A collection is one file here (``covid.py``, ``pneumonia.py``): what its rows, paths and words mean, its licence, its
citation. A new one is a file like these and one line in ``SOURCES``; the setting ``sources`` says which of them a
deployment ingests. May use no other room.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING

from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import DEFAULT_SOURCES, refuse_unknown, source_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cxr_snapshot.settings import Settings
    from cxr_snapshot.sources.base import About, Source

# By name, so that the DAG file reads the list without importing the clients.
SOURCES = {
    "covid": "cxr_snapshot.sources.covid:CovidCollection",
    "pneumonia": "cxr_snapshot.sources.pneumonia:PneumoniaCollection",
    "nih": "cxr_snapshot.sources.nih:NihCollection",
    "hannover": "cxr_snapshot.sources.hannover:HannoverCollection",
}

# The collection whose commit a run may pin. Without it, "as of a day" would name a snapshot by a day and pin nothing.
_PINNED = "covid"


def chosen(sources: str | None, *, where: str = "CXR_SOURCES") -> list[str]:
    """Return the names of the collections that a deployment ingests, in order.

    Args:
        sources: the setting of that name; nothing for its default. The DAG file reads it too, since ``ingest`` is
            mapped over it.
        where: what to call it in messages.

    Raises:
        SettingsError: an unknown name, one that comes twice, or no ``covid``.
    """
    names = _named(where, sources or DEFAULT_SOURCES)
    if _PINNED not in names:
        raise SettingsError(f"{where} is {sources!r}; add {_PINNED}, whose commits time travel pins")
    return names


def judging(sources: str | None, judges: str | None) -> list[str]:
    """Return the names of the collections of which nothing is published, but whose images judge, in order.

    Args:
        sources: as for :func:`chosen`; what is named there judges nothing.
        judges: the setting of that name; nothing for none.

    Raises:
        SettingsError: an unknown name, or one that comes twice, in either.
    """
    used = chosen(sources)
    return [name for name in _named("CXR_JUDGES", judges) if name not in used] if judges else []


def _named(variable: str, value: str) -> list[str]:
    names = source_names(value)
    refuse_unknown(f"collection in {variable}:", names, SOURCES)
    if len(set(names)) < len(names):
        raise SettingsError(f"{variable} is {value!r} and names a collection twice; name each once")
    return names


def build_sources(settings: Settings) -> dict[str, Source]:
    """Return the sources that the settings name, by name.

    Raises:
        SettingsError: as :func:`chosen`.
    """
    return _built(chosen(settings.sources), settings)


def build_judges(settings: Settings) -> dict[str, Source]:
    """Return the collections that the settings name as judges, by name.

    Raises:
        SettingsError: as :func:`judging`.
    """
    return _built(judging(settings.sources, settings.judges), settings)


def _built(names: Iterable[str], settings: Settings) -> dict[str, Source]:
    return {name: resolve_name(SOURCES[name])(settings) for name in names}


def republished() -> dict[str, tuple[str, ...]]:
    """Return, by collection, the others whose files it has too; see :class:`.base.Source`."""
    return {name: resolve_name(SOURCES[name]).republishes for name in SOURCES}


def about(name: str, *, synthetic: bool = False) -> About:
    """Return what people must know of a source; next to nothing of one that an older or newer version knew.

    Of generated data nothing is true that is true of the collection in whose name it comes.
    """
    from cxr_snapshot.sources.base import GENERATED, UNKNOWN

    if synthetic:
        return GENERATED
    found: About = resolve_name(SOURCES[name]).about if name in SOURCES else UNKNOWN
    return found
