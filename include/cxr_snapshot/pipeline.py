"""The whole flow, a method for each stage: poll, ingest, inspect, filter, balance, audit, publish, verify.

Stages share nothing but object storage. Each takes the *plan* that ``poll`` made, reads its tables from the run's
folder and writes its own there, so that any machine can run any stage, again and again, with the same result.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypedDict

import pandas as pd

from cxr_snapshot import __version__
from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.audit.gates import (
    Check,
    candidate_counts,
    check_classes,
    check_labels,
    check_ledger,
    check_pictures,
    check_splits,
    describe,
    previous_candidates,
    require,
)
from cxr_snapshot.balancing import balance, class_counts
from cxr_snapshot.deduplication import resolve_duplicates
from cxr_snapshot.drafting import build_draft
from cxr_snapshot.errors import MissingObjectError, SettingsError
from cxr_snapshot.filtering import excluded_by_rule, filter_records, warnings_of
from cxr_snapshot.ingest import ingest, load_inventory
from cxr_snapshot.inspection import PARTITIONS, inspect_blobs, load_inspections
from cxr_snapshot.lookalikes import find_lookalikes
from cxr_snapshot.manifest import build_manifest, content_digest, excluded_records
from cxr_snapshot.models import LEDGER_SCHEMA
from cxr_snapshot.publishing import publish, read_base
from cxr_snapshot.records import METADATA_PATH
from cxr_snapshot.settings import INSPECT_SHARDS, PREFER_UPSTREAM, ZIP_ARCHIVE, Settings
from cxr_snapshot.sources.base import Revision, Source
from cxr_snapshot.splitting import assign_splits, split_report
from cxr_snapshot.storage import Store, blob_name, json_bytes
from cxr_snapshot.verification import verify

log = logging.getLogger(__name__)

_SEEN = "_work/seen/"


class Plan(TypedDict):
    """What ``poll`` decided, for all other stages.

    ``folder``: where the run's tables are. ``date``: the day in the snapshot's name; the snapshot is compared with the
    newest one up to that day. ``created``: for its record. ``revisions``: pinned id by source.
    ``settings``: those that decide what is in. ``fingerprint``: hash of revisions, settings and code; equal
    fingerprints give equal snapshots. ``accept_shrink``: publish although a class shrank.
    """

    folder: str
    date: str
    created: str
    revisions: dict[str, str]
    settings: dict[str, Any]
    fingerprint: str
    accept_shrink: bool


class Pipeline:
    """The stages over one store and one set of sources.

    Args:
        settings: validated settings of the run.
        store: where everything is kept.
        sources: by name, in a fixed order.
    """

    def __init__(self, settings: Settings, store: Store, sources: Mapping[str, Source]) -> None:
        self.settings, self.store, self.sources = settings, store, sources

    def poll(
        self,
        run_id: str,
        created: str,
        *,
        as_of: str | None = None,
        pins: Mapping[str, str] | None = None,
        force: bool = False,
        accept_shrink: bool = False,
    ) -> Plan | None:
        """Ask each upstream for its revision, once, and decide whether there is anything to do. Writes nothing.

        Args:
            run_id: names the run; equal ids share a folder.
            created: ISO 8601 time at which the run started.
            as_of: a day, ``YYYY-MM-DD``, to name the snapshot by, in place of the day of ``created``; it is compared
                with the newest one up to that day.
            pins: revisions to use in place of the current ones, by source.
            force: work even if nothing is new.
            accept_shrink: publish although a class shrank.

        Returns:
            The plan, or ``None`` when nothing is new.

        Raises:
            SettingsError: ``as_of`` has not come yet.
            SourceError: an upstream cannot be asked, or does not know a pin.
        """
        date = as_of or created[:10]
        if date > created[:10]:
            raise SettingsError(f"{date} has not come yet. Give a day up to {created[:10]} (UTC).")
        base = read_base(self.store, date)
        seen = self.store.get_json(_seen_name(base["version"])) if base else None
        last = (seen or base or {}).get("revisions", {})
        revisions = {
            name: source.resolve(pin=(pins or {}).get(name), last_seen=last.get(name)).id
            for name, source in self.sources.items()
        }
        settings = self.settings.selection()
        fingerprint = _fingerprint(revisions, settings)
        done = {state["fingerprint"] for state in (base, seen) if state}
        if base and fingerprint in done and not force:
            log.info("Nothing new since %s: %s", base["version"], _listed(revisions))
            return None
        folder = f"_work/runs/{re.sub(r'[^A-Za-z0-9._-]+', '_', run_id)}"
        log.info("To be built: %s; tables in %s", _listed(revisions), self.store.uri(folder))
        return Plan(
            folder=folder,
            date=date,
            created=created,
            revisions=revisions,
            settings=settings,
            fingerprint=fingerprint,
            accept_shrink=accept_shrink,
        )

    def ingest(self, plan: Plan, source: str) -> dict[str, Any]:
        """Bring one source's files into the store; see :func:`cxr_snapshot.ingest.ingest`."""
        return ingest(self.store, self.sources[source], Revision(source, plan["revisions"][source]))

    def inspect(self, plan: Plan, shard: int) -> dict[str, int]:
        """Decode the blobs of one of ``INSPECT_SHARDS`` shards that were never decoded."""
        inventories = pd.concat([self._inventory(plan, name) for name in self.sources])
        blobs = inventories.loc[inventories["path"].ne(METADATA_PATH), "sha256"].dropna().unique()
        return inspect_blobs(self.store, PARTITIONS[shard::INSPECT_SHARDS], list(blobs))

    def filter(self, plan: Plan) -> dict[str, Any]:
        """Make the ledger: label every record, apply the rules, resolve duplicates, assign splits."""
        settings = plan["settings"]
        rules = {name: settings[name] for name in ("views", "licences", "controls")}
        ledger = filter_records(self._all_records(plan), load_inspections(self.store), **rules)
        ledger = resolve_duplicates(ledger, find_lookalikes(self.store, ledger["phash"].dropna()))
        ledger = assign_splits(ledger, settings["salt"])
        ledger = ledger.sort_values(["source", "path", "metadata_line"], na_position="last", ignore_index=True)
        for warning in (warnings := warnings_of(ledger)):
            log.warning(warning)
        return self._save_ledger(plan, "filtered", ledger) | {"warnings": warnings}

    def balance(self, plan: Plan) -> dict[str, Any]:
        """Cut the classes to equal size."""
        settings = plan["settings"]
        ledger = balance(
            self._ledger(plan, "filtered"),
            settings["salt"],
            settings["max_per_class"],
            subtypes=settings["subtypes"],
            prefer_source="covid" if settings["controls"] == PREFER_UPSTREAM else None,
        )
        return self._save_ledger(plan, "balanced", ledger)

    def audit(self, plan: Plan) -> dict[str, Any]:
        """Check the ledger against the sources once more, and the classes against the snapshot before; then measure.

        Returns:
            ``passed``: number of checks that hold; ``checks``: all of them; ``to_approve``: what a person must approve
            before this is published, in Markdown; empty where nothing. ``splits``: see ``splitting.split_report``.
            ``headline`` and ``figures``: the main results of the report, see ``audit.report.write_report``.

        Raises:
            GuardError: a check failed, and no person may or, by the setting ``approval``, shall decide; nothing will be
                published.
        """
        base = read_base(self.store, plan["date"])
        checks, splits = self._checks(plan, base)
        require(checks, approval=self.settings.approval == "on")
        failed = [check for check in checks if not check.passed]
        passed = len(checks) - len(failed)
        log.info("%d of %d checks passed for %s", passed, len(checks), self.store.uri(plan["folder"]))
        from cxr_snapshot.audit.report import write_report  # takes two seconds and 100 MB, for no check

        facts = {"revisions": plan["revisions"], "settings": plan["settings"], "splits": splits}
        found = write_report(
            self.store, self._ledger(plan, "balanced"), checks, facts=facts, previous=base, folder=plan["folder"]
        )
        log.info("%s Read %s", found["headline"], self.store.uri(f"{plan['folder']}/{PAGE}"))
        results = [check.as_dict() for check in checks]
        return found | {"checks": results, "to_approve": describe(failed), "splits": splits}

    def _checks(self, plan: Plan, base: Mapping[str, Any] | None) -> tuple[list[Check], dict[str, Any]]:
        """Return the results of all checks, and how the images fall into the splits."""
        # Before the ledger is here, and no more of it than is needed: each of the two takes much memory.
        records, paths = self._all_records(plan)[["metadata_line"]], self._all_paths(plan)
        ledger = self._ledger(plan, "balanced")
        published, lookalikes = ledger[ledger["rule"].isna()], find_lookalikes(self.store, ledger["phash"].dropna())
        splits = split_report(published)
        checks = [
            *check_ledger(ledger, records, paths),
            *check_pictures(published, lookalikes, plan["settings"]["views"]),
            *check_splits(splits),
            *check_classes(
                candidate_counts(ledger),
                class_counts(ledger),
                previous_candidates(base, plan["settings"]),
                self.settings.max_shrink,
                accept_shrink=plan["accept_shrink"],
            ),
            check_labels(ledger, self.settings.max_unknown),
        ]
        return checks, splits

    def publish(self, plan: Plan) -> dict[str, Any] | None:
        """Publish the snapshot, unless its content equals that of the one before; that is remembered as seen.

        Returns:
            The dataset version: ``version``, ``uri``, ``revisions``, ``content_digest``, ``counts``, ``audit`` and the
            other facts of ``snapshot.json``; ``None`` when there was nothing to publish.

        Raises:
            MissingObjectError: the run was not audited.
        """
        ledger, base = self._ledger(plan, "balanced"), read_base(self.store, plan["date"])
        manifest, excluded = build_manifest(ledger), excluded_records(ledger)
        digest = content_digest(manifest)
        if base and base["content_digest"] == digest:
            if (base["fingerprint"], base["created"]) == (plan["fingerprint"], plan["created"]):
                log.info("This run published %s before; its answer was lost", base["version"])
                return base
            log.info("The content equals that of %s at %s; nothing to publish", base["version"], base["uri"])
            seen = {"revisions": plan["revisions"], "fingerprint": plan["fingerprint"]}
            self.store.put_json(_seen_name(base["version"]), seen)
            return None
        facts = {
            "revisions": plan["revisions"],
            "settings": plan["settings"],
            "fingerprint": plan["fingerprint"],
            "code_version": __version__,
            "content_digest": digest,
            "counts": class_counts(ledger),
            "candidates": candidate_counts(ledger),
            "excluded": excluded_by_rule(ledger),
        }
        folder, report = plan["folder"], self._report(plan)
        del ledger  # as large as the tables that were made of it
        draft = build_draft(self.store, manifest, excluded, facts, previous=base, folder=folder, report=report)
        draft = replace(draft, archive=self.settings.archive == ZIP_ARCHIVE)
        snapshot = publish(self.store, draft, plan["date"], plan["created"], base["version"] if base else None)
        log.info("Published %s at %s: %s", snapshot["version"], snapshot["uri"], _listed(snapshot["counts"]))
        return snapshot

    def verify(self, version: str) -> dict[str, int]:
        """Read the published snapshot back; see :func:`cxr_snapshot.verification.verify`."""
        found = verify(self.store, version, all_images=self.settings.verify == "all")
        log.info("Verified %s at %s", _listed(found), self.store.uri(version))
        return found

    def _inventory(self, plan: Plan, source: str) -> pd.DataFrame:
        revision = Revision(source, plan["revisions"][source])
        inventory = load_inventory(self.store, revision)
        if inventory is None:
            raise MissingObjectError(f"{source} {revision.id} was not ingested. Clear the task ingest and run again.")
        return inventory

    def _all_records(self, plan: Plan) -> pd.DataFrame:
        """Return the records of every source, as ledger rows to which no rule was applied yet."""
        tables = []
        for name, source in self.sources.items():
            inventory = self._inventory(plan, name)
            records = source.records(inventory, self._reader(inventory))
            tables.append(records.assign(revision=plan["revisions"][name]))
        return pd.concat(tables, ignore_index=True)

    def _reader(self, inventory: pd.DataFrame) -> Callable[[str], bytes]:
        """Return what reads the stored bytes of a path of ``inventory``."""
        blobs = dict(zip(inventory["path"], inventory["sha256"], strict=True))
        return lambda path: self.store.get(blob_name(blobs[path]))

    def _all_paths(self, plan: Plan) -> set[tuple[str, str]]:
        """Return source and path of every file that was delivered, the metadata itself left out."""
        paths = {(name, path) for name in self.sources for path in self._inventory(plan, name)["path"]}
        return {(name, path) for name, path in paths if path != METADATA_PATH}

    def _report(self, plan: Plan) -> dict[str, bytes]:
        """Return the files that ``audit`` wrote, by name."""
        try:
            return {name: self.store.get(f"{plan['folder']}/{name}") for name in (REPORT, PAGE)}
        except MissingObjectError as error:
            raise MissingObjectError(f"{error} The run was not audited. Clear the task audit and run again.") from None

    def _ledger(self, plan: Plan, stage: str) -> pd.DataFrame:
        return self.store.get_table(f"{plan['folder']}/{stage}.parquet")

    def _save_ledger(self, plan: Plan, stage: str, ledger: pd.DataFrame) -> dict[str, Any]:
        """Keep the ledger for the next stage and return small facts about it."""
        name = f"{plan['folder']}/{stage}.parquet"
        self.store.put_table(name, ledger, LEDGER_SCHEMA)
        counts, excluded = class_counts(ledger), excluded_by_rule(ledger)
        log.info("%s; excluded %s; table %s", _listed(counts), _listed(excluded) or "nothing", self.store.uri(name))
        return {"ledger": self.store.uri(name), "counts": counts, "excluded": excluded}


def _seen_name(version: str) -> str:
    """Return where it is kept that newer revisions gave the same content as this version."""
    return f"{_SEEN}{version}.json"


def _fingerprint(revisions: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """Hash everything that decides what a snapshot holds."""
    state = {"revisions": dict(revisions), "settings": dict(settings), "code": __version__}
    return hashlib.sha256(json_bytes(state)).hexdigest()


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
