"""Compares a snapshot with the one before it. An image is the bytes of the upstream's file: all else may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxr_snapshot.audit.overrides import sentence
from cxr_snapshot.audit.words import SYNTHETIC, counted
from cxr_snapshot.selection.manifest import named_by_content, upstream_files
from cxr_snapshot.selection.splits import moved_between_splits
from cxr_snapshot.shown import markdown
from cxr_snapshot.tables import MANIFEST_COLUMNS, PROVENANCE_COLUMNS

KINDS = {
    "added": "Images that were not in the previous snapshot.",
    "removed": "Images that were in the previous snapshot and are not in this one.",
    "replaced": "Images in place of others: the upstream's file of the same name has other bytes now.",
    "relabelled": "Images with another class.",
    "moved": "Images in another recommended split.",
    "renamed": "Images of the same class under another file name.",
    "updated": "Images of which other columns of the manifest changed.",
}
# What these rules mean for an image that was in: upstream took back one half of it.
_RETRACTED = {
    "missing_file": "Retracted: the upstream's file is gone; its row is still there.",
    "no_metadata_row": "Retracted: the upstream's row is gone; the file is still there.",
}
_GONE = "The upstream's file and its row are gone."
_GONE_WITHOUT_ROW = "The upstream's file is gone."
_IDENTITY = ("sha256", "file", "class", "split")
NAMED_ANEW = "From schema version 2 on a file is named by its content, before that it had a name like upstream's."
_EARLIER = ("old_class", "old_file", "old_finding", "old_split")  # not ``old_sha256``, which is in the file's name
_LISTED = 50  # rows of a table for people; the JSON file has all


def compare(
    old: pd.DataFrame | None, old_excluded: pd.DataFrame | None, new: pd.DataFrame, excluded: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    """List what changed from one manifest to the next.

    Args:
        old: the previous manifest; ``None`` for the first snapshot, in which every image is added.
        old_excluded: what the previous snapshot left out, columns ``sha256`` and ``rule``; ``None`` for the first one.
        new: this snapshot's manifest.
        excluded: what it leaves out, columns of ``EXCLUDED_COLUMNS``.

    Returns:
        A list for each of ``KINDS``, each sorted by file.
    """
    if old is None:
        added = [_entry(row, reason="first snapshot") for row in _rows(new[list(_IDENTITY)])]
        return {**{kind: [] for kind in KINDS}, "added": added}
    old, new = (table.assign(source_sha256=upstream_files(table)) for table in (old, new))
    removed = old[~old["source_sha256"].isin(new["source_sha256"])]
    unknown = new[~new["source_sha256"].isin(old["source_sha256"])]
    ledger = _Whereabouts(*(_related(table, removed) for table in (new, excluded)))
    was_excluded = {} if old_excluded is None else dict(zip(old_excluded["sha256"], old_excluded["rule"], strict=True))
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    gone = {(row["source"], row["path"]): row for row in _rows(removed)}
    for row in _rows(unknown):
        place, rule = (row["source"], row["path"]), was_excluded.get(row["source_sha256"])
        if place in gone and gone[place]["source_sha256"] not in ledger.by_sha256:
            was = gone.pop(place)
            found["replaced"].append(_entry(row, old_file=was["file"], old_sha256=was["sha256"]))
        else:
            found["added"].append(_entry(row, reason=f"was excluded as {rule}" if rule else "new in the upstream"))
    found["removed"] = [_entry(row, **ledger.explain(row)) for row in gone.values()]
    for was, now in zip(*map(_rows, _unequal(old, new)), strict=True):
        for kind, entry in _differences(was, now):
            found[kind].append(entry)
    moved = moved_between_splits(old, new)
    why = dict(zip(moved["file"], moved["reason"], strict=True))
    found["moved"] = [entry | {"reason": why[entry["file"]]} for entry in found["moved"]]
    return {kind: sorted(entries, key=lambda entry: str(entry["file"])) for kind, entries in found.items()}


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the kind and the entry of each way in which one image changed."""
    if was["class"] != now["class"]:
        yield "relabelled", _entry(now, old_class=was["class"], old_file=was["file"], old_finding=was["finding"])
    elif was["file"] != now["file"]:
        yield "renamed", _entry(now, old_file=was["file"], **_other_bytes(was, now))
    if was["split"] != now["split"]:
        yield "moved", _entry(now, old_split=was["split"])
    in_both = was.keys() & now.keys()  # an earlier release made fewer columns
    compared = [name for name in MANIFEST_COLUMNS if name in in_both - {*_IDENTITY, *PROVENANCE_COLUMNS}]
    if changed := {name: {"from": was[name], "to": now[name]} for name in compared if was[name] != now[name]}:
        yield "updated", _entry(now, columns=changed)


