"""Editions share what is fetched and found out, and nothing that is published."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.editions import read_editions
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.store.objects import Store
from support.adult_samples import hannover_commit, nih_members
from support.paths import ROOT
from support.stages import Outcome, run_stages
from support.stores import new_store, read_csv
from support.upstreams import HANNOVER_NAME, NIH_NAME, ServedUpstream, commit_at, served_sample, served_with_hannover
from upstream_simulator.covid_sample import Commit
from upstream_simulator.sample import GIT_NAME, write_repository, write_zip

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

(ADULTS,) = (edition for edition in read_editions(ROOT / "dags/editions.yaml") if edition.name == "adults")


_OF_POLL = ("edition", "force", "as_of", "pins", "accept_shrink")


def night(upstream: ServedUpstream, store: Store, scratch: Path, day: str, **options: Any) -> Outcome:
    """Run all stages; settings of the run are those options that do not belong to ``poll``."""
    polled = {name: options.pop(name) for name in _OF_POLL if name in options}
    return run_stages(upstream.pipeline(store, scratch, **options), f"{day}{polled}", f"{day}T03:00:00+00:00", **polled)


def of_the_default(store: Store) -> dict[str, bytes]:
    """Return what is the default edition's alone, without what names the bucket."""
    own = ("2", "latest.json", *(f"_work/{name}" for name in ("claims/", "seen/", "readings.parquet", "lookalikes/")))
    names = [name for name in store.list("") if name.startswith(own) and not name.endswith(("SHA256SUMS", "_SUCCESS"))]
    return {name: store.get(name).replace(store.bucket.encode(), b"bucket") for name in names}


@pytest.mark.long
def test_the_default_is_the_same_byte_for_byte_whatever_other_editions_do(
    small_sample: Path, s3_client: S3Client, tmp_path: Path
) -> None:
    published = []
    for others in (False, True):
        store, folder = new_store(s3_client), tmp_path / str(others)
        with served_sample(small_sample, folder) as upstream:
            for step, day in ((1, "2026-11-21"), (5, "2026-11-22")):
                upstream.move_to_step(step)
                if others:
                    night(upstream, store, folder, day, edition="try", views="frontal+lateral", max_per_class=3)
                assert night(upstream, store, folder, day).snapshot
                if others:
                    night(upstream, store, folder, day, edition="try", max_per_class=2)
            published.append(of_the_default(store))
            assert night(upstream, store, folder, "2026-11-23").plan is None, "nothing is new for it"
    assert len(published[0]) > 20
    assert published[0] == published[1]
    assert catalog.versions(store.edition("try")) == ["2026-11-21", "2026-11-21.1", "2026-11-22", "2026-11-22.1"]


