"""Reads from the store what the pages show."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cxr_snapshot.audit import REPORT
from cxr_snapshot.catalog.reading import resolve
from cxr_snapshot.errors import DamagedObjectError, MissingObjectError
from cxr_snapshot.plan import RUNS, is_run_folder
from cxr_snapshot.publication.cards import limits
from cxr_snapshot.publication.checksums import read_table
from cxr_snapshot.publication.index import read_index
from cxr_snapshot.publication.loading import Snippet, name_of, snippets
from cxr_snapshot.publication.marks import MARK, read_mark
from cxr_snapshot.publication.versions import is_complete, is_version, read_pointer, version_key
from cxr_snapshot.selection.rules import REASONS
from cxr_snapshot.shown import without_login
from cxr_snapshot.store.encoding import parse_json
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import get_sealed
from snapshot_pages_app.charts import Chart, draw_charts

PER_PAGE = 15  # snapshots on a page of the list; one that index.json does not name takes three requests
EXAMPLES = 3  # shown of each rule
_NEEDED = {"created": str, "counts": dict, "revisions": dict, "settings": dict}  # of ``snapshot.json``, in the list


@dataclass(frozen=True)
class Row:
    """One line of the list.

    Attributes:
        version: its name.
        latest: whether ``latest.json`` names it.
        facts: its ``snapshot.json``, or what ``index.json`` says of it; ``None`` for one that is not complete, or is
            damaged.
        damaged: whether it is complete, and ``snapshot.json`` is not what it should be.
        withdrawn: whether something of it was taken back.
    """

    version: str
    latest: bool
    facts: dict[str, Any] | None
    damaged: bool = False
    withdrawn: bool = False


@dataclass(frozen=True)
class Listing:
    """One page of the list, the newest first."""

    rows: tuple[Row, ...]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-self.total // PER_PAGE)

    @property
    def synthetic(self) -> bool:
        """Whether a snapshot of this page says that its data is generated."""
        return any(row.facts.get("synthetic", False) for row in self.rows if row.facts)


@dataclass(frozen=True)
class Excluded:
    """What one rule left out: how many records, and a few of them."""

    rule: str
    reason: str
    count: int
    examples: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class File:
    """One file for download."""

    name: str
    size: int


@dataclass(frozen=True)
class Shown:
    """All that the page of one snapshot shows.

    Attributes:
        facts: its ``snapshot.json``.
        latest: whether ``latest.json`` names it.
        warning: what to know before using it.
        withdrawn: what was taken back of it; empty for most.
        charts: how the images are spread.
        excluded: by rule, the most frequent first.
        changes: its ``changes.json``.
        audit: its ``audit.json``; ``None`` where there is none.
        files: all but the images.
        images: number of the image files.
        bytes: size of everything.
        endpoint: address of the store as Airflow's web server sees it.
        own_store: whether that is a store other than Amazon's.
        ways: how to load it; the first copies it.
    """

    facts: dict[str, Any]
    latest: bool
    warning: str
    withdrawn: str
    charts: tuple[Chart, ...]
    excluded: tuple[Excluded, ...]
    changes: dict[str, Any]
    audit: dict[str, Any] | None
    files: tuple[File, ...]
    images: int
    bytes: int
    endpoint: str
    own_store: bool
    ways: tuple[Snippet, ...]


def list_snapshots(store: Store, page: int) -> Listing:
    """Return page ``page``, counted from 1, of the list, with snapshots that are not complete.

    Which there are, the store's listing says, and what they are, ``index.json``.
    """
    found = sorted(filter(is_version, store.folders()), key=version_key, reverse=True)
    latest, _ = read_pointer(store)
    indexed = {item["version"]: item for item in read_index(store) or () if item["edition"] == store.edition_name}
    here = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    known = {name: Row(name, name == latest, item, withdrawn=bool(item["withdrawn"])) for name, item in indexed.items()}
    rows = tuple(row for _, row in bounded_map(lambda name: known.get(name) or _row(store, name, name == latest), here))
    return Listing(rows, len(found), page)


def load_snapshot(store: Store, version: str) -> Shown:
    """Return what the page of one snapshot shows; ``latest`` stands for the one that ``latest.json`` names.

    Raises:
        MissingObjectError: there is no such snapshot, or it is not complete.
    """
    version = resolve(store, version)
    manifest = read_table(store, version, "manifest.parquet")
    excluded = pd.read_csv(io.BytesIO(store.get(f"{version}/excluded.csv")), dtype=str)
    facts = load_facts(store, version)
    listed = {name.removeprefix(f"{version}/"): item for name, item in store.list(f"{version}/").items()}
    endpoint = without_login(str(store.client.meta.endpoint_url))
    mark, marked = read_mark(store, version)
    return Shown(
        facts=facts,
        latest=read_pointer(store)[0] == version,
        warning=limits(manifest, synthetic=facts.get("synthetic", False)),
        withdrawn=mark.sentence if marked else "",
        charts=draw_charts(manifest),
        excluded=_by_rule(excluded),
        changes=_json(store, f"{version}/changes.json"),
        audit=store.get_json(f"{version}/{REPORT}"),
        files=tuple(File(name, item.size) for name, item in sorted(listed.items()) if not name.startswith("images/")),
        images=sum(name.startswith("images/") for name in listed),
        bytes=sum(item.size for item in listed.values()),
        endpoint=endpoint,
        own_store=not re.search(r"\.amazonaws\.com(\.cn)?$", endpoint),
        ways=tuple(snippets(facts["uri"], name_of(facts), facts["splits"])),
    )


def load_facts(store: Store, version: str) -> dict[str, Any]:
    """Return ``snapshot.json`` of a complete snapshot."""
    return _json(store, f"{version}/snapshot.json")


def load_draft(store: Store, run: str, name: str) -> bytes:
    """Return a file that the audit of a run wrote.

    Args:
        store: where the run's folder is.
        run: the last part of that folder's name.
        name: of the file.

    Raises:
        MissingObjectError: there is no such run, or it wrote no such file, or it is long ago.
    """
    if not is_run_folder(run):
        raise MissingObjectError(f"{run} is no name of a run. Follow the link under Required actions in Airflow.")
    return get_sealed(store, f"{RUNS}{run}/{name}", "The tables of old runs are deleted; clear the task audit.")


def download_address(store: Store, version: str, name: str, *, seconds: int) -> str:
    """Return an address at the store from which a browser saves a file of a snapshot, without further keys.

    Args:
        store: where it is.
        version: a complete snapshot, or ``latest``.
        name: path within the snapshot.
        seconds: how long the address works.

    Raises:
        MissingObjectError: there is no such snapshot or file.
    """
    version = resolve(store, version)
    if not store.exists(f"{version}/{name}"):
        raise MissingObjectError(f"{version} has no file {name}. Choose one from the snapshot's page.")
    saved_as = re.sub(r"[^A-Za-z0-9._-]", "_", name.rpartition("/")[2])
    return store.client.generate_presigned_url(
        "get_object",
        Params={
            "Bucket": store.bucket,
            "Key": store.key(f"{version}/{name}"),
            "ResponseContentDisposition": f'attachment; filename="{saved_as}"',
        },
        ExpiresIn=seconds,
    )


def _row(store: Store, version: str, latest: bool) -> Row:
    if not is_complete(store, version):
        return Row(version, latest, None)
    try:
        facts = load_facts(store, version)
    except (DamagedObjectError, MissingObjectError):
        facts = {}
    sound = all(isinstance(facts.get(name), kind) for name, kind in _NEEDED.items())
    withdrawn = store.exists(f"{version}/{MARK}")
    return Row(version, latest, facts if sound else None, damaged=not sound, withdrawn=withdrawn)


def _json(store: Store, name: str) -> dict[str, Any]:
    return parse_json(store.get(name), store.uri(name))


def _by_rule(excluded: pd.DataFrame) -> tuple[Excluded, ...]:
    """Group what was left out by rule, the most frequent first."""
    groups = [(str(rule), rows) for rule, rows in excluded.fillna("").groupby("rule")]
    return tuple(
        Excluded(rule, REASONS.get(rule) or str(rows["reason"].iloc[0]), len(rows), tuple(_examples(rows)))
        for rule, rows in sorted(groups, key=lambda group: -len(group[1]))
    )


def _examples(rows: pd.DataFrame) -> list[dict[str, str]]:
    """Return some rows: those that say most, since many rules give no evidence."""
    names = ["source", "path", "metadata_line", "class", "finding", "view", "evidence"]
    chosen = rows.sort_values("evidence", key=lambda column: column.eq(""), kind="stable").head(EXAMPLES)
    return [{str(name): str(value) for name, value in row.items()} for row in chosen[names].to_dict("records")]
