"""The plan of a run: what ``poll`` decides, for all other stages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from cxr_snapshot import __version__
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import DEFAULT_EDITION
from cxr_snapshot.store.encoding import json_sha256

RUNS = "_work/runs/"

_READABLE = 80  # characters of a run's id in the name of its folder


class Plan(TypedDict):
    """What a run is to build.

    ``run``: the run's name. ``folder``: where its tables are. ``licences``: what each upstream states for the whole of
    its collection, by source; ``None`` where it states none. ``date``: the day in the snapshot's name; the snapshot is
    compared with the newest one up to that day. ``created``: for its record. ``revisions``: pinned id by source.
    ``settings``: those that decide what is in. ``fingerprint``: hash of revisions, settings and code; equal
    fingerprints give equal snapshots. ``accept_shrink``: publish although a class shrank. ``triggered_by``: the user
    who started the run, where one did; on record where that was used. ``synthetic``: whether the upstreams say that
    their data is generated; what is published then says so too. ``edition``: under whose name that is; a plan from
    before there were editions has none, and is of the default one. ``judges``: pinned id of each collection that only
    judges, where there is any; no part of the fingerprint, since nothing of them is published. ``withdrawn``: hash of
    what was taken back until then; only where there is anything.
    """

    run: str
    folder: str
    date: str
    created: str
    revisions: dict[str, str]
    licences: dict[str, str | None]
    settings: dict[str, Any]
    fingerprint: str
    accept_shrink: bool
    triggered_by: str | None
    synthetic: bool
    edition: NotRequired[str]
    withdrawn: NotRequired[str]
    judges: NotRequired[dict[str, str]]


def make_plan(
    run_id: str,
    created: str,
    date: str,
    revisions: Mapping[str, str],
    settings: Mapping[str, Any],
    *,
    licences: Mapping[str, str | None],
    accept_shrink: bool,
    triggered_by: str | None = None,
    synthetic: bool = False,
    edition: str = DEFAULT_EDITION,
    withdrawn: str | None = None,
) -> Plan:
    """Return the plan of a run; equal ids share a folder, others never."""
    plan = Plan(
        run=run_id,
        folder=run_folder(run_id),
        date=date,
        created=created,
        revisions=dict(revisions),
        licences=dict(licences),
        settings=dict(settings),
        fingerprint=fingerprint(revisions, settings, withdrawn),
        accept_shrink=accept_shrink,
        triggered_by=triggered_by,
        synthetic=synthetic,
        edition=edition,
    )
    if withdrawn:
        plan["withdrawn"] = withdrawn
    return plan


def run_folder(run_id: str) -> str:
    """Return where a run keeps its tables. The hash tells ids apart that read alike without their odd characters."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", run_id)[:_READABLE]
    return f"{RUNS}{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"


def is_run_folder(name: str) -> bool:
    """Say whether ``name`` is formed like the last part of a run's folder; then it leads nowhere else."""
    return re.fullmatch(rf"[A-Za-z0-9._-]{{1,{_READABLE}}}-[0-9a-f]{{12}}", name) is not None


def fingerprint(revisions: Mapping[str, str], settings: Mapping[str, Any], withdrawn: str | None = None) -> str:
    """Hash everything that decides what a snapshot holds."""
    what = {"revisions": dict(revisions), "settings": dict(settings), "code": __version__}
    return json_sha256(what | ({"withdrawn": withdrawn} if withdrawn else {}))


def day_of(created: str, as_of: str | None) -> str:
    """Return the day by which a snapshot is named: ``as_of``, or that of ``created``; both ISO 8601.

    Raises:
        SettingsError: ``as_of`` has not come yet.
    """
    today = created[:10]
    if as_of and as_of > today:
        raise SettingsError(f"{as_of} has not come yet. Give a day up to {today} (UTC).")
    return as_of or today
