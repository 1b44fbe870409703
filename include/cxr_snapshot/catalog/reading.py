"""Answers questions about what is published. Nothing here writes to the store."""

from __future__ import annotations

import io
from typing import Any

import pandas as pd

from cxr_snapshot.errors import DamagedObjectError, MissingObjectError, VerificationError
from cxr_snapshot.publication.changes import changes_report, compare
from cxr_snapshot.publication.checksums import REPAIR, read_file, read_sums, read_table
from cxr_snapshot.publication.dictionary import DICTIONARY
from cxr_snapshot.publication.index import INDEX, Entry, list_published, read_index
from cxr_snapshot.publication.versions import LATEST, is_complete, is_version, read_pointer, versions
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.store.encoding import parse_json
from cxr_snapshot.store.objects import Store


def find_edition(store: Store, name: str) -> Store:
    """Return the store as an edition sees it of which there are objects, or the default one.

    Raises:
        MissingObjectError: there is no such edition; the text names those that are there.
    """
    if name != DEFAULT_EDITION and name not in (editions := store.editions()):
        raise MissingObjectError(f"{store.uri('')} holds no edition {name!r}. The editions are: {', '.join(editions)}.")
    return store.edition(name)


def resolve(store: Store, version: str) -> str:
    """Return the name of a complete snapshot; ``latest`` stands for the one that ``latest.json`` names.

    Raises:
        MissingObjectError: there is no such snapshot; the text names the newest ones that are there.
    """
    name = read_pointer(store)[0] if version == "latest" else version
    if name is None:
        raise MissingObjectError(f"{store.uri(LATEST)} names nothing. Nothing was published yet, or a run mends it.")
    if not is_version(name) or not is_complete(store, name):
        newest = ", ".join(reversed(versions(store)[-5:])) or "none"
        raise MissingObjectError(f"{store.uri(name)} is no complete snapshot. The newest are: {newest}.")
    return name


def list_snapshots(store: Store, edition: str | None = None, *, check: bool = False) -> list[Entry]:
    """Return what ``index.json`` says of every snapshot, each edition's oldest first; where it is lost, the store.

    Args:
        store: where.
        edition: of which edition; of all where it is ``None``.
        check: ask the store as well, some requests for each snapshot.

    Raises:
        MissingObjectError: there is no such edition.
        VerificationError: ``check`` was asked for, and ``index.json`` says something else than the store.
    """
    indexed = read_index(store)
    found = list_published(store) if check or indexed is None else indexed
    if check and found != (known := indexed or []):
        wrong = min(entry["path"] for entry in [*known, *found] if entry not in known or entry not in found)
        raise VerificationError(
            f"{store.edition(DEFAULT_EDITION).uri(INDEX)} is lost, or wrong about {wrong}. To write it anew: "
            "python -m cxr_snapshot reindex"
        )
    chosen = [entry for entry in found if edition in (None, entry["edition"])]
    if not chosen and edition is not None:
        find_edition(store, edition)
    return chosen


def show(store: Store, version: str) -> dict[str, Any]:
    """Return ``snapshot.json``, and the snapshot's number of ``files``, their ``bytes`` and whether it is ``latest``.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    name = resolve(store, version)
    files = store.list(f"{name}/")
    size = sum(item.size for item in files.values())
    return _facts(store, name) | {"files": len(files), "bytes": size, "latest": name == read_pointer(store)[0]}


def diff(store: Store, old: str, new: str) -> dict[str, Any]:
    """Compare two snapshots, image by image.

    Returns:
        ``old`` and ``new`` version, ``revisions``, ``counts`` of each kind of change, and the lists of changes by kind
        as in ``changes.json``.

    Raises:
        MissingObjectError: there is no such snapshot.
    """
    old, new = resolve(store, old), resolve(store, new)
    found = compare(_manifest(store, old), _excluded(store, old), _manifest(store, new), _excluded(store, new))
    report = changes_report(found, _facts(store, old), _facts(store, new)["revisions"])
    return {"old": old, "new": new, **{name: report[name] for name in ("revisions", "counts", *found)}}


def columns(store: Store, version: str) -> pd.DataFrame:
    """Return what a snapshot says of its files and columns, as text; columns of ``DICTIONARY_COLUMNS``.

    Raises:
        MissingObjectError: there is no such snapshot, or it is of an earlier release and says nothing.
    """
    name = resolve(store, version)
    sums = read_sums(store, name)
    if DICTIONARY not in sums:
        raise MissingObjectError(
            f"{store.uri(name)} has no {DICTIONARY}, since an earlier release made it. Leave the version out to see "
            "what the columns mean today."
        )
    return pd.read_csv(io.BytesIO(read_file(store, name, DICTIONARY, sums)), dtype=str, keep_default_na=False)


def _facts(store: Store, version: str) -> dict[str, Any]:
    name = f"{version}/snapshot.json"
    try:
        return parse_json(store.get(name), store.uri(name))
    except DamagedObjectError as error:
        raise VerificationError(f"{error} {REPAIR}") from error


def _manifest(store: Store, version: str) -> pd.DataFrame:
    return read_table(store, version, "manifest.parquet")


def _excluded(store: Store, version: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(read_file(store, version, "excluded.csv", read_sums(store, version))), dtype=str)
