"""The NIH sample and all states of the Hannover collection, beside facts that were counted by other code."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from PIL import Image, ImageOps

from cxr_snapshot.editions import read_editions
from cxr_snapshot.selection.duplicates import clusters_of
from cxr_snapshot.selection.ledger import load_ledger
from cxr_snapshot.selection.splits import moved_between_splits
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.store.objects import Store
from support.paths import REAL_ADULTS, ROOT
from support.stages import balanced_plan, run_stages
from support.stores import new_store
from support.upstreams import HANNOVER_NAME, NIH_NAME, ServedUpstream, commit_at, served_with_hannover
from upstream_simulator.covid_sample import Commit
from upstream_simulator.sample import GIT_NAME, KAGGLE_NAME, write_repository

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not REAL_ADULTS.exists(), reason="the real upstream states are not at hand"),
]

STEPS = (1, 2, 3, 4)
ALL = "covid,pneumonia,nih,hannover"
HANNOVER = "covid-19-image-repository.git"


def expected(name: str) -> pd.DataFrame:
    return pd.read_csv(REAL_ADULTS / name, dtype=str, keep_default_na=False)


def copies() -> pd.DataFrame:
    """Return Hannover's images that the COVID collection has too, and of which patient it says that they are."""
    pairs = expected("hannover_vs_ieee8023.csv")
    pairs = pairs[pairs["same_stem_in_ieee8023_history"].eq("True")].reset_index(drop=True)
    unknown = pd.Series([f"9{number:03}" for number in range(len(pairs))])
    return pairs.assign(patient=pairs["ieee8023_patientid"].mask(pairs["ieee8023_patientid"].eq(""), unknown))


def with_copies(commit: Commit) -> Commit:
    """Return a commit of the COVID collection that has Hannover's images too, cut square as they are there."""
    git = ["git", "--git-dir", str(REAL_ADULTS / HANNOVER)]
    header = commit.files["metadata.csv"].decode().splitlines()[0].split(",")
    files, lines = dict(commit.files), []
    for stem, patient in copies()[["image_id", "patient"]].itertuples(index=False):
        real = REAL_ADULTS / "ieee8023-copies" / f"{stem}.jpg"
        steps = [f"refs/replay/step-{step}:png/{stem}.png" for step in STEPS]
        found = (subprocess.run([*git, "show", name], capture_output=True, check=False).stdout for name in steps)
        files[f"images/{stem}.jpg"] = real.read_bytes() if real.exists() else square(next(filter(None, found)))
        facts = {"patientid": patient, "finding": "Pneumonia/Viral/COVID-19", "view": "AP", "modality": "X-ray"}
        facts |= {"folder": "images", "filename": f"{stem}.jpg"}
        lines.append(",".join(facts.get(name.strip().lower(), "") for name in header))
    files["metadata.csv"] = files["metadata.csv"].rstrip(b"\n") + "\n".join(["", *lines, ""]).encode()
    return Commit(commit.date, commit.subject, files)


def square(png: bytes) -> bytes:
    image, body = Image.open(io.BytesIO(png)), io.BytesIO()
    ImageOps.fit(image, (1000, 1000)).save(body, "JPEG")
    return body.getvalue()


@dataclass(frozen=True)
class Found:
    """What was published before the two collections came, and the ledger of each step of Hannover's after it."""

    upstream: ServedUpstream
    store: Store
    scratch: Path
    before: pd.DataFrame
    after: dict[int, pd.DataFrame]


