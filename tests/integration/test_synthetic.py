"""What the generated sample publishes says what it is, claims nothing of the real collections, and never meets them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.catalog.reading import list_snapshots, show
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.store.objects import Store
from support.stages import EARLIER, balanced_plan, run_stages
from support.stores import new_store, read_csv
from support.upstreams import ServedUpstream, commit_at, served_sample
from support.words import OF_THE_REAL_ONES
from upstream_simulator.covid_sample import Commit
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME, write_repository

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FIRST, SECOND = "2026-11-22", "2026-11-23"
LATER = "2026-11-24T03:00:00+00:00"
FEW_FILES = re.compile(r"metadata\.csv|images/(replaced-film|withdrawn|icu-ward|first-days|late-upload)-.*")
TEXTS = ("README.md", "CHANGES.md", "audit.html", "croissant.json")


def write_few(whole: Path, folder: Path) -> None:
    """Write the second and third commit of a generated sample, with few images, among them all that changed."""
    commits = []
    for commit in (commit_at(whole, 2), commit_at(whole, 3)):
        files = {path: body for path, body in commit.files.items() if FEW_FILES.fullmatch(path)}
        commits.append(Commit(commit.date, commit.subject, files))
    write_repository(folder / GIT_NAME, commits)
    shutil.copytree(whole / KAGGLE_NAME, folder / KAGGLE_NAME)


@pytest.fixture(scope="module")
def few(small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few")
    write_few(small_sample, folder)
    return folder


def published(client: S3Client, sample: Path, folder: Path, *, synthetic: bool) -> Store:
    """Return a store with snapshots of two commits of a sample, with all images."""
    store = new_store(client)
    with served_sample(sample, folder, synthetic=synthetic) as upstream:
        for step, day in ((1, FIRST), (2, SECOND)):
            upstream.move_to_step(step)
            pipeline = upstream.pipeline(store, folder / "scratch", max_per_class=None)
            assert run_stages(pipeline, f"run-{step}", f"{day}T03:00:00+00:00").snapshot
    return store


@pytest.fixture(scope="module")
def generated(s3_client: S3Client, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return published(s3_client, few, tmp_path_factory.mktemp("generated"), synthetic=True)


@pytest.fixture(scope="module")
def taken_for_real(s3_client: S3Client, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return published(s3_client, few, tmp_path_factory.mktemp("real"), synthetic=False)


def words(store: Store, version: str, name: str) -> str:
    """Return what people read of a published text: no pictures, and no names or values of the manifest's columns."""
    text = store.get(f"{version}/{name}").decode()
    if name == "croissant.json":
        return json.dumps(
            {key: value for key, value in json.loads(text).items() if key not in ("@context", "recordSet")}
        )
    if name == "CHANGES.md":
        return text.partition("\n## ")[0]
    text = re.sub(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+", "", text)
    return re.sub(
        r"<details>\s*<summary>(Images by|The \d+ columns)[^<]*</summary>.*?</details>", "", text, flags=re.DOTALL
    )


@pytest.mark.parametrize("version", [FIRST, SECOND])
@pytest.mark.parametrize("name", TEXTS)
def test_every_text_bears_the_banner_and_claims_nothing_of_the_real_ones(
    generated: Store, version: str, name: str
) -> None:
    text = words(generated, version, name)
    assert SYNTHETIC in text
    assert [word for word in OF_THE_REAL_ONES if re.search(word, text, re.IGNORECASE)] == []


@pytest.mark.long
def test_without_the_mark_all_words_on_the_real_ones_are_there(taken_for_real: Store) -> None:
    found = {name: words(taken_for_real, SECOND, name) for name in TEXTS}
    assert not [name for name, text in found.items() if SYNTHETIC in text]
    for name, missing in (
        ("README.md", set()),
        ("croissant.json", set()),
        ("audit.html", {r"adults\s+who", "Guangzhou", "publications", "arXiv", "Cohen"}),
    ):
        gone = {word for word in OF_THE_REAL_ONES if not re.search(word, found[name], re.IGNORECASE)}
        assert gone - {r"\bdoi\b", r"kaggle\.com", "ieee8023", r"creativecommons|CC.BY"} == missing, name


@pytest.mark.long
def test_the_records_say_it_and_those_of_real_data_are_as_before(generated: Store, taken_for_real: Store) -> None:
    for name in ("snapshot.json", "audit.json"):
        ours, theirs = (json.loads(store.get(f"{SECOND}/{name}")) for store in (generated, taken_for_real))
        assert ours["synthetic"] is True, name
        assert set(ours) - set(theirs) == {"synthetic"}, name
    assert [item["synthetic"] for item in list_snapshots(generated)] == [True, True]
    assert [item["synthetic"] for item in list_snapshots(taken_for_real)] == [False, False]
    assert show(generated, SECOND)["synthetic"] is True
    assert set(read_csv(generated, f"{SECOND}/ATTRIBUTION.csv")["source_title"]) == {
        "Generated sample, drawn by a program"
    }


@pytest.mark.long
def test_the_images_are_the_same_with_and_without_the_mark(generated: Store, taken_for_real: Store) -> None:
    for name in ("manifest.csv", "excluded.csv", "changes.json"):
        assert generated.get(f"{SECOND}/{name}") == taken_for_real.get(f"{SECOND}/{name}"), name
    previews = {
        store.get(f"{version}/preview.jpg") for store in (generated, taken_for_real) for version in (FIRST, SECOND)
    }
    assert len(previews) == 4, "each bears its version, and whether it shows drawings"


def test_changes_tell_what_was_replaced_and_what_was_taken_back(generated: Store) -> None:
    changes: dict[str, Any] = json.loads(generated.get(f"{SECOND}/changes.json"))
    old, new = (read_csv(generated, f"{version}/manifest.csv").set_index("path") for version in (FIRST, SECOND))
    [replaced] = changes["replaced"]
    path = "images/replaced-film-62.jpg"
    assert (replaced["old_sha256"], replaced["sha256"]) == (old.loc[path, "sha256"], new.loc[path, "sha256"])
    assert (replaced["old_file"], replaced["file"]) == (old.loc[path, "file"], new.loc[path, "file"])
    [withdrawn] = [each for each in changes["removed"] if each["file"] == old.loc["images/withdrawn-63.jpg", "file"]]
    assert withdrawn["reason"] == "Retracted: the upstream's file is gone; its row is still there."
    text = generated.get(f"{SECOND}/CHANGES.md").decode()
    assert f"| {replaced['file']} | file was {replaced['old_file']} |" in text
    assert generated.get(f"{FIRST}/CHANGES.md").decode().count("Compared") == 0


@pytest.fixture(
    params=[pytest.param(True, id="generated first"), pytest.param(False, id="real first", marks=pytest.mark.long)]
)
def first(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def pipeline(request: pytest.FixtureRequest, sample: ServedUpstream, tmp_path: Path, first: bool) -> Pipeline:
    """A pipeline whose upstream became of the other kind after a snapshot."""
    sample.simulator.synthetic = not first
    sample.move_to_step(2)
    return sample.pipeline(request.getfixturevalue("generated" if first else "first_state"), tmp_path)


def test_poll_refuses_to_compare_one_with_the_other(pipeline: Pipeline, first: bool) -> None:
    theirs, ours = ("generated", "real") if first else ("real", "generated")
    newest = SECOND if first else EARLIER[1][:10]
    said = rf"holds snapshots of {theirs} data, such as {newest}, .* give {ours} data\. Set CXR_PREFIX .*-{ours}, "
    store = pipeline.store
    before = store.list("")
    for options in ({}, {"force": True}, {"as_of": "2026-11-01"}):
        with pytest.raises(SettingsError, match=said):
            pipeline.poll("second", LATER, **options)
    assert store.list("") == before


@pytest.mark.long
def test_with_another_prefix_it_goes_on(pipeline: Pipeline) -> None:
    store = pipeline.store
    elsewhere = Store(store.client, store.bucket, "elsewhere")
    other = Pipeline(pipeline.settings, elsewhere, pipeline.sources)
    assert other.poll("second", LATER) is not None


@pytest.mark.long
def test_a_run_that_began_when_there_was_nothing_refuses_as_well(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    sample.simulator.synthetic = True
    pipeline = sample.pipeline(store, tmp_path)
    plan = balanced_plan(pipeline, "slow")
    pipeline.audit(plan)
    sample.simulator.synthetic = False
    assert run_stages(pipeline, "fast").snapshot
    with pytest.raises(SettingsError, match="holds snapshots of real data"):
        pipeline.publish(plan)


def test_upstreams_of_both_kinds_are_refused(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    sample.simulator.synthetic = True
    with served_sample(tmp_path / "sample", tmp_path / "other") as other:
        mixed = sample.pipeline(store, tmp_path, kaggle_api_url=other.simulator.settings()["kaggle_api_url"])
        with pytest.raises(SettingsError, match="of covid says that its data is generated, that of pneumonia does not"):
            mixed.poll("run", f"{SECOND}T03:00:00+00:00")
