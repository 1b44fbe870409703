"""The stage ``publish``: from the balanced ledger to a published snapshot, unless there is nothing new in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from cxr_snapshot import __version__, shown
from cxr_snapshot.errors import DamagedObjectError
from cxr_snapshot.inspection.forms import form_of_files
from cxr_snapshot.inspection.uniform import UniformFiles, check_files, make_files
from cxr_snapshot.plan import Plan
from cxr_snapshot.progress import listed
from cxr_snapshot.publication.cards import unknown_ages
from cxr_snapshot.publication.draft import build_draft
from cxr_snapshot.publication.protocol import publish
from cxr_snapshot.publication.readings import divide, note_read
from cxr_snapshot.publication.versions import LATEST, find_equal, is_behind, is_older, remember_seen
from cxr_snapshot.selection.balance import candidate_counts, class_counts, withdrawn_counts
from cxr_snapshot.selection.manifest import build_manifest, content_digest, excluded_records
from cxr_snapshot.selection.rules import excluded_by_rule
from cxr_snapshot.settings import ADULTS_ONLY, DEFAULT_EDITION
from cxr_snapshot.store.objects import Store

log = shown.logger(__name__)


def release(
    store: Store,
    plan: Plan,
    ledger: pd.DataFrame,
    base: dict[str, Any] | None,
    report: Mapping[str, bytes],
    *,
    archive: bool,
) -> dict[str, Any] | None:
    """Publish the snapshot, unless its content equals that of the one before; that is remembered as seen.

    Where it equals that of another one, it is published again only if it is to be the newest: ``latest.json`` must lead
    to what holds now, and moves only forwards. ``equal_to`` then names the other one.

    Args:
        store: where to; the edition's place.
        plan: of the run.
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        base: ``snapshot.json`` of the snapshot to compare with, or ``None``.
        report: ``audit.json`` and ``audit.html`` as they are published.
        archive: whether the snapshot also holds itself as one zip.

    Returns:
        The content of ``snapshot.json``; ``None`` when there was nothing to publish.

    Raises:
        DamagedObjectError: a uniform file was damaged and cannot be made as it was.
        LostBlobError: the blob of an image is missing or damaged.
    """
    form = form_of_files(plan["settings"])
    files = None if form is None else UniformFiles(store, form)
    is_in = ledger["rule"].isna()
    # None are made where the upstreams' own files are published.
    made = make_files(files, ledger.loc[is_in, "sha256"].tolist()) if files else pd.DataFrame()
    manifest, excluded = build_manifest(ledger, made), excluded_records(ledger)
    digest = content_digest(manifest)
    if base and base["content_digest"] == digest:
        return _nothing_new(store, plan, base)
    twin = find_equal(store, digest)
    if twin and is_older(store, plan["date"]):
        log.info("The content equals that of %s at %s; nothing to publish", twin, store.uri(f"{twin}/"))
        return None
    today = plan["created"][:10]
    unread, trusted = divide(store, manifest, today, form)
    if files:
        check_files(files, made.loc[unread["sha256"]])
    facts = {
        "revisions": plan["revisions"],
        "licences": plan["licences"],
        "settings": plan["settings"],
        "fingerprint": plan["fingerprint"],
        "code_version": __version__,
        "content_digest": digest,
        "counts": class_counts(ledger),
        "candidates": candidate_counts(ledger),
        "excluded": excluded_by_rule(ledger),
    }
    facts |= {"edition": store.edition_name} if store.edition_name != DEFAULT_EDITION else {}
    facts |= {"equal_to": twin} if twin else {}
    facts |= {"withdrawn": withdrawn} if (withdrawn := withdrawn_counts(ledger)) else {}
    facts |= {"synthetic": True} if plan["synthetic"] else {}
    facts |= {"unknown_ages": unknown_ages(manifest)} if plan["settings"].get("ages") == ADULTS_ONLY else {}
    del ledger  # as large as the tables that were made of it
    draft = build_draft(store, manifest, excluded, facts, previous=base, folder=plan["folder"], report=report)
    draft = replace(draft, archive=archive)
    previous = base["version"] if base else None
    known = set(manifest.loc[manifest["source_sha256"].isin(trusted["sha256"]), "sha256"])
    try:
        snapshot = publish(store, draft, plan["date"], plan["created"], previous, trusted=known)
    except DamagedObjectError:
        if not files:
            raise
        check_files(files, made)  # one of those that need not be read has changed, and was read all the same
        snapshot = publish(store, draft, plan["date"], plan["created"], previous, trusted=known)
    note_read(store, unread, trusted, today, form)
    log.info("Published %s at %s: %s", snapshot["version"], snapshot["uri"], listed(snapshot["counts"]))
    return snapshot


def _nothing_new(store: Store, plan: Plan, base: dict[str, Any]) -> dict[str, Any] | None:
    """Return ``base`` if it still is to be verified; else remember that it is still the newest.

    It is where this run published it and its answer was lost, and where ``latest.json`` does not name it although it
    is the newest: then nobody has verified it, or the pointer was damaged.
    """
    if (base["fingerprint"], base["created"]) == (plan["fingerprint"], plan["created"]):
        log.info("This run published %s before; its answer was lost", base["version"])
        return base
    if is_behind(store, base["version"]):
        log.warning("%s does not name %s, the newest complete snapshot; that is verified", LATEST, base["version"])
        return base
    log.info("The content equals that of %s at %s; nothing to publish", base["version"], base["uri"])
    remember_seen(store, base["version"], plan["revisions"], plan["fingerprint"])
    return None
