"""A store that has a snapshot of schema version 1, whose files had names like the upstream's; then new ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from cxr_snapshot.__main__ import main
from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog.download import download
from cxr_snapshot.catalog.retention import GRACE, plan_prune, prune
from cxr_snapshot.publication.changes import NAMED_ANEW
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import read_seen
from cxr_snapshot.selection.manifest import named_by_content
from cxr_snapshot.store.objects import Store
from support.older_names import schema_version_1
from support.publishers import Prepared, publish_and_verify, publisher_in
from support.stores import copied_bucket

OLDER, RENAMED, NEXT = VERSIONS = ["2026-11-21", "2026-11-22", "2026-11-23"]


@pytest.fixture(scope="module")
def nights(two_plans: Prepared) -> Store:
    """One content under the older names, then under the new ones, then another content; not to be changed."""
    store = copied_bucket(two_plans.store)
    pipeline, (same, other) = publisher_in(store), two_plans.plans
    with schema_version_1():
        assert publish_and_verify(pipeline, {**same, "date": OLDER})
        assert pipeline.publish({**same, "date": OLDER, "fingerprint": "still version 1"}) is None
    assert publish_and_verify(pipeline, {**same, "date": RENAMED, "fingerprint": "version 2"})
    assert pipeline.publish({**same, "date": NEXT, "fingerprint": "nothing new"}) is None
    assert publish_and_verify(pipeline, {**other, "date": NEXT})
    return store


def manifest(store: Store, version: str) -> pd.DataFrame:
    return store.get_table(f"{version}/manifest.parquet")


@pytest.mark.long
def test_the_same_content_is_published_once_more_under_its_new_names(nights: Store) -> None:
    assert catalog.versions(nights) == VERSIONS
    assert [catalog.show(nights, version)["schema_version"] for version in VERSIONS] == [1, 2, 2]
    assert [item["latest"] for item in catalog.list_snapshots(nights)] == [False, False, True]
    older, renamed = manifest(nights, OLDER), manifest(nights, RENAMED)
    assert older["file"].str.contains("__").all()
    assert all(named_by_content(file, sha256) for file, sha256 in zip(renamed["file"], renamed["sha256"], strict=True))
    facts = [table.drop(columns="file").sort_values("sha256", ignore_index=True) for table in (older, renamed)]
    assert facts[0].equals(facts[1])
    digests = {version: catalog.show(nights, version)["content_digest"] for version in VERSIONS}
    assert len(set(digests.values())) == 3
    assert (read_seen(nights, RENAMED) or {})["fingerprint"] == "nothing new"


def test_changes_say_it_in_a_sentence_and_list_every_name(nights: Store) -> None:
    changes = nights.get_json(f"{RENAMED}/changes.json") or {}
    images = len(manifest(nights, RENAMED))
    assert {kind: count for kind, count in changes["counts"].items() if count} == {"renamed": images}
    assert {entry["old_file"] for entry in changes["renamed"]} == set(manifest(nights, OLDER)["file"])
    text = nights.get(f"{RENAMED}/CHANGES.md").decode()
    assert f"{NAMED_ANEW} For this reason alone {images} have another name" in text
    assert "images/" not in text
    later = nights.get_json(f"{NEXT}/changes.json") or {}
    assert later["counts"]["added"] > later["counts"]["renamed"] == 0
    assert NAMED_ANEW not in nights.get(f"{NEXT}/CHANGES.md").decode()


def test_what_stays_has_the_same_name_in_the_next_snapshot(nights: Store) -> None:
    before, after = (manifest(nights, version).set_index("sha256")["file"] for version in (RENAMED, NEXT))
    stayed = before.index.intersection(after.index)
    assert 0 < len(stayed) < len(after)
    assert before[stayed].equals(after[stayed])


def test_versions_of_both_kinds_are_verified_and_downloaded(nights: Store, tmp_path: Path) -> None:
    for version in VERSIONS:
        verify(nights, version, all_images=True)
        download(nights, version, tmp_path / version)
        files = {str(path.relative_to(tmp_path / version)) for path in (tmp_path / version).glob("images/*/*")}
        assert files == set(manifest(nights, version)["file"])


@pytest.mark.long
def test_the_command_line_shows_and_compares_them(
    nights: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXR_BUCKET", nights.bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", nights.client.meta.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("COLUMNS", "300")

    def asked(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
        return capsys.readouterr().out

    counts = json.loads(asked("diff", OLDER, NEXT, "--json"))["counts"]
    assert min(counts["added"], counts["removed"], counts["renamed"]) > 0
    said = asked("diff", OLDER, NEXT)
    assert f"{NAMED_ANEW} For this reason alone {counts['renamed']} have another name." in said
    assert said.count("images/") == counts["added"] + counts["removed"]
    assert f"renamed {counts['renamed']}" in said
    listed = asked("list")
    assert all(version in listed for version in VERSIONS)
    assert "schema_version" in asked("show", OLDER)


@pytest.mark.long
def test_pruning_keeps_the_blobs_of_both(nights: Store) -> None:
    later = datetime.now(UTC) + GRACE + timedelta(hours=1)
    store = copied_bucket(nights)
    prune(store, plan_prune(store, 3, later))
    blobs = {name.rsplit("/", 1)[1] for name in store.list("_work/blobs/")}
    for version in VERSIONS:
        verify(store, version, all_images=True)
        assert set(manifest(store, version)["sha256"]) <= blobs
    prune(store, plan_prune(store, 1, later))
    assert catalog.versions(store) == [NEXT]
    assert store.list(f"{OLDER}/") == {}
    verify(store, NEXT, all_images=True)
