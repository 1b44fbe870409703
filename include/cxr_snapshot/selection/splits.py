"""Recommends a split for each record - train, validation or test - such that nothing leaks from one into another."""

from __future__ import annotations

import hashlib
import re
from itertools import accumulate
from typing import Any

import pandas as pd

from cxr_snapshot.selection.linking import connected_rows
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.tables import CLASSES, LEDGER_SCHEMA, conform

TARGET = {"train": 0.70, "validation": 0.15, "test": 0.15}  # fractions of the groups


def assign_splits(ledger: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Give each record its group and its split.

    Records that share a patient, a file or a picture that looks alike are in one *group*, also where what links them is
    a third record, excluded or not. A group is in one split as a whole.

    A group is named after its first patient in natural order (``covid:9`` before ``covid:10``), or after its lowest
    blob where no patient is known, and a salted hash of that name alone decides the split. So a group keeps both
    however many images it gains. Only when groups merge can records move, namely those whose group lost its name.
    Upstream counts patients upwards, so where a new patient merges with an old one, the new one takes the old one's
    split. A record whose group is not its own patient shows that there was a merge; :func:`moved_between_splits` tells
    which published images it moved.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, duplicates resolved.
        salt: a new one draws new splits.

    Returns:
        The ledger with the same rows; ``group`` and ``split`` are null where neither a patient nor bytes are known, not
        even of a linked record.
    """
    blob = ledger["source"] + ":blob-" + ledger["sha256"].str[:16]
    own = ledger["patient_id"].fillna(blob)
    numbers = connected_rows(
        pd.DataFrame({"own": own, "file": ledger["source"] + ":" + ledger["path"], "picture": ledger["cluster"]})
    )
    patients = set(ledger["patient_id"].dropna())
    names = dict(enumerate(sorted(set(own.dropna()), key=lambda name: (name not in patients, _natural(name)))))
    places = own.map({name: place for place, name in names.items()})
    group = places.groupby(numbers).transform("min").map(names, na_action="ignore")
    splits = {name: _split(name, salt) for name in set(group.dropna())}
    return conform(ledger.assign(group=group, split=group.map(splits)), LEDGER_SCHEMA)


def split_report(manifest: pd.DataFrame) -> dict[str, Any]:
    """Compare the splits of a manifest with the target.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.

    Returns:
        Plain data. ``target``: fraction by split. ``all`` and each class: by split, the number of ``images`` and of
        ``groups`` and the ``fraction`` of the images that was achieved. ``groups_in_several_splits`` and
        ``patients_in_several_splits``: must be 0.
    """
    manifest = manifest[["class", "group", "split", "patient_id"]]
    classes = {name: manifest[manifest["class"] == name] for name in CLASSES}
    return {
        "target": dict(TARGET),
        **{name: _achieved(part) for name, part in ({"all": manifest} | classes).items()},
        "groups_in_several_splits": int((manifest.groupby("group")["split"].nunique() > 1).sum()),
        "patients_in_several_splits": int((manifest.groupby("patient_id")["split"].nunique() > 1).sum()),
    }


def moved_between_splits(previous: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """List the images that are in both of two manifests but not in the same split.

    Args:
        previous: manifest of the older snapshot, columns of ``MANIFEST_SCHEMA``.
        manifest: manifest of the newer one.

    Returns:
        One row for each moved image, sorted by file: ``file``, ``class``, ``patient_id``, ``previous_group``,
        ``group``, ``previous_split``, ``split`` and, in words, the ``reason``.
    """
    before = previous.set_index(upstream_files(previous))[["patient_id", "group", "split"]].add_prefix("previous_")
    both = manifest[["file", "class", "patient_id", "group", "split"]].assign(sha256=upstream_files(manifest))
    both = both.join(before, on="sha256", how="inner")
    moved = both[both["split"] != both["previous_split"]].sort_values("file", ignore_index=True)
    moved["reason"] = [_why_moved(row) for _, row in moved.iterrows()]
    names = ["file", "class", "patient_id", "previous_group", "group", "previous_split", "split", "reason"]
    return moved[names]


def _why_moved(row: pd.Series) -> str:
    old, new = row["previous_group"], row["group"]
    if old == new:
        return "the settings changed (salt)"
    was, now = ("nobody" if pd.isna(row[name]) else row[name] for name in ("previous_patient_id", "patient_id"))
    if was != now:
        return f"upstream changed the patient from {was} to {now}"
    # The first patient names a group, so a merge can only lower the name, and a parting only raise it.
    if _natural(new) < _natural(old):
        return f"group {old} was merged into {new}: a shared picture, file or patient links them"
    return f"group {new} was parted from {old}: what linked them is gone"


def _achieved(part: pd.DataFrame) -> dict[str, dict[str, float]]:
    found = {}
    for split in TARGET:
        inside = part[part["split"] == split]
        fraction = round(len(inside) / len(part), 4) if len(part) else 0.0
        found[split] = {"images": len(inside), "groups": int(inside["group"].nunique()), "fraction": fraction}
    return found


def _split(group: str, salt: str) -> str:
    # The words between keep this draw apart from that of the balance. Any would do; with these, the patients of the
    # real collections come close to the target.
    digest = hashlib.sha256(f"{salt}\0split group\0{group}".encode()).digest()
    share = int.from_bytes(digest[:6]) / 2**48  # exact in a float, from 0 to just below 1
    ends = zip(TARGET, accumulate(TARGET.values()), strict=True)
    return next((split for split, end in ends if share < end), "test")


def _natural(name: str) -> tuple[Any, ...]:
    """Return a sort key that compares numbers inside the name as numbers."""
    parts = re.split(r"0*([0-9]+)", name)  # text and digits by turns
    # More digits are a larger number; to make numbers of them would fail where there are thousands.
    return (*((len(part), part) if place % 2 else part for place, part in enumerate(parts)), name)