@pytest.fixture(scope="module")
def found(s3_client: S3Client, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    folder = tmp_path_factory.mktemp("adults")
    shutil.copytree(small_sample / KAGGLE_NAME, folder / KAGGLE_NAME)
    (folder / NIH_NAME).parent.mkdir(parents=True)
    (folder / NIH_NAME).symlink_to(REAL_ADULTS / "nih-chest-xrays-sample.zip")
    (folder / GIT_NAME).parent.mkdir(parents=True)
    write_repository(folder / GIT_NAME, [with_copies(commit_at(small_sample, 5))])
    shutil.copytree(REAL_ADULTS / HANNOVER, folder / HANNOVER_NAME)
    subprocess.run(["chmod", "-R", "u+w", folder / HANNOVER_NAME], check=True)
    store, scratch = new_store(s3_client), folder / "scratch"
    with served_with_hannover(folder) as upstream:
        first = run_stages(upstream.pipeline(store, scratch), "first", "2026-11-20T03:00:00+00:00")
        assert first.plan
        after = {}
        for step in STEPS:
            upstream.move_to_step(step)
            plan = balanced_plan(upstream.pipeline(store, scratch, sources=ALL), f"step-{step}")
            after[step] = load_ledger(store, plan["folder"], "filtered")
        yield Found(upstream, store, scratch, load_ledger(store, first.plan["folder"], "filtered"), after)


def of(ledger: pd.DataFrame, source: str) -> pd.DataFrame:
    return ledger[ledger["source"].eq(source)]


def test_every_row_of_nih_is_there_with_its_facts(found: Found) -> None:
    rows = expected("expected_nih_rows.csv")
    ledger = of(found.after[4], "nih")
    nih = ledger[ledger["metadata_line"].notna()]
    nih = nih.set_index(nih["path"].str.split("/").str[-1])
    rows = rows.set_index("Image Index").loc[nih.index]
    assert len(rows) == 172
    assert nih["finding_kind"].tolist() == rows["group"].tolist()
    assert nih["patient_id"].tolist() == ("nih:" + rows["Patient ID"]).tolist()
    assert nih["view"].tolist() == rows["View Position"].tolist()
    assert nih["sex"].tolist() == rows["Patient Gender"].tolist()
    years = pd.to_numeric(rows["age_years"]).where(rows["age_group"].ne("impossible (>120)"))
    assert nih["age"].fillna(-1).tolist() == years.fillna(-1).tolist()
    assert nih["age"].isna().sum() == 1
    assert nih["sha256"].fillna("").tolist() == rows["sha256"].tolist()
    assert nih["rule"].fillna("in").tolist() == [rule_of(row, rows) for _, row in rows.iterrows()]


def rule_of(row: pd.Series, rows: pd.DataFrame) -> str:
    """Return the rule that leaves a row of NIH's out, by what is expected of it and of its patient's others."""
    theirs = set(rows.loc[rows["Patient ID"].eq(row["Patient ID"]), "group"])
    if row["image_present"] == "False":
        return "missing_file"
    if row["group"] == "other":
        return "other_finding"
    return "patient_of_another_class" if row["group"] == "normal" and theirs != {"normal"} else "in"


def test_of_adults_only_those_who_are_known_to_be_children_are_missing(found: Found) -> None:
    found.upstream.move_to_step(4)
    (edition,) = (each for each in read_editions(ROOT / "dags/editions.yaml") if each.name == "adults")
    plan = balanced_plan(found.upstream.pipeline(found.store, found.scratch, **edition.settings), "adults")
    everybody, adults = found.after[4], load_ledger(found.store, plan["folder"], "filtered")
    rows = expected("expected_nih_rows.csv").set_index("Image Index")
    nih = of(adults, "nih")
    nih = nih[nih["metadata_line"].notna()]
    rows = rows.loc[nih["path"].str.split("/").str[-1]]
    wanted = [
        "not_adult" if rule_of(row, rows) == "in" and row["age_group"].startswith("child") else rule_of(row, rows)
        for _, row in rows.iterrows()
    ]
    assert nih["rule"].fillna("in").tolist() == wanted
    counted = json.loads((REAL_ADULTS / "expected_nih.json").read_text())["adults_only_by_group"]
    sound = nih[nih["rule"].isna() & nih["age"].notna()]["finding_kind"].value_counts()
    assert sound["pneumonia"] == counted["pneumonia"]
    assert sound["normal"] <= counted["normal"], "but for patients of another class"
    for source in ("covid", "hannover"):
        out = of(adults, source)["rule"].eq("not_adult")
        assert of(adults, source)[out]["age"].lt(18).all()
        assert len(of(adults, source)) == len(of(everybody, source))
    assert adults[adults["rule"].isna()]["age"].dropna().min() >= 18


def test_the_groups_of_nih_are_those_that_others_counted(found: Found) -> None:
    counted = json.loads((REAL_ADULTS / "expected_nih.json").read_text())
    ledger = of(found.after[4], "nih")
    nih = ledger[ledger["in_upstream"] & ledger["metadata_line"].notna()]
    assert len(nih) == counted["rows_with_image"]
    for name, column in (("by_group_and_view", "view"), ("by_group_and_sex", "sex")):
        pairs = nih["finding_kind"] + " / " + nih[column]
        assert pairs.value_counts().to_dict() == counted[name]
    adults = nih[nih["age"].between(18, 120)]
    assert adults["finding_kind"].value_counts().to_dict() == counted["adults_only_by_group"]
    assert adults.groupby("finding_kind")["patient_id"].nunique().to_dict() == counted["adults_only_patients"]
    several = nih.groupby("patient_id")["finding_kind"].nunique()
    assert [f"nih:{name}" for name in counted["patients_in_two_groups"]] == sorted(several.index[several > 1])
    without = ledger[ledger["rule"].eq("no_metadata_row")]
    assert [path.split("/")[-1] for path in without["path"]] == counted["images_without_row"]
    copies_of = ledger[ledger["rule"].eq("nested_copy")]["path"].str.split("/").str[-1]
    assert len(copies_of) == counted["images"] + 2
    assert copies_of.eq("sample_labels.csv").sum() == 2
    assert len(ledger) + 1 == counted["members"] + len(counted["rows_without_image"])


def test_every_state_of_hannover_is_there_with_its_facts(found: Found) -> None:
    files = expected("expected_hannover_files.csv")
    for step, ledger in found.after.items():
        hannover = of(ledger, "hannover")
        rows = files[files["step"].eq(str(step))].set_index("image_id")
        stems = hannover["path"].str.removeprefix("png/").str.removesuffix(".png")
        rows = rows.loc[stems]
        assert len(rows) == (files["step"] == str(step)).sum()
        assert hannover["sha256"].tolist() == rows["sha256"].tolist()
        assert hannover["patient_id"].tolist() == ("hannover:" + rows["patient_id"]).tolist()
        assert hannover["view"].tolist() == rows["projection"].tolist()
        assert hannover["sex"].tolist() == rows["sex"].str.upper().tolist()
        assert hannover["age"].isna().all()
        assert hannover["class"].eq("COVID").all()
        known = stems.isin(copies()["image_id"])
        assert hannover["rule"].fillna("in").tolist() == ["near_duplicate_image" if each else "in" for each in known]


def test_what_the_covid_collection_republished_is_one_film_with_it(found: Found) -> None:
    seen = set()
    for ledger in found.after.values():
        shown = ledger[ledger["pixel_sha256"].notna()]
        # As if no picture looked like another: then the names alone say it, also of those that look different.
        apart = {name: number for number, name in enumerate(shown["pixel_sha256"].unique())}
        named = clusters_of(ledger, apart, {"covid": CovidCollection.republishes})
        for clusters in (named, shown["cluster"]):
            pairs = partners(shown, clusters)
            assert pairs == {stem: {stem} for stem in copies()["image_id"] if stem in pairs}
            assert set(pairs) == set(copies()["image_id"]) & set(stems_of(shown, "hannover"))
        seen |= set(pairs)
        assert shown.groupby("cluster")["split"].nunique().max() == 1
        both = shown[shown["source"].isin(["covid", "hannover"]) & stems(shown).isin(pairs)]
        assert both.groupby(stems(both))["group"].nunique().max() == 1
        assert both["rule"].isna().groupby(stems(both)).sum().eq(1).all(), "one of the two stays"
    if set(found.after) == set(STEPS):
        assert len(seen) == 54


def stems(ledger: pd.DataFrame) -> pd.Series:
    return ledger["path"].map(lambda path: Path(path).stem)


def stems_of(ledger: pd.DataFrame, source: str) -> pd.Series:
    return stems(of(ledger, source))


def partners(shown: pd.DataFrame, clusters: pd.Series) -> dict[str, set[str]]:
    """Return for each image of Hannover that is one film with images of the COVID collection, their names."""
    covid, hannover = (of(shown.assign(cluster=clusters, stem=stems(shown)), name) for name in ("covid", "hannover"))
    pairs = hannover.merge(covid, on="cluster")
    return pairs.groupby("stem_x")["stem_y"].agg(set).to_dict()


def test_no_old_image_moves_but_where_a_link_joins_its_group_to_another(found: Found) -> None:
    before, after = (
        each[each["sha256"].notna()].drop_duplicates("sha256").assign(file=each["path"])
        for each in (found.before, found.after[4])
    )
    moved = moved_between_splits(before, after)
    assert 0 < len(moved) < 10, "of 119"
    linked = set(of(after, "hannover")["group"])
    assert set(moved["group"]) <= linked
    assert moved["reason"].str.contains("was merged into").all()


def test_a_snapshot_of_all_four_is_published(found: Found) -> None:
    found.upstream.move_to_step(4)
    pipeline = found.upstream.pipeline(found.store, found.scratch, sources=ALL)
    snapshot = run_stages(pipeline, "all").snapshot
    assert snapshot is not None
    assert set(snapshot["revisions"]) == set(ALL.split(","))
    assert snapshot["revisions"]["nih"] == "4"
    assert snapshot["settings"]["sources"] == "covid,hannover,nih,pneumonia"
    assert snapshot["licences"]["nih"], "what Kaggle says, beside NIH's own terms"
    old = found.before[found.before["rule"].isna()]["class"].value_counts()
    assert {name: count - old[name] for name, count in snapshot["candidates"].items()} == {
        "COVID": 9,
        "NORMAL": 78,
        "PNEUMONIA": 60,
    }
    card = found.store.get(f"{snapshot['version']}/README.md").decode()
    for text in ("NIH Clinical Center", "@misc{winther2020covid19", "@inproceedings{wang2017chestxray8"):
        assert text in card, text
