"""Takes back what was published: finds what a withdrawal is about, notes it, marks snapshots and erases bytes.

First a plan, which only reads and can be shown; then its execution. The note comes first: from then on no build of any
edition takes the images in. All that follows makes the store what the notes say, whatever was done before, so that a
call that was killed is ended by the next one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.catalog.erasure import erase_work
from cxr_snapshot.errors import MissingObjectError, SettingsError
from cxr_snapshot.inspection.results import load_inspections
from cxr_snapshot.publication.checksums import SUCCESS, read_file, read_sums, read_table
from cxr_snapshot.publication.erasing import mark_snapshot
from cxr_snapshot.publication.index import INDEX_PAGE, keep_index
from cxr_snapshot.publication.marks import Mark, images_of
from cxr_snapshot.publication.versions import is_version, versions
from cxr_snapshot.selection.duplicates import MAX_CLUSTER, clusters_of
from cxr_snapshot.selection.lookalikes import known_copies
from cxr_snapshot.selection.manifest import upstream_files
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.sources import republished
from cxr_snapshot.store.blobs import list_blobs
from cxr_snapshot.store.objects import EDITIONS, MODELS, Store
from cxr_snapshot.store.seals import find_sealed_table
from cxr_snapshot.store.withdrawals import (
    IMAGE,
    PATIENT,
    SOURCE_PATH,
    Withdrawal,
    add_withdrawal,
    erased_files,
    load_withdrawals,
)

log = shown.logger(__name__)

KINDS = (IMAGE, PATIENT, SOURCE_PATH)

_SOURCES = "_work/sources/"
_FACTS = ("source", "path", "patient_id", "sha256", "file", "published")
_HOW = {
    IMAGE: "Give the SHA-256 or the name of a published file, such as images/COVID/covid-0123456789abcdef.jpg.",
    PATIENT: "Patients are named as in manifest.csv, such as covid:311a.",
    SOURCE_PATH: "Give collection and path as in manifest.csv, such as covid:images/name.jpg.",
}


@dataclass(frozen=True)
class WithdrawalPlan:
    """What is to be withdrawn.

    Attributes:
        withdrawal: the note that is to be written.
        records: the upstreams' files that it is about, copies among them: ``<source>:<path>``.
        snapshots: by edition and version, the files of the images there.
        blobs: how many of the upstreams' files are in the store.
    """

    withdrawal: Withdrawal
    records: tuple[str, ...]
    snapshots: Mapping[str, Mapping[str, tuple[str, ...]]]
    blobs: int

    def summary(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        asked = self.withdrawal
        return {
            "kind": asked.kind,
            "value": asked.value,
            "reason": asked.reason,
            "erase": asked.erase,
            "records": list(self.records),
            "snapshots": {
                edition: {version: list(files) for version, files in found.items()}
                for edition, found in self.snapshots.items()
            },
            "blobs": self.blobs,
        }

    def question(self) -> str:
        """Return what is about to happen, in Markdown, for the person who approves it."""
        asked = self.withdrawal
        lines = [f"- {shown.markdown(record)}" for record in self.records]
        lines += ["", "Published in:", ""]
        lines += [
            f"- {edition} {version}: {', '.join(files)}"
            for edition, found in self.snapshots.items()
            for version, files in found.items()
        ] or ["- no snapshot"]
        then = (
            "Their bytes are **deleted for good** from all of these, and from the pipeline's own store, and so are the "
            "models that were trained on these snapshots."
            if asked.erase
            else "These snapshots are marked and stay as they are."
        )
        return "\n".join(
            [
                f"To withdraw, by {asked.kind} {shown.markdown(asked.value)}, with the copies that are known:",
                "",
                *lines,
                "",
                f"No later snapshot of any edition will hold them. {then}",
                "",
                f"The reason is published: {shown.markdown(asked.reason)}",
            ]
        )


def asked_for(image: str | None, patient: str | None, source_path: str | None) -> tuple[str, str]:
    """Return kind and value of what is asked for.

    Raises:
        SettingsError: it is not one of the three.
    """
    chosen = [(kind, value) for kind, value in zip(KINDS, (image, patient, source_path), strict=True) if value]
    if len(chosen) != 1:
        raise SettingsError("give one of image, patient and source path, and only one")
    return chosen[0]


def plan_withdrawal(
    store: Store, kind: str, value: str, *, reason: str, erase: bool, time: str, by: str
) -> WithdrawalPlan:
    """Find what a withdrawal is about, in all editions. Writes nothing.

    Args:
        store: where.
        kind: one of ``KINDS``.
        value: see :class:`cxr_snapshot.store.withdrawals.Withdrawal`.
        reason: why; it is published.
        erase: whether the bytes are to be deleted.
        time: ISO 8601 time.
        by: who asks for it.

    Raises:
        MissingObjectError: nothing of this name was ever published or fetched.
        SettingsError: there is no such kind, or no reason.
    """
    if kind not in KINDS:
        raise SettingsError(f"{kind!r} cannot be withdrawn; choose one of {', '.join(KINDS)}")
    if not reason.strip():
        raise SettingsError("a withdrawal needs a reason, which is published")
    records = _records(store)
    hit = _hits(records, kind, value.strip())
    if not hit.any():
        raise MissingObjectError(f"{store.uri('')} knows no {kind} {value!r}. {_HOW[kind]}")
    hit |= _copies(store, records, hit)
    found = records[hit]
    sha256s, pixels = (tuple(sorted(set(found[name].dropna()))) for name in ("sha256", "pixel_sha256"))
    withdrawal = Withdrawal(kind, value.strip(), shown.line(reason.strip()), erase, time, by, sha256s, pixels)
    named = tuple(sorted(set((found["source"] + ":" + found["path"]).dropna())))
    published = found[found["file"].notna()]
    snapshots: dict[str, dict[str, tuple[str, ...]]] = {}
    for (edition, version), rows in published.groupby(["edition", "version"]):
        snapshots.setdefault(str(edition), {})[str(version)] = tuple(sorted(rows["file"]))
    return WithdrawalPlan(withdrawal, named, snapshots, len(set(sha256s) & list_blobs(store).keys()))


def withdraw(store: Store, plan: WithdrawalPlan) -> dict[str, int]:
    """Note a withdrawal, and make the store what all notes say; a killed call is ended by the next one.

    Returns:
        ``number`` of the withdrawal, and how many snapshots are ``marked`` now.

    Raises:
        PublishConflictError: somebody else withdraws something at the same time.
        VerificationError: a snapshot is damaged.
        StorageError: the store refused or did not answer.
    """
    store = store.edition(DEFAULT_EDITION)
    written = add_withdrawal(store, plan.withdrawal)
    return {"number": written.number, "marked": apply_withdrawals(store)}


def apply_withdrawals(store: Store) -> int:
    """Make the store what the notes say: mark the snapshots, then erase what is to be erased.

    Returns:
        How many snapshots bear a mark.
    """
    withdrawals = load_withdrawals(store)
    gone, marked = erased_files(withdrawals), 0
    if gone:
        store.delete([INDEX_PAGE])  # it shows previews; no kill may leave an old one beside a mark that says erased
    for place in _places(store):
        for version in versions(place):
            images = images_of(withdrawals, read_table(place, version, "manifest.parquet"))
            if any(image["erased"] for image in images.values()):
                _delete_model(store, place.edition_name, version)
            mark = mark_snapshot(place, version, images, gone)
            marked += mark != Mark()
        if gone:
            _delete_unfinished(place)
    if gone:
        erase_work(store, _places(store), gone)
    keep_index(store, anew=True)
    return marked


def _places(store: Store) -> list[Store]:
    """Return the store as each edition sees it, those too that published nothing yet."""
    root = store.edition(DEFAULT_EDITION)
    begun = root.folders(f"_work/{EDITIONS}")
    return [root.edition(name) for name in dict.fromkeys((*root.editions(), *begun))]


def _delete_model(store: Store, edition: str, version: str) -> None:
    """Delete the model of a snapshot: it was made of the images, and shows some of them."""
    model = f"{MODELS}{edition}/{version}/"
    store.delete([f"{model}{SUCCESS}"])  # from here on, nobody takes it for whole
    store.delete(store.list(model))


def _delete_unfinished(store: Store) -> None:
    """Delete what lies in folders that are no snapshots: copies of images, made by a run that died or still works."""
    complete = set(versions(store))
    for version in store.folders():
        if is_version(version) and version not in complete:
            log.warning("%s is no snapshot yet and is deleted, since it may hold what is erased", store.uri(version))
            store.delete(store.list(f"{version}/"))


def _hits(records: pd.DataFrame, kind: str, value: str) -> pd.Series:
    if kind == PATIENT:
        return records["patient_id"].eq(value).fillna(value=False)
    if kind == IMAGE:
        names = ("sha256", "published") if re.fullmatch("[0-9a-f]{64}", value) else ("file",)
        return records[list(names)].isin([value]).any(axis=1)
    return (records["source"] + ":" + records["path"]).eq(value).fillna(value=False)


def _copies(store: Store, records: pd.DataFrame, hit: pd.Series) -> pd.Series:
    """Say which records show a picture that is a copy of one that was asked for, as far as an earlier run found out."""
    shown_there = records[records["pixel_sha256"].notna()].drop_duplicates(["source", "path", "sha256"])
    copies = hit & False
    for place in _places(store):
        numbers = known_copies(place)
        unknown = sorted(set(shown_there["pixel_sha256"]) - numbers.keys())
        numbers |= {pixel: -number for number, pixel in enumerate(unknown, start=1)}
        clusters = clusters_of(shown_there, numbers, republished())
        pixels = shown_there["pixel_sha256"]
        small = pixels.groupby(clusters).transform("nunique") <= MAX_CLUSTER
        wanted = clusters[hit.reindex(shown_there.index) & small]
        copies |= records["pixel_sha256"].isin(pixels[clusters.isin(wanted)])
    return copies | (records["sha256"].isin(records.loc[hit, "sha256"].dropna()))


def _records(store: Store) -> pd.DataFrame:
    """Return every record of every snapshot and inventory.

    Returns:
        Columns of ``_FACTS``, ``pixel_sha256``, and ``edition`` and ``version`` of the snapshot that publishes it;
        ``published`` is the SHA-256 of the file there.
    """
    inspections = load_inspections(store)
    tables = [_inventories(store, set(inspections["sha256"]))]
    for place in _places(store):
        tables += [_snapshot_records(place, version) for version in versions(place)]
    records = pd.concat(tables, ignore_index=True).astype("string")
    pixels = inspections.dropna(subset=["pixel_sha256"]).drop_duplicates("sha256").set_index("sha256")["pixel_sha256"]
    return records.assign(pixel_sha256=records["sha256"].map(pixels).astype("string"))


def _snapshot_records(store: Store, version: str) -> pd.DataFrame:
    """Return all records of one snapshot, those that it leaves out too."""
    sums = read_sums(store, version)
    manifest = read_table(store, version, "manifest.parquet", sums)
    published = manifest.assign(published=manifest["sha256"], sha256=upstream_files(manifest), version=version)
    excluded = pd.read_csv(io.BytesIO(read_file(store, version, "excluded.csv", sums)), dtype=str)
    both = pd.concat([published.assign(edition=store.edition_name), excluded], ignore_index=True)
    return both.reindex(columns=[*_FACTS, "edition", "version"])


def _inventories(store: Store, images: set[str]) -> pd.DataFrame:
    """Return the files of every inventory that were taken for images, which may be in no snapshot."""
    tables = [pd.DataFrame(columns=[*_FACTS, "edition", "version"])]
    for name in store.list(_SOURCES):
        table = find_sealed_table(store, name)
        if table is not None:
            table = table[table["sha256"].isin(images)].drop_duplicates(["path", "sha256"])
            tables.append(table.assign(source=name.split("/")[2]).reindex(columns=tables[0].columns))
    return pd.concat(tables, ignore_index=True).drop_duplicates(["source", "path", "sha256"])
