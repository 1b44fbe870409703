"""The whole flow, a method for each stage: poll, ingest, inspect, filter, balance, audit, publish, verify.

Stages share nothing but object storage. Each takes the *plan* that ``poll`` made, reads its tables from the run's
folder and writes its own there, so that any machine can run any stage, again and again, with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.audit import gates
from cxr_snapshot.audit.history import comparable
from cxr_snapshot.audit.overrides import Approval, by_setting, settle, tally
from cxr_snapshot.catalog.retention import clear_old_runs
from cxr_snapshot.errors import GuardError, LostBlobError, SettingsError, VerificationError
from cxr_snapshot.ingestion.delivered import Delivered
from cxr_snapshot.ingestion.ingest import ingest
from cxr_snapshot.inspection.descriptions import Descriptions
from cxr_snapshot.inspection.results import inspect_shard, load_all_inspections
from cxr_snapshot.plan import Plan, day_of, make_plan
from cxr_snapshot.progress import listed
from cxr_snapshot.publication.index import keep_index
from cxr_snapshot.publication.marks import refuse_withdrawn
from cxr_snapshot.publication.question import ask
from cxr_snapshot.publication.release import release
from cxr_snapshot.publication.verification import take_back, verify
from cxr_snapshot.publication.versions import (
    is_behind,
    move_latest,
    read_audit,
    read_base,
    read_pointer,
    read_seen,
    refuse_mixture,
)
from cxr_snapshot.selection.balance import balance
from cxr_snapshot.selection.duplicates import resolve_duplicates
from cxr_snapshot.selection.ledger import JUDGES, in_order, load_ledger, save_ledger
from cxr_snapshot.selection.lookalikes import NUMBERS, find_copies, load_copies
from cxr_snapshot.selection.rules import filter_records, warnings_of
from cxr_snapshot.selection.splits import assign_splits
from cxr_snapshot.settings import ANY_LICENCE, DEFAULT_EDITION, PREFER_UPSTREAM, ZIP_ARCHIVE, Settings
from cxr_snapshot.sources.base import Revision, Source
from cxr_snapshot.store.conditional import require_conditional_writes
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.withdrawals import erased_files, load_withdrawals, withdrawals_digest

log = shown.logger(__name__)

Result = TypeVar("Result")


class Pipeline:
    """The stages over one store and one set of sources.

    Args:
        settings: validated settings of the run.
        store: where everything is kept, as the default edition sees it.
        sources: by name, in a fixed order.
        judges: more of them, of which nothing is published; the audit lets a model name their images.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        sources: Mapping[str, Source],
        judges: Mapping[str, Source] | None = None,
    ) -> None:
        self.settings, self.store, self.sources, self.judges = settings, store, sources, judges or {}

    def poll(
        self,
        run_id: str,
        created: str,
        *,
        as_of: str | None = None,
        pins: Mapping[str, str] | None = None,
        force: bool = False,
        accept_shrink: bool = False,
        triggered_by: str | None = None,
        edition: str = DEFAULT_EDITION,
    ) -> Plan | None:
        """Ask each upstream for its revision, once, and decide whether there is anything to do.

        Where there is, the store's conditional writes are tried on an object for that; nothing else is written.

        Judges are asked only where there is: what is new of them alone changes nothing that is published.

        Args:
            run_id: names the run; equal ids share a folder.
            created: ISO 8601 time at which the run started.
            as_of: a day, ``YYYY-MM-DD``, to name the snapshot by, in place of the day of ``created``; it is compared
                with the newest one up to that day.
            pins: revisions to use in place of the current ones, by source.
            force: work even if nothing is new.
            accept_shrink: publish although a class shrank.
            triggered_by: the user who started the run, where one did; on record where ``accept_shrink`` was used.
            edition: under whose name to publish.

        Returns:
            The plan, or ``None`` when nothing is new.

        Raises:
            SettingsError: ``as_of`` has not come yet; or generated data would meet real data.
            SourceError: an upstream cannot be asked, or does not know a pin.
            StorageError: the store has no conditional writes.
        """
        date, store = day_of(created, as_of), self.store.edition(edition)
        base = read_base(store, date)
        behind = base is not None and as_of is None and is_behind(store, base["version"])
        seen = read_seen(store, base["version"]) if base else None
        last = (seen or base or {}).get("revisions", {})
        found = {
            name: source.resolve(pin=(pins or {}).get(name), last_seen=last.get(name))
            for name, source in self.sources.items()
        }
        plan = make_plan(
            run_id,
            created,
            date,
            {name: revision.id for name, revision in found.items()},
            self.settings.selection(),
            licences={name: revision.license for name, revision in found.items()},
            accept_shrink=accept_shrink,
            triggered_by=triggered_by,
            synthetic=_all_synthetic(found.values()),
            edition=edition,
            withdrawn=withdrawals_digest(load_withdrawals(store)),
        )
        refuse_mixture(store, base, synthetic=plan["synthetic"])
        for name, before in ((base or {}).get("licences") or {}).items():
            if name in found and (now := found[name].license) != before:
                log.warning("%s: the upstream states another licence for the whole: %r, before %r", name, now, before)
        known = {state["fingerprint"] for state in (base, seen) if state}
        if base and not force and not behind and plan["fingerprint"] in known:
            log.info("Nothing new since %s: %s", base["version"], listed(plan["revisions"]))
            return None
        if self.judges:
            judges = {name: source.resolve() for name, source in self.judges.items()}
            _all_synthetic([*found.values(), *judges.values()])
            plan["judges"] = {name: revision.id for name, revision in judges.items()}
        require_conditional_writes(self.store)
        log.info("To be built: %s; tables in %s", listed(plan["revisions"]), self.store.uri(plan["folder"]))
        return plan

    def ingest(self, plan: Plan, source: str) -> dict[str, Any]:
        """Bring the files of a source or judge into the store; see :func:`cxr_snapshot.ingestion.ingest.ingest`.

        Raises:
            SettingsError: the setting ``sources`` or ``judges`` is not what it was when the run was planned.
        """
        delivered = self._delivered(plan, judges=True)
        revision = Revision(source, delivered.revisions[source])
        return self._with_mended(ingest(self.store, delivered.sources[source], revision))

    def inspect(self, plan: Plan, shard: int) -> dict[str, Any]:
        """Decode the images of one of ``INSPECT_SHARDS`` shards that were never decoded."""
        delivered = self._delivered(plan, judges=True)
        images = delivered.images()
        searched = images.loc[images["source"].isin(delivered.searched()), "sha256"]
        return self._with_mended(inspect_shard(self.store, images, shard, searched))

    def filter(self, plan: Plan) -> dict[str, Any]:
        """Make the ledger: label every record, apply the rules, resolve duplicates, assign splits.

        Where there are judges, a second ledger has them too. It is for the audit alone, so that the first one is the
        same with and without them.
        """
        ledger = self._labelled(plan)
        for warning in (warnings := warnings_of(ledger)):
            log.warning(warning)
        found = save_ledger(self.store, plan["folder"], "filtered", ledger) | {"warnings": warnings}
        del ledger  # as large as the one with judges
        if self.judges:
            save_ledger(self.store, plan["folder"], JUDGES, self._labelled(plan, judges=True))
        clear_old_runs(self.store, plan["folder"])
        return self._with_mended(found)

    def balance(self, plan: Plan) -> dict[str, Any]:
        """Cut the classes to equal size."""
        settings = plan["settings"]
        ledger = balance(
            load_ledger(self.store, plan["folder"], "filtered"),
            settings["salt"],
            settings["max_per_class"],
            subtypes=settings["subtypes"],
            prefer_upstream=settings["controls"] == PREFER_UPSTREAM,
        )
        return save_ledger(self.store, plan["folder"], "balanced", ledger)

    def audit(self, plan: Plan, draft: str = "") -> dict[str, Any]:
        """Check the ledger against the sources once more, and the classes against the snapshot before; then measure.

        Args:
            plan: of the run.
            draft: address at which people see what the audit wrote; empty where there is none.

        Returns:
            ``passed``: number of checks that hold; ``checks``: all of them; ``question`` and ``to_approve``: what a
            person must approve before this is published, empty where nothing; see :func:`.publication.question.ask`.
            ``splits``: see ``splits.split_report``.
            ``headline`` and ``figures``: the main results of the report, see ``audit.report.write_report``.

        Raises:
            GuardError: a check failed, and no person may or, by the setting ``approval``, shall decide; nothing will be
                published.
        """
        store, delivered = self._place(plan), self._delivered(plan)
        base = read_base(store, plan["date"])
        before = read_audit(store, base["version"]) if base else None
        earlier = comparable(base, before, plan["settings"])
        checks, splits = self._mending(plan, lambda: gates.run_checks(store, self.settings, plan, delivered, earlier))
        accepted = by_setting([check.as_dict() for check in checks if not check.passed], plan)
        failed = gates.require(
            checks, accepted={each["check"] for each in accepted}, approval=self.settings.approval == "on"
        )
        passed, folder = sum(check.passed for check in checks), plan["folder"]
        log.info("%s for %s", tally(len(checks), passed, accepted), self.store.uri(folder))
        from cxr_snapshot.audit.report import write_report  # takes two seconds and 100 MB, for no check

        def measure() -> dict[str, Any]:
            return write_report(  # holds the ledger alone, so that it can let it go
                store,
                load_ledger(store, folder, "balanced"),
                checks,
                judged=load_ledger(store, folder, JUDGES) if self.judges else None,
                plan=plan,
                splits=splits,
                previous=base,
                before=before,
                overrides=accepted,
            )

        found = self._mending(plan, measure) | {
            "checks": [check.as_dict() for check in checks],
            "splits": splits,
        }
        found |= ask(store, plan, checks, failed, draft)
        return self._with_mended(found)

    def publish(self, plan: Plan, approval: Approval | None = None) -> dict[str, Any] | None:
        """Publish the snapshot, unless its content was published before; see :func:`.publication.release.release`.

        Args:
            plan: of the run.
            approval: the word of the person who was asked, if ``audit`` said that one has to be.

        Returns:
            The dataset version: ``version``, ``uri``, ``revisions``, ``content_digest``, ``counts``, ``audit`` and the
            other facts of ``snapshot.json``; ``None`` when there was nothing to publish.

        Raises:
            GuardError: a check failed, and nobody accepted it; or something was withdrawn since the run was planned.
            MissingObjectError: the run was not audited.
            SettingsError: another run published generated data where this run's is real, or the other way round.
        """
        store = self._place(plan)
        base = read_base(store, plan["date"])
        refuse_mixture(store, base, synthetic=plan["synthetic"])
        if withdrawals_digest(load_withdrawals(store)) != plan.get("withdrawn"):
            raise GuardError(
                "something was withdrawn since this run was planned, so it publishes nothing. Start a new run."
            )

        def work() -> dict[str, Any] | None:
            report = settle(store, plan, approval)
            archive = self.settings.archive == ZIP_ARCHIVE
            # Holds the ledger alone, so that it can let it go.
            return release(store, plan, load_ledger(store, plan["folder"], "balanced"), base, report, archive=archive)

        return self._mending(plan, work)

    def verify(self, version: str, edition: str = DEFAULT_EDITION) -> dict[str, int]:
        """Read the published snapshot back, point the edition's ``latest.json`` at it, and list it in ``index.json``.

        Returns:
            See :func:`cxr_snapshot.publication.verification.verify`.

        Raises:
            VerificationError: something is missing or damaged, or was withdrawn meanwhile. Unless ``latest.json`` names
                the snapshot already, it is taken back.
        """
        store = self.store.edition(edition)
        try:
            found = verify(store, version, all_images=self.settings.verify == "all")
            refuse_withdrawn(store, version)
        except VerificationError as error:
            if read_pointer(store)[0] == version:
                raise
            taken_back = take_back(store, version, error)
            keep_index(store)
            raise taken_back from error
        log.info("Verified %s at %s", listed(found), store.uri(version))
        move_latest(store, version)
        keep_index(store)
        return found

    def _place(self, plan: Plan) -> Store:
        """Return the store as the edition of the run sees it."""
        return self.store.edition(plan.get("edition", DEFAULT_EDITION))

    def _labelled(self, plan: Plan, *, judges: bool = False) -> pd.DataFrame:
        """Return the ledger of what was delivered, columns of ``LEDGER_SCHEMA``: everything but the balance is decided.

        Args:
            plan: of the run.
            judges: with the judges. The licence leaves none of them out, since nothing of theirs is passed on.
        """
        settings, store, delivered = plan["settings"], self._place(plan), self._delivered(plan, judges=judges)
        records = self._mending(plan, delivered.records)
        images = delivered.images()[["sha256", "bytes"]]
        inspections = self._mending(plan, lambda: load_all_inspections(self.store, images))
        rules = {name: settings[name] for name in ("views", "licences", "controls", "ages") if name in settings}
        rules |= {"licences": ANY_LICENCE} if judges else {}
        ledger = filter_records(records, inspections, **rules, withdrawals=load_withdrawals(store))
        del records, inspections  # as large as the ledger
        table, searched, descriptions = JUDGES if judges else NUMBERS, delivered.searched(), Descriptions(store)
        numbers = self._mending(plan, lambda: find_copies(store, ledger, searched, descriptions, table=table))
        pictures = self._mending(plan, lambda: load_copies(ledger, numbers, descriptions))
        ledger = resolve_duplicates(ledger, numbers, pictures, delivered.republished())
        return in_order(assign_splits(ledger, settings["salt"]))

    def _delivered(self, plan: Plan, *, judges: bool = False) -> Delivered:
        """Return what was delivered for a run, by its sources alone or by the judges too.

        Raises:
            SettingsError: the setting ``sources`` or ``judges`` is not what it was when the run was planned.
        """
        more = plan.get("judges", {})
        _check_alike("CXR_SOURCES", self.sources, plan["revisions"])
        _check_alike("CXR_JUDGES", self.judges, more)
        erased = erased_files(load_withdrawals(self.store))
        if not judges:
            return Delivered(self.store, self.sources, plan["revisions"], erased)
        return Delivered(self.store, {**self.sources, **self.judges}, {**plan["revisions"], **more}, erased)

    def _mending(self, plan: Plan, work: Callable[[], Result]) -> Result:
        """Return ``work()``, tried again after the blobs that it found lost were fetched again."""
        try:
            return work()
        except LostBlobError as error:
            log.warning("%s Every file is read now, and what is lost is fetched again", error)
        self._delivered(plan, judges=True).mend()
        return work()

    def _with_mended(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Add to a stage's facts how many damaged objects were made or fetched again, where any were."""
        count = len(set(self.store.damaged))  # who reads a table and who adds to it both find it damaged
        self.store.damaged.clear()
        return facts | ({"mended": count} if count else {})


def _check_alike(variable: str, here: Collection[str], planned: Collection[str]) -> None:
    """Refuse to go on with a plan that was made with other collections.

    Raises:
        SettingsError: it was.
    """
    if set(here) != set(planned):
        now, then = (", ".join(sorted(names)) or "none" for names in (here, planned))
        raise SettingsError(
            f"{variable} names {now}, but this run was planned with {then}. Start a new run; if it says the same, "
            f"set {variable}, or what the edition names in editions.yaml, alike for all parts of Airflow."
        )


def _all_synthetic(found: Collection[Revision]) -> bool:
    """Say whether the data of all upstreams is generated.

    Raises:
        SettingsError: that of some is, and that of others is not.
    """
    generated = [revision.source for revision in found if revision.synthetic]
    if generated and len(generated) < len(found):
        others = [revision.source for revision in found if not revision.synthetic]
        raise SettingsError(
            f"the upstream of {', '.join(generated)} says that its data is generated, that of {', '.join(others)} does "
            "not. Let all CXR_GITHUB_*_URL and CXR_KAGGLE_API_URL lead to the real upstreams, or all to the sample."
        )
    return bool(generated)
