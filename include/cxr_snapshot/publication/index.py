"""The catalogue at the root of the prefix: ``index.json`` and ``index.html`` list all snapshots of all editions.

Both are made of what is published, are written last, and may be lost: no decision of the pipeline rests on them. Who
publishes, removes or takes back brings the entries of its edition up to date and leaves the others as they are; where
``index.json`` is lost, damaged or of another release, all are made anew. Both files are written by conditional write,
and the page only over the one that was there before its ``index.json`` was read, so that of two writers at once the
last one has seen what both did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cxr_snapshot import shown
from cxr_snapshot.errors import DamagedObjectError, SnapshotError, StorageUnavailableError, VerificationError
from cxr_snapshot.publication.checksums import read_file, read_sums
from cxr_snapshot.publication.dictionary import PREVIEW
from cxr_snapshot.publication.marks import MARK, UNMARKED, read_mark
from cxr_snapshot.publication.versions import read_pointer, version_key, versions
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed, put_sealed

log = shown.logger(__name__)

INDEX = "index.json"
INDEX_PAGE = "index.html"

Entry = dict[str, Any]

_SCHEMA_VERSION = 1
_ABOUT = (
    "The snapshots of all editions, made of what is published, and written after latest.json; damaged ones are left "
    "out. latest.json and a folder's _SUCCESS decide where this file says otherwise. path is relative to this file."
)
_OF_SNAPSHOT = (
    *("version", "uri", "created", "code_version", "schema_version", "counts", "splits", "revisions", "settings"),
    *("content_digest", "manifest_sha256"),
)
_WRITES = 20  # tries to write; each lost one means that somebody else wrote meanwhile


def read_index(store: Store) -> list[Entry] | None:
    """Return what ``index.json`` says, in one request; ``None`` where it is lost, damaged or of another release.

    Returns:
        An entry for each snapshot, the default edition first, and each edition's oldest first. ``edition``, ``path``,
        ``latest``, ``synthetic``; ``headline`` of the audit; ``withdrawn``, the state of the mark, or ``None``, and
        ``withdrawn_images``, their number; number of ``files`` and their ``bytes``; ``preview_sha256``; and of
        ``snapshot.json`` what ``_OF_SNAPSHOT`` names.
    """
    return _parse(find_sealed(store.edition(DEFAULT_EDITION), INDEX)[0])


def list_published(store: Store) -> list[Entry]:
    """Return the same as :func:`read_index`, from the store itself. A damaged snapshot is left out, and that is logged.

    Raises:
        StorageError: the store refused or did not answer.
    """
    return _brought_up_to_date(store, store.editions(), [])


def keep_index(store: Store, *, anew: bool = False) -> None:
    """Bring both files up to date after something changed in an edition; a failure is logged and stops nobody.

    Args:
        store: as the edition sees it.
        anew: make the entries of all editions anew.
    """
    try:
        update_index(store, anew=anew)
    except SnapshotError as error:
        log.warning(
            "%s is not up to date: %s The next publication brings it up to date, or: python -m cxr_snapshot reindex",
            store.edition(DEFAULT_EDITION).uri(INDEX),
            error,
        )


def update_index(store: Store, *, anew: bool = False) -> list[Entry]:
    """Do what :func:`keep_index` does, and return the entries.

    Raises:
        StorageError: the store refused or did not answer, or others wrote all the time.
    """
    root = store.edition(DEFAULT_EDITION)
    for _ in range(_WRITES):
        page = root.find(INDEX_PAGE)  # the order is what makes it safe: page, index, store; then index, page
        body, etag = find_sealed(root, INDEX)
        known = None if anew else _parse(body)
        editions = store.editions() if known is None else [store.edition_name]
        entries = _brought_up_to_date(store, editions, known or [])
        wanted = json_bytes({"schema_version": _SCHEMA_VERSION, "about": _ABOUT, "snapshots": entries})
        drawn = _draw(root, entries)
        try:
            if body != wanted:
                put_sealed(root, INDEX, wanted, only_if_absent=etag is None, only_if_etag=etag)
            if page is None or page.body != drawn:
                root.put(INDEX_PAGE, drawn, only_if_absent=page is None, only_if_etag=page.etag if page else None)
        except PreconditionFailedError:
            continue  # somebody else wrote it, or an answer was lost
        return entries
    raise StorageUnavailableError(f"{root.uri(INDEX)} was written by others {_WRITES} times in a row.")


def _parse(body: bytes | None) -> list[Entry] | None:
    facts = {} if body is None else parse_json(body, INDEX)
    return facts["snapshots"] if facts.get("schema_version") == _SCHEMA_VERSION else None


def _brought_up_to_date(store: Store, editions: Collection[str], known: Sequence[Entry]) -> list[Entry]:
    """Return the entries of some editions as they are in the store, and those of the others as they are ``known``."""
    entries = [entry for entry in known if entry["edition"] not in editions]
    for name in editions:
        own = {entry["version"]: entry for entry in known if entry["edition"] == name}
        entries += _of_edition(store.edition(name), own)
    return sorted(entries, key=_place_in_list)


def _place_in_list(entry: Entry) -> tuple[bool, str, tuple[str, int]]:
    return entry["edition"] != DEFAULT_EDITION, entry["edition"], version_key(entry["version"])


def _of_edition(place: Store, known: Mapping[str, Entry]) -> list[Entry]:
    """Return the entries of an edition; those that are ``known`` are read again only as to which one is the latest."""
    names, (latest, _) = versions(place), read_pointer(place)
    new = bounded_map(lambda version: _entry(place, version), [name for name in names if name not in known])
    entries = {**known, **{version: entry for version, entry in new if entry}}
    return [entries[name] | {"latest": name == latest} for name in names if name in entries]


def _entry(place: Store, version: str) -> Entry | None:
    """Return the entry of a snapshot but for ``latest``; ``None`` where it is damaged."""
    try:
        sums = read_sums(place, version)
        facts = parse_json(read_file(place, version, "snapshot.json", sums), place.uri(f"{version}/snapshot.json"))
        files = place.list(f"{version}/")
        mark = read_mark(place, version)[0] if f"{version}/{MARK}" in files else UNMARKED
        entry = {name: facts[name] for name in _OF_SNAPSHOT}
    except (DamagedObjectError, KeyError, VerificationError) as error:
        log.warning("%s is left out of %s: %s", place.uri(version), INDEX, error)
        return None
    return entry | {
        "edition": place.edition_name,
        "path": place.uri(f"{version}/").removeprefix(place.edition(DEFAULT_EDITION).uri("")),
        "synthetic": facts.get("synthetic", False),
        "headline": facts.get("audit", {}).get("headline"),
        "withdrawn": None if mark == UNMARKED else mark.state,
        "withdrawn_images": len(mark.images),
        "files": len(files),
        "bytes": sum(item.size for item in files.values()),
        "preview_sha256": mark.now(sums).get(PREVIEW),
    }


def _draw(root: Store, entries: Sequence[Entry]) -> bytes:
    """Return the page, with those previews that are what their entries say."""
    # The predictor reads the list, in an environment of its own that cannot draw pages.
    from cxr_snapshot.publication.index_page import render_index, with_pictures

    names = {f"{entry['path']}{PREVIEW}": entry for entry in with_pictures(entries)}
    found = {names[name]["path"]: (names[name], sheet) for name, sheet in bounded_map(root.find, names)}
    sheets = {
        path: sheet.body
        for path, (entry, sheet) in found.items()
        if sheet and hashlib.sha256(sheet.body).hexdigest() == entry["preview_sha256"]
    }
    return render_index(entries, sheets)
