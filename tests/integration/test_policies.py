"""The policies of docs/policies allow what is asked of the store, and nothing else."""

from __future__ import annotations

import fnmatch
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog import retention
from cxr_snapshot.catalog.download import download
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.store.objects import Store
from support.paths import ROOT
from support.s3_proxy import S3Proxy, S3Request
from support.stages import run_stages
from support.stores import client_of, store_in
from support.upstreams import ServedUpstream
from support.withdrawers import take_back

Need = tuple[str, str, str]  # action, key, prefix of a listing


def needs(request: S3Request) -> list[Need]:
    """Return what a request needs to be allowed, as Amazon's reference of actions says."""
    if request.method == "POST" and "delete" in request.query:
        return [("s3:DeleteObject", key, "") for key in request.deleted]
    if not request.key:
        return [("s3:ListBucket", "", request.query.get("prefix", ""))]
    if request.method == "DELETE":
        return [("s3:AbortMultipartUpload" if "uploadId" in request.query else "s3:DeleteObject", request.key, "")]
    if request.method in ("GET", "HEAD"):
        return [("s3:GetObject", request.key, "")]
    read = [("s3:GetObject", request.copied_from.partition("/")[2], "")] if request.copied_from else []
    return [*read, ("s3:PutObject", request.key, "")]


def matching(policy: dict[str, Any], need: Need) -> list[tuple[str, str]]:
    """Return the grants that allow ``need``: pairs of statement and action."""
    action, key, prefix = need
    found = []
    for statement in policy["Statement"]:
        actions, resources = _list(statement["Action"]), _list(statement["Resource"])
        prefixes = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", ["*"])
        resource = f"arn:aws:s3:::BUCKET/{key}" if key else "arn:aws:s3:::BUCKET"
        if (
            statement["Effect"] == "Allow"
            and action in actions
            and any(fnmatch.fnmatchcase(resource, pattern) for pattern in resources)
            and any(fnmatch.fnmatchcase(prefix, pattern) for pattern in prefixes)
        ):
            found.append((statement["Sid"], action))
    return found


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def policy(name: str, prefix: str) -> dict[str, Any]:
    text = (ROOT / "docs/policies" / f"{name}.json").read_text()
    parsed: dict[str, Any] = json.loads(text.replace("PREFIX", prefix))
    return parsed


@pytest.fixture
def asked(sample: ServedUpstream, store: Store, tmp_path: Path) -> dict[str, list[S3Request]]:
    """What a run, a reader, a person who prunes and one who withdraws ask of the store."""
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        shown = store_in(client_of(proxy.url), store.bucket, store.prefix)
        found = {}
        for step in (1, 2):
            sample.move_to_step(step)
            pipeline = sample.pipeline(shown, tmp_path / "scratch", archive="zip")
            run_stages(pipeline, f"run-{step}", f"2026-11-{step:02d}T03:00:00+00:00")
        run_stages(pipeline, "run-3", "2026-11-03T03:00:00+00:00", edition="other")
        found["writer"] = list(proxy.requests)
        proxy.start_again()
        catalog.list_snapshots(shown)
        catalog.show(shown, "latest")
        catalog.diff(shown, "2026-11-01", "2026-11-02")
        download(shown, "latest", tmp_path / "copy")
        verify(shown, "2026-11-02", all_images=True)
        other = catalog.find_edition(shown, "other")
        catalog.list_snapshots(other)
        download(other, "latest", tmp_path / "other")
        found["reader"] = list(proxy.requests)
        proxy.start_again()
        plan = retention.plan_prune(shown, 1, datetime.now(UTC) + timedelta(days=30))
        assert plan.objects["blobs"] or plan.objects["snapshots"]
        retention.prune(shown, plan)
        found["pruner"] = list(proxy.requests)
        proxy.start_again()
        patient = shown.get_table("2026-11-02/manifest.parquet")["patient_id"].dropna().iloc[0]
        take_back(shown, "patient", patient, erase=True)
        found["withdrawer"] = list(proxy.requests)
    return found


@pytest.mark.long
def test_requests_fit_the_policies(asked: dict[str, list[S3Request]], store: Store) -> None:
    # Not met in these runs: an upload that failed, a snapshot that failed its verification, a run of last week.
    spare = {
        "writer": {
            ("ReadAndWrite", "s3:AbortMultipartUpload"),
            ("TakeBack", "s3:DeleteObject"),
            ("ClearOldRuns", "s3:DeleteObject"),
        }
    }
    for name, requests in asked.items():
        rules = policy(name, store.prefix)
        all_needs = {need for request in requests for need in needs(request)}
        assert all_needs
        assert not [need for need in all_needs if not matching(rules, need)], name
        used = {grant for need in all_needs for grant in matching(rules, need)}
        granted = {
            (statement["Sid"], action) for statement in rules["Statement"] for action in _list(statement["Action"])
        }
        assert granted - used <= spare.get(name, set()), name


def test_readers_see_no_work_and_change_nothing() -> None:
    reader = policy("reader", "covid-cxr")
    for need in (
        ("s3:GetObject", "covid-cxr/_work/blobs/sha256/ab/abcd", ""),
        ("s3:GetObject", "other/latest.json", ""),
        ("s3:ListBucket", "", "covid-cxr/_work/"),
        ("s3:ListBucket", "", ""),
        ("s3:PutObject", "covid-cxr/latest.json", ""),
        ("s3:DeleteObject", "covid-cxr/2026-11-23/_SUCCESS", ""),
    ):
        assert not matching(reader, need), need


def test_the_dag_deletes_nothing_but_tables_of_runs_and_the_mark_of_a_snapshot_that_it_takes_back() -> None:
    writer = policy("writer", "covid-cxr")
    for name in (
        "2026-11-23/_SUCCESS",
        "editions/other/2026-11-23/_SUCCESS",
        "_work/runs/a-0123456789ab/filtered.parquet",
    ):
        assert matching(writer, ("s3:DeleteObject", f"covid-cxr/{name}", "")), name
    for name in (
        "2026-11-23/manifest.csv",
        "2026-11-23/images/COVID/a.jpg",
        "editions/other/2026-11-23/manifest.csv",
        "editions/other/latest.json",
        "latest.json",
        "_work/claims/2026-11-23.json",
    ):
        assert not matching(writer, ("s3:DeleteObject", f"covid-cxr/{name}", "")), name
