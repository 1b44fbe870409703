"""Collections of which nothing is published judge a model that was trained on what is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from PIL import Image

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.store.blobs import get_blob
from cxr_snapshot.store.objects import Store
from support.adult_samples import hannover_commit, nih_members
from support.stages import Outcome, run_stages
from support.stores import new_store, read_csv
from support.upstreams import (
    HANNOVER_NAME,
    NIH_NAME,
    ServedUpstream,
    served_sample,
    served_with_hannover,
)
from upstream_simulator.sample import write_repository, write_zip

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

JUDGES = "nih,hannover"
LABELS = {f"{number:08}_000": "No Finding" for number in range(100, 107)} | {"00000061_019": "Edema|Pneumonia"}
COPY, OTHERS = "c0b1e5f2", [f"{number:08x}" for number in range(7)]


@dataclass(frozen=True)
class Night:
    """What a run without judges published, and one with them."""

    upstream: ServedUpstream
    scratch: Path
    plain: tuple[Store, Outcome]
    judged: tuple[Store, Outcome]


@pytest.fixture(scope="module")
def night(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """One of Hannover's films is a smaller copy of a published one."""
    folder = tmp_path_factory.mktemp("judges")
    plain, judged = new_store(s3_client), new_store(s3_client)
    with served_sample(small_sample, folder / "sample") as upstream:
        upstream.move_to_step(5)
        before = run_stages(upstream.pipeline(plain, folder / "scratch", max_per_class=None), "run")
    assert before.snapshot is not None
    manifest = read_csv(plain, f"{before.snapshot['version']}/manifest.csv")
    sha256 = manifest.loc[manifest["class"].eq("COVID"), "sha256"].iloc[0]
    commit = hannover_commit({COPY: "first"} | {name: f"patient{name}" for name in OTHERS} | {"ffffffff": "first"})
    commit.files[f"png/{COPY}.png"] = smaller(get_blob(plain, sha256))
    (folder / "sample" / HANNOVER_NAME).parent.mkdir(parents=True)
    write_repository(folder / "sample" / HANNOVER_NAME, [commit])
    (folder / "sample" / NIH_NAME).parent.mkdir(parents=True)
    write_zip(folder / "sample" / NIH_NAME, nih_members(LABELS))
    with served_with_hannover(folder / "sample") as upstream:
        pipeline = upstream.pipeline(judged, folder / "scratch", max_per_class=None, judges=JUDGES)
        after = run_stages(pipeline, "run")
        yield Night(upstream, folder / "scratch", (plain, before), (judged, after))


def smaller(body: bytes) -> bytes:
    image, file = Image.open(io.BytesIO(body)).convert("L"), io.BytesIO()
    image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(file, "PNG")
    return file.getvalue()


def report_of(night: Night) -> dict[str, object]:
    store, outcome = night.judged
    assert outcome.snapshot is not None
    found = store.get_json(f"{outcome.snapshot['version']}/{REPORT}")
    assert found is not None
    return found


@pytest.mark.long
def test_what_is_published_is_the_same_with_and_without_judges(night: Night) -> None:
    (plain, before), (judged, after) = night.plain, night.judged
    assert before.snapshot is not None
    assert after.snapshot is not None
    version = before.snapshot["version"]
    names = [set(store.list(f"{version}/")) for store in (plain, judged)]
    assert names[0] == names[1]
    same = [name for name in names[0] if "/images/" in name or "/data/" in name or name.endswith(".csv")]
    assert len(same) > 20
    assert all(plain.get(name) == judged.get(name) for name in (*same, f"{version}/manifest.parquet"))
    for key in ("fingerprint", "settings", "revisions", "content_digest", "excluded"):
        assert before.snapshot[key] == after.snapshot[key], key
    assert before.filtered is not None
    assert after.filtered is not None
    assert before.filtered["counts"] == after.filtered["counts"]