def _unequal(before: pd.DataFrame, after: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images that are in both tables and not the same in both, in the order of ``after``."""
    places = pd.Index(before["source_sha256"]).get_indexer(after["source_sha256"])
    now = np.flatnonzero(places >= 0)
    was, unequal = places[now], np.zeros(len(now), dtype=bool)
    for name in set(MANIFEST_COLUMNS).intersection(before, after).difference(PROVENANCE_COLUMNS):
        one, other = (table[name].iloc[rows].array for table, rows in ((before, was), (after, now)))
        missing = one.isna() & other.isna()
        unequal |= ~(np.asarray(pd.array(one == other, dtype="boolean").fillna(value=False), dtype=bool) | missing)
    return before.iloc[was[unequal]], after.iloc[now[unequal]]


def _other_bytes(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the former SHA-256 of an image that is published in another form now."""
    return {} if was["sha256"] == now["sha256"] else {"old_sha256": was["sha256"]}


def _related(table: pd.DataFrame, removed: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have the path or the bytes of a removed image."""
    return table[table["path"].isin(removed["path"]) | upstream_files(table).isin(removed["source_sha256"])]


def explain_removed(removed: pd.DataFrame, new: pd.DataFrame, excluded: pd.DataFrame) -> list[dict[str, Any]]:
    """Say what became of images that are no longer in.

    Args:
        removed: the images; columns ``source``, ``path``, ``metadata_line``, and ``sha256`` of the upstream's file.
        new: what is in; columns ``source``, ``path``, and ``sha256`` likewise.
        excluded: what is left out, columns of ``EXCLUDED_COLUMNS``.

    Returns:
        A dict for each image: its columns, and ``rule``, ``reason`` and, where there is any, ``evidence``.
    """
    removed = removed.assign(source_sha256=removed["sha256"])
    ledger = _Whereabouts(*(_related(table, removed) for table in (new, excluded)))
    return [row | ledger.explain(row) for row in _rows(removed)]


class _Whereabouts:
    """Finds out what became of an image that is no longer in."""

    def __init__(self, new: pd.DataFrame, excluded: pd.DataFrame) -> None:
        self.excluded = list(_rows(excluded))
        self.by_sha256: dict[str, dict[str, Any]] = {}
        for row in self.excluded:
            self.by_sha256.setdefault(row["sha256"], row)
        self.by_path = {(row["source"], row["path"]): row for row in [*_rows(new), *self.excluded]}

    def explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return rule, reason and evidence for an image of the previous manifest."""
        at_path = self.by_path.get((row["source"], row["path"]))
        source = row["source_sha256"]
        same = at_path if at_path and _source_of(at_path) == source else self.by_sha256.get(source)
        if same is None and at_path and at_path["sha256"]:
            return {"rule": "replaced", "reason": "The upstream's file of this name has other bytes now."}
        if same := same or at_path:
            reason = _RETRACTED.get(same["rule"], same["reason"])
            return {"rule": same["rule"], "reason": reason, "evidence": same["evidence"]}
        return {"rule": "retracted", "reason": _GONE_WITHOUT_ROW if row.get("metadata_line") is None else _GONE}


def _source_of(row: Mapping[str, Any]) -> Any:
    """Return the SHA-256 of the upstream's file, of a row of the manifest or of what is left out."""
    return row.get("source_sha256", row["sha256"])


def changes_report(
    found: Mapping[str, list[dict[str, Any]]],
    previous: Mapping[str, Any] | None,
    revisions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the content of ``changes.json``.

    Args:
        found: result of :func:`compare`.
        previous: ``snapshot.json`` of the previous snapshot, or ``None``.
        revisions: this snapshot's, by source.
    """
    old = previous["revisions"] if previous else {}
    return {
        "schema_version": 2,
        "previous": previous["version"] if previous else None,
        "revisions": {name: {"from": old.get(name), "to": revision} for name, revision in revisions.items()},
        "counts": {kind: len(found[kind]) for kind in KINDS},
        **found,
    }


def changes_markdown(
    report: Mapping[str, Any], overrides: Iterable[Mapping[str, Any]], *, synthetic: bool = False
) -> str:
    """Return ``CHANGES.md`` without its title: the report for people.

    Args:
        report: from :func:`changes_report`.
        overrides: what was accepted although a check failed, as in ``snapshot.json``.
        synthetic: whether the images are generated.
    """
    accepted = f"> **{SYNTHETIC}**\n\n" if synthetic else ""
    accepted += "".join(f"**A failed check was overridden.** {markdown(sentence(each))}\n\n" for each in overrides)
    if report["previous"] is None:
        return f"{accepted}{first(report['counts']['added'])}\n"
    lines = [f"{accepted}Compared with {report['previous']}.", ""]
    lines += [
        f"- {name}: {markdown(_shown(change['from']))} → {markdown(change['to'])}"
        for name, change in report["revisions"].items()
    ]
    lines += ["", *_table(["change", "images"], [[kind, str(report["counts"][kind])] for kind in KINDS])]
    for kind, meaning in KINDS.items():
        if not (entries := report[kind]):
            continue
        lines += ["", f"## {kind.capitalize()}", "", meaning]
        listed = [entry for entry in entries if not named_anew(entry)]
        if anew := len(entries) - len(listed):
            lines += [
                "",
                f"{NAMED_ANEW} For this reason alone {anew} {'has' if anew == 1 else 'have'} another name; "
                "changes.json lists them.",
            ]
        if kind == "updated":  # one change of words upstream often touches every image
            header = ["what", "images"]
            rows = [[what, str(count)] for what, count in Counter(map(describe, listed)).most_common()]
        else:
            header = ["file", "what"]
            rows = [[entry["file"], describe(entry)] for entry in listed]
        if rows:
            lines += ["", *_table(header, rows[:_LISTED])]
        if more := len(rows[_LISTED:]):
            lines += ["", f"{more} more {'is' if more == 1 else 'are'} in changes.json."]
    return "\n".join(lines) + "\n"


def first(images: int) -> str:
    """Say that there is no earlier snapshot to compare one of so many images with."""
    return f"This is the first snapshot, of {counted(images, 'image')}."


def named_anew(entry: Mapping[str, Any]) -> bool:
    """Say whether an entry of ``renamed`` is there only because one of the snapshots names files in the older way."""
    if set(entry) != {*_IDENTITY, "old_file"}:
        return False
    return len({named_by_content(entry[name], entry["sha256"]) for name in ("file", "old_file")}) == 2


def describe(entry: Mapping[str, Any]) -> str:
    """Say in words what happened to one image."""
    if "columns" in entry:
        changed = [f"{name}: {_shown(c['from'])} → {_shown(c['to'])}" for name, c in entry["columns"].items()]
        return "; ".join(changed)
    words = [str(entry[name]) for name in ("rule", "reason", "evidence") if entry.get(name)]
    words += [f"{name.removeprefix('old_')} was {_shown(entry[name])}" for name in entry if name in _EARLIER]
    return "; ".join(words)


def _entry(row: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {name: row[name] for name in _IDENTITY} | {name: value for name, value in more.items() if value is not None}


def _rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows as plain values, ``None`` where one is missing."""
    if frame.empty:  # as most are; all columns turned into objects take milliseconds
        return
    plain = frame.astype(object).where(frame.notna(), None)
    for values in plain.itertuples(index=False, name=None):
        yield dict(zip(map(str, frame.columns), values, strict=True))


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    cells = [header, ["---"] * len(header), *(map(markdown, row) for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in cells]


def _shown(value: Any) -> str:
    return "(empty)" if value is None else str(value)
