"""A deployment chooses its collections: more of them disturb nothing that is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cxr_snapshot.errors import SettingsError, UpstreamRefusedError
from cxr_snapshot.sources import SOURCES
from cxr_snapshot.store.objects import Store
from support.adult_samples import hannover_commit, nih_members
from support.stages import run_stages
from support.stores import new_store, read_csv
from support.upstreams import HANNOVER_NAME, NIH_NAME, ServedUpstream, served_sample, served_with_hannover
from upstream_simulator.sample import write_repository, write_zip

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALL = "covid,pneumonia,nih,hannover"
LABELS = {
    "00000013_005": "Emphysema|Mass",
    "00000042_002": "No Finding",
    "00000057_001": "No Finding",
    "00000057_002": "Effusion",
    "00000061_019": "Edema|Pneumonia",
}


@pytest.mark.long
def test_the_default_is_the_same_whether_or_not_there_are_more_collections(
    sample: ServedUpstream, s3_client: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = []
    for others in ((), ("nih", "hannover")):
        for name in others:
            monkeypatch.delitem(SOURCES, name)
        store, seen = new_store(s3_client), len(sample.simulator.requests)
        snapshot = run_stages(sample.pipeline(store, tmp_path), "run").snapshot
        assert snapshot is not None
        names = [
            name for name in store.list(f"{snapshot['version']}/") if not name.endswith(("SHA256SUMS", "_SUCCESS"))
        ]
        files = {
            name: store.get(name).replace(store.bucket.encode(), b"bucket") for name in names
        }  # it has another one
        requests = sorted(request.path for request in sample.simulator.requests[seen:] if "storage" not in request.path)
        published.append((files, snapshot["fingerprint"], snapshot["settings"], requests))
    assert published[0] == published[1]
    assert "sources" not in published[0][2]


@pytest.mark.long
def test_more_collections_move_no_image_unless_a_link_joins_two_groups(
    small_sample: Path, store: Store, tmp_path: Path
) -> None:
    with served_sample(small_sample, tmp_path / "sample") as upstream:
        upstream.move_to_step(5)
        first = run_stages(upstream.pipeline(store, tmp_path, max_per_class=None), "one", "2026-11-22T03:00:00+00:00")
    assert first.snapshot is not None
    before = read_csv(store, f"{first.snapshot['version']}/manifest.csv")
    covid = before[before["source"].eq("covid") & before["class"].eq("COVID")].drop_duplicates("group")
    one = covid[covid["split"].eq("train")].iloc[0]
    other = covid[covid["split"].ne("train")].iloc[0]
    patients = {Path(one["path"]).stem: "042f06a9", Path(other["path"]).stem: "042f06a9", "b343e657": "189daebe"}
    folder = tmp_path / "sample"
    (folder / HANNOVER_NAME).parent.mkdir(parents=True)
    write_repository(folder / HANNOVER_NAME, [hannover_commit(patients)])
    (folder / NIH_NAME).parent.mkdir(parents=True)
    write_zip(folder / NIH_NAME, nih_members(LABELS))
    with served_with_hannover(folder) as upstream:
        pipeline = upstream.pipeline(store, tmp_path, max_per_class=None, sources=ALL)
        second = run_stages(pipeline, "two", "2026-11-23T03:00:00+00:00").snapshot
    assert second is not None
    after = read_csv(store, f"{second['version']}/manifest.csv")
    both = before.merge(after, on="sha256", suffixes=("_before", ""))
    assert len(both) == len(before) == 18
    moved = both[both["split"].ne(both["split_before"])]
    (lost,) = {one["group"], other["group"]} - set(after["group"])
    assert set(moved["group_before"]) == {lost}
    assert both.loc[both["group"].ne(both["group_before"]), "group_before"].unique().tolist() == [lost]
    changes = store.get_json(f"{second['version']}/changes.json")
    assert changes is not None
    assert {entry["sha256"] for entry in changes["moved"]} == set(moved["sha256"]) != set()
    assert all(f"group {lost} was merged into" in entry["reason"] for entry in changes["moved"])
    assert_each_row_is_explained(after, read_csv(store, f"{second['version']}/excluded.csv"), patients)


def assert_each_row_is_explained(manifest: pd.DataFrame, excluded: pd.DataFrame, patients: dict[str, str]) -> None:
    rules = {(row.source, row.path): row.rule for row in excluded.itertuples()}
    rules |= {(row.source, row.path): "in" for row in manifest.itertuples()}
    rules = {key: "in" if rule == "not_drawn" else rule for key, rule in rules.items()}
    found = {path.removeprefix("sample/images/"): rule for (source, path), rule in rules.items() if source == "nih"}
    assert {name: rule for name, rule in found.items() if rule != "nested_copy"} == {
        "00000013_005.png": "other_finding",
        "00000042_002.png": "in",
        "00000057_001.png": "patient_of_another_class",
        "00000057_002.png": "other_finding",
        "00000061_019.png": "in",
    }
    assert len(found) == 2 * len(LABELS) + 2
    assert {Path(path).stem: rule for (source, path), rule in rules.items() if source == "hannover"} == {
        stem: "in" if stem == "b343e657" else "near_duplicate_image" for stem in patients
    }


def test_a_run_that_was_planned_with_other_collections_is_refused(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    plan = sample.pipeline(store, tmp_path).poll("run", "2026-11-23T03:00:00+00:00")
    assert plan is not None
    fewer = sample.pipeline(store, tmp_path, sources="covid")
    for stage in (lambda: fewer.ingest(plan, "covid"), lambda: fewer.inspect(plan, 0), lambda: fewer.filter(plan)):
        with pytest.raises(SettingsError, match=r"CXR_SOURCES names covid, but .* planned with covid, pneumonia"):
            stage()


@pytest.mark.parametrize(("source", "constant"), [("nih", "nih.DATASET"), ("hannover", "hannover.REPO")])
def test_a_collection_that_is_gone_is_looked_for_where_it_is_named(
    sample: ServedUpstream, store: Store, tmp_path: Path, source: str, constant: str
) -> None:
    pipeline = sample.pipeline(store, tmp_path, sources=ALL)
    with pytest.raises(UpstreamRefusedError, match=f"Check cxr_snapshot.sources.{constant}"):
        pipeline.sources[source].resolve()


def test_a_renamed_branch_is_looked_for_where_it_is_named(small_sample: Path, store: Store, tmp_path: Path) -> None:
    shutil.copytree(small_sample, tmp_path / "sample")
    git_dir = tmp_path / "sample" / HANNOVER_NAME
    git_dir.parent.mkdir(parents=True)
    write_repository(git_dir, [hannover_commit({"b343e657": "189daebe"})])
    (git_dir / "refs/heads/master").rename(git_dir / "refs/heads/main")
    with served_with_hannover(tmp_path / "sample") as upstream:
        pipeline = upstream.pipeline(store, tmp_path, sources=ALL)
        with pytest.raises(UpstreamRefusedError, match=r"Set cxr_snapshot\.sources\.hannover\.BRANCH"):
            pipeline.sources["hannover"].resolve()