@pytest.mark.long
def test_the_audit_says_who_judged_and_leaves_out_who_is_linked(night: Night) -> None:
    external = report_of(night)["external"]
    assert isinstance(external, dict)
    assert night.judged[1].plan is not None
    assert set(external["revisions"]) == set(JUDGES.split(","))
    assert external["revisions"] == night.judged[1].plan["judges"]
    assert (external["revisions"]["nih"], external["called_covid"]["patients"]) == ("4", 7)
    rows = {(row["collection"], row["class"]): (row["images"], row["linked"]) for row in external["judges"]}
    assert rows["hannover", "COVID"] == (7, 2), "the copy, and the other film of its patient"
    assert rows["nih", "NORMAL"] == (7, 0)
    assert rows["nih", "PNEUMONIA"] == (1, 0)


@pytest.mark.long
def test_the_first_thing_on_the_page_is_what_the_model_calls_healthy_adults(night: Night) -> None:
    store, outcome = night.judged
    assert outcome.snapshot is not None
    version, external = outcome.snapshot["version"], outcome.snapshot["audit"]["external"]
    page = store.get(f"{version}/{PAGE}").decode()
    said = external["sentences"][0]
    assert said.startswith("Of 100 healthy adults, a model trained on this calls ")
    assert page.index("<title>A hundred people") < page.index(said) < page.index('aria-label="Verdict"')
    card = " ".join(store.get(f"{version}/README.md").decode().split())
    assert said in card
    assert outcome.snapshot["audit"]["figures"]["called_covid"] == external["called_covid"]["value"]


@pytest.mark.long
def test_without_a_judge_page_and_card_say_what_brings_one(night: Night) -> None:
    store, outcome = night.plain
    assert outcome.snapshot is not None
    version = outcome.snapshot["version"]
    page, card = (store.get(f"{version}/{name}").decode() for name in (PAGE, "README.md"))
    assert "The setting judges (CXR_JUDGES) names collections that bring them." in page
    assert "Whether a model trained on this works elsewhere was not measured." in card
    assert "CXR_JUDGES" not in card
    assert outcome.snapshot["audit"]["external"]["level"] == "unmeasured"


@pytest.mark.long
def test_an_audit_that_is_made_again_finds_the_same(night: Night) -> None:
    store, plan, before = night.judged[0], night.judged[1].plan, report_of(night)
    assert plan is not None
    night.upstream.pipeline(store, night.scratch, max_per_class=None, judges=JUDGES).audit(plan)
    again = store.get_json(f"{plan['folder']}/{REPORT}")
    assert again is not None
    assert {name: again[name] for name in ("external", "probes")} == {
        name: before[name] for name in ("external", "probes")
    }


@pytest.mark.long
def test_on_a_quiet_night_no_judge_is_asked(night: Night) -> None:
    store = night.judged[0]
    seen = len(night.upstream.simulator.requests)
    pipeline = night.upstream.pipeline(store, night.scratch, max_per_class=None, judges=JUDGES)
    assert pipeline.poll("quiet", "2026-11-24T03:00:00+00:00") is None
    asked = [request.path for request in night.upstream.simulator.requests[seen:]]
    assert asked
    assert not [path for path in asked if "nih" in path or "ml-workgroup" in path]


@pytest.mark.long
def test_a_run_that_was_planned_with_other_judges_is_refused(night: Night) -> None:
    store, outcome = night.judged
    assert outcome.plan is not None
    fewer = night.upstream.pipeline(store, night.scratch, max_per_class=None)
    with pytest.raises(SettingsError, match="CXR_JUDGES names none, but this run was planned with hannover, nih"):
        fewer.ingest(outcome.plan, "covid")
    more = night.upstream.pipeline(store, night.scratch, max_per_class=None, judges="nih")
    with pytest.raises(SettingsError, match="CXR_JUDGES names nih, but this run was planned with none"):
        more.filter({key: value for key, value in outcome.plan.items() if key != "judges"})  # type: ignore[arg-type]


@pytest.mark.long
def test_pictures_of_judges_are_in_no_table_that_is_published(night: Night) -> None:
    store, outcome = night.judged
    assert outcome.snapshot is not None
    tables = [read_csv(store, f"{outcome.snapshot['version']}/{name}.csv") for name in ("manifest", "excluded")]
    assert set(pd.concat(tables)["source"]) == {"covid", "pneumonia"}
    assert not {"nih", "hannover"} & set(outcome.snapshot["revisions"])
