"""The newest snapshots of all editions beside one another: what is in them, and what a model could learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxr_snapshot.audit.words import CLASSES_QUESTION, ORIGINALS, PICTURES, interval, per_hundred, percent
from cxr_snapshot.publication.versions import read_audit, read_pointer, read_snapshot
from cxr_snapshot.store.objects import Store
from cxr_snapshot.tables import CLASSES

UNKNOWN = "not measured"

_PROBES = {
    "file_facts": "file facts",
    "thumbnail": "8 x 8 points",
    "no_lungs": "lungs blacked out",
    "border": "border and corners",
}
_FOLDERS = {ORIGINALS: "images/", PICTURES: "data/"}

Entry = dict[str, Any]


def newest_of_all(store: Store) -> list[Entry]:
    """Return what is to be compared of the snapshot that each edition's ``latest.json`` names, the default one first.

    Args:
        store: seen by any edition.

    Returns:
        For each edition that has one: ``edition``; ``version``, ``counts``, ``revisions``, ``settings`` and ``audit``
        of ``snapshot.json``; ``synthetic``; and of ``audit.json`` ``ages`` and those ``probes`` that name the class,
        both empty where there is none.

    Raises:
        VerificationError: a snapshot is missing or damaged.
    """
    found = []
    for edition in store.editions():
        place = store.edition(edition)
        version, _ = read_pointer(place)
        if version is None:
            continue
        facts, audit = read_snapshot(place, version), read_audit(place, version) or {}
        entry = {name: facts[name] for name in ("version", "counts", "revisions", "settings", "audit")}
        entry |= {"synthetic": facts.get("synthetic", False), "ages": audit.get("ages", {})}
        asked = [probe for probe in audit.get("probes", []) if probe["question"] == CLASSES_QUESTION]
        found.append({"edition": edition, **entry, "probes": asked})
    return found


def rows_of(entries: Sequence[Entry]) -> list[tuple[str, list[str]]]:
    """Return the comparison in words: what is measured, and a cell for each of ``entries``.

    Args:
        entries: from :func:`newest_of_all`.
    """
    columns = [_column(entry) for entry in entries]
    return [(title, [column[title] for column in columns]) for title in (columns[0] if columns else ())]


def _column(entry: Entry) -> dict[str, str]:
    """Return the cells of one edition by title."""
    counts, probes = entry["counts"], {(probe["name"], probe["of"]): probe for probe in entry["probes"]}
    told = {
        f"Class told from {title}, {folder}": _told(probes.get((name, of)))
        for name, title in _PROBES.items()
        for of, folder in _FOLDERS.items()
    }
    return {
        "Version": entry["version"],
        "Images": f"{sum(counts.values()):,}, {counts[CLASSES[0]]:,} a class",
        "Patients": f"{entry['audit']['figures']['patients']:,}",
        "Collections": ", ".join(sorted(entry["revisions"])),
        **{f"Age, {name}": _age(entry["ages"].get(name)) for name in CLASSES},
        **told,
        **_elsewhere(entry["audit"].get("external")),
    }


def _age(ages: Mapping[str, Any] | None) -> str:
    if not ages or not ages["stated"]:
        return "not stated"
    return f"median {ages['median']:g}, stated of {ages['stated']:,} of {ages['images']:,}"


def _told(probe: Mapping[str, Any] | None) -> str:
    if probe is None or probe["accuracy"] is None:
        return UNKNOWN
    return f"{percent(probe['accuracy'])} ({percent(probe['low'])} to {percent(probe['high'])})"


def _elsewhere(external: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the cells on patients from elsewhere by title."""
    found = external or {}
    shares = {
        "Of 100 healthy adults elsewhere, called COVID": "called_covid",
        "Of 100 COVID patients elsewhere, called COVID": "found_covid",
    }
    areas = {"AUC on its own collections": "auc_inside", "AUC elsewhere": "auc_outside"}
    return {
        **{title: _share(found.get(name)) for title, name in shares.items()},
        **{title: interval(found[name]) if found.get(name) else UNKNOWN for title, name in areas.items()},
    }


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return UNKNOWN
    value, low, high = (per_hundred(figure[name]) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high}), {figure['patients']:,} patients"