@pytest.mark.long
def test_another_edition_fetches_and_decodes_nothing_again(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    first = night(sample, store, tmp_path, "2026-11-22")
    pointer, seen = store.get("latest.json"), len(sample.simulator.requests)
    pipeline = sample.pipeline(store, tmp_path, max_per_class=3)
    plan = pipeline.poll("other", "2026-11-23T03:00:00+00:00", edition="other")
    assert plan is not None and plan["edition"] == "other", "what is known to the default edition is new to this one"
    assert [pipeline.ingest(plan, source)["fetched"] for source in pipeline.sources] == [0, 0]
    assert sum(pipeline.inspect(plan, shard)["new"] for shard in range(4)) == 0
    asked = [request.path for request in sample.simulator.requests[seen:]]
    assert len(asked) <= 4, asked
    other = night(sample, store, tmp_path, "2026-11-23", edition="other", max_per_class=3).snapshot
    assert other is not None and first.snapshot is not None
    assert (other["edition"], other["previous"]) == ("other", None)
    assert other["uri"] == store.uri("editions/other/2026-11-23/")
    assert store.get("latest.json") == pointer
    latest, _ = read_latest(store.edition("other"))
    assert latest == other, "which names its edition itself"
    assert "edition" not in first.snapshot, "as before there were editions"
    for name in ("README.md", "CHANGES.md"):
        assert "2026-11-23, edition other" in store.get(f"editions/other/2026-11-23/{name}").decode()
    assert night(sample, store, tmp_path, "2026-11-24", edition="other", max_per_class=3).plan is None


@pytest.mark.long
def test_plans_from_before_there_were_editions_are_of_the_default_one(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    pipeline = sample.pipeline(store, tmp_path)
    plan = pipeline.poll("old", "2026-11-23T03:00:00+00:00")
    assert plan is not None
    del plan["edition"]
    for source in pipeline.sources:
        pipeline.ingest(plan, source)
    for shard in range(4):
        pipeline.inspect(plan, shard)
    for stage in (pipeline.filter, pipeline.balance, pipeline.audit):
        stage(plan)
    snapshot = pipeline.publish(plan)
    assert snapshot is not None and snapshot["uri"] == store.uri("2026-11-23/")


@pytest.mark.long
def test_generated_data_meets_real_data_in_no_edition(
    small_sample: Path, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    assert night(sample, store, tmp_path, "2026-11-22", edition="one").snapshot
    with served_sample(small_sample, tmp_path / "generated", synthetic=True) as generated:
        for name in ("default", "one", "two"):
            with pytest.raises(SettingsError, match=r"holds snapshots of real data, such as editions/one/2026-11-22, "):
                night(generated, store, tmp_path, "2026-11-23", edition=name)


@pytest.mark.long
def test_content_that_comes_back_is_published_again_only_as_the_newest(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    digests = []
    for step, day in ((1, "2026-11-20"), (5, "2026-11-21"), (1, "2026-11-22")):
        sample.move_to_step(step)
        snapshot = night(sample, store, tmp_path, day, accept_shrink=True).snapshot
        assert snapshot is not None
        digests.append(snapshot["content_digest"])
    assert digests[0] == digests[2] != digests[1]
    assert (snapshot["previous"], snapshot["equal_to"]) == ("2026-11-21", "2026-11-20")
    assert read_latest(store)[0] == json.loads(store.get("2026-11-22/snapshot.json"))
    assert "The content is that of 2026-11-20." in store.get("2026-11-22/CHANGES.md").decode()
    assert "equal_to" not in json.loads(store.get("2026-11-21/snapshot.json"))
    before = store.list("2")
    sample.move_to_step(5)
    # A day before all others, on which all was as it is on a later one.
    back = night(sample, store, tmp_path, "2026-11-23", as_of="2026-11-19", force=True)
    assert back.plan is not None and back.snapshot is None
    assert store.list("2") == before
    assert store.get_json("latest.json") is not None


CHILDREN = {"COVID": 3, "PNEUMONIA": 1}  # rows of the COVID collection that say 7 years
LABELS = {
    "00000042_002": "No Finding",
    "00000043_000": "No Finding",
    "00000044_000": "No Finding",
    "00000057_001": "No Finding",
    "00000061_019": "Edema|Pneumonia",
    "00000062_000": "Pneumonia",
    "00000063_000": "Pneumonia",
}
AGES = {"00000042_002": "017Y", "00000043_000": "018Y", "00000044_000": "999Y", "00000062_000": "013M"}


def with_children(commit: Commit) -> tuple[Commit, dict[str, str]]:
    """Return a commit of the COVID collection in which some are children, and the ages of all by file name."""
    lines = commit.files["metadata.csv"].decode().splitlines()
    rows = list(csv.DictReader(lines))
    left = dict(CHILDREN)
    for row in rows:
        kind = {"Pneumonia/Viral/COVID-19": "COVID", "Pneumonia/Viral/SARS": "PNEUMONIA"}.get(row["finding"])
        if kind and row["age"] and left[kind] and (row["modality"], row["view"]) == ("X-ray", "PA"):
            left[kind] -= 1
            row["age"] = "7"
    assert not any(left.values())
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files = commit.files | {"metadata.csv": text.getvalue().encode()}
    return Commit(commit.date, commit.subject, files), {f"images/{row['filename']}": row["age"] for row in rows}


def test_the_edition_of_adults_holds_nobody_who_is_known_to_be_a_child(
    small_sample: Path, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "sample"
    commit, ages = with_children(commit_at(small_sample, 5))
    for name in (GIT_NAME, HANNOVER_NAME, NIH_NAME):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_repository(folder / GIT_NAME, [commit])
    write_repository(folder / HANNOVER_NAME, [hannover_commit({"b343e657": "189daebe"})])
    write_zip(folder / NIH_NAME, nih_members(LABELS, AGES))
    with served_with_hannover(folder) as upstream:
        options = {**ADULTS.settings, "edition": ADULTS.name}
        outcome = night(upstream, store, tmp_path, "2026-11-23", **options)
    snapshot, place = outcome.snapshot, store.edition("adults")
    assert snapshot is not None and outcome.plan is not None
    assert outcome.plan["settings"]["ages"] == snapshot["settings"]["ages"] == "adults"
    excluded = read_csv(place, "2026-11-23/excluded.csv")
    out = excluded[excluded["rule"].eq("not_adult")]
    from_nih = out[out["source"].eq("nih")]
    assert {Path(path).stem: said for path, said in zip(from_nih["path"], from_nih["evidence"], strict=True)} == {
        "00000042_002": "child: 17 years",
        "00000062_000": "child: 1.083 years",
    }
    assert out[out["source"].eq("covid")]["class"].value_counts().to_dict() == CHILDREN, "COVID included"
    assert snapshot["excluded"]["not_adult"] == len(out) == 6
    manifest = read_csv(place, "2026-11-23/manifest.csv")
    known = manifest["age"][manifest["age"].ne("")].astype(float)
    assert known.min() >= 18
    drawn = excluded[excluded["rule"].eq("not_drawn")]
    sound = {*manifest["path"], *drawn["path"]}
    assert {path for path in sound if ages.get(path) == "7"} == set()
    assert {path for path in sound if path.startswith("png/")} == {"png/b343e657.png"}, "of unknown age, and stays"
    stems = {Path(path).stem for path in sound}
    assert stems & LABELS.keys() == LABELS.keys() - {"00000042_002", "00000062_000"}
    unknown = manifest["class"][manifest["age"].eq("")].value_counts()
    assert snapshot["unknown_ages"] == {name: int(unknown.get(name, 0)) for name in snapshot["counts"]}
    sources = manifest.groupby("class")["source"].agg(set).to_dict()
    assert "covid" in sources["PNEUMONIA"] | sources["NORMAL"], "its own other pneumonias and normal images come first"
    card = place.get("2026-11-23/README.md").decode()
    assert "Whoever is known to be younger than 18 years is left out (6 records, rule `not_adult`)." in card
    assert not [name for name in store.folders() if name.startswith("2")], "nothing of the default edition"
