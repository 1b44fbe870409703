"""States of the real collections, night after night, beside facts that were counted by other code."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cxr_snapshot.publication.versions import read_latest
from support.nights import Nights, replay
from support.paths import REAL_DATA, ROOT
from support.rules_doc import DOCUMENT, STEPS, UPDATE, counts_of, with_table
from support.stores import new_store, read_csv
from support.upstreams import served_real

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand"),
]

WITHOUT_ROW = {  # images of the last step; one is there to catch those who take every image
    "MERS-CoV-1-s2.0-S0378603X1500248X-gr4e.jpg",
    "auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US.jpg",
}
QUIET = {3, 7}  # change no image, no class and no published column


@pytest.fixture(scope="module")
def nights(s3_client: S3Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("real")
    with served_real(folder) as upstream:
        yield replay(upstream, new_store(s3_client), folder / "scratch", range(1, 9))


def test_every_state_is_published_with_the_images_that_others_counted(nights: Nights) -> None:
    store = nights.store
    assert nights.versions == {step: None if step in QUIET else f"2026-11-{step:02d}" for step in nights.outcomes}
    nights.assert_ledgers_are_complete()
    with (REAL_DATA / "expected_covid_files.csv").open() as file:
        expected = pd.DataFrame(csv.DictReader(file))
    for step, version in nights.versions.items():
        if not version:
            continue
        manifest, excluded = read_csv(store, f"{version}/manifest.csv"), read_csv(store, f"{version}/excluded.csv")
        candidates = pd.concat([manifest, excluded[excluded["rule"].eq("not_drawn")]])
        covid = candidates[candidates["class"].eq("COVID")]
        wanted = expected[expected["step"].eq(str(step))].assign(path=lambda table: "images/" + table["filename"])
        assert set(covid["sha256"]) <= set(wanted["sha256"])
        missing = set(wanted["path"]) - set(covid["path"])
        reasons = excluded[excluded["path"].isin(missing)].set_index("path")["rule"]
        assert set(reasons.index) == missing, "every difference is explained"
        assert set(reasons) <= {"unwanted_view", "duplicate_image", "near_duplicate_image", "duplicate_across_classes"}
        kaggle = candidates[candidates["source"].eq("pneumonia")]
        assert {path.split("/")[1] for path in kaggle["path"]} == {"train", "test", "val"}
        assert kaggle["class"].value_counts().to_dict() == {"NORMAL": 110, "PNEUMONIA": 110}
    latest, _ = read_latest(store)
    assert latest is not None
    assert latest["version"] == "2026-11-08"
    assert_copies_and_traps_are_left_out(read_csv(store, "2026-11-08/excluded.csv"))
    versions = [version for version in nights.versions.values() if version]
    assert_splits_hold(pd.concat([read_csv(store, f"{version}/manifest.csv") for version in versions]))
    audit = store.get_json("2026-11-08/audit.json")
    assert audit is not None
    assert [entry["version"] for entry in audit["trend"]] == versions[:-1]
    probes = [probe for probe in audit["probes"] if probe["question"] == "classes"]
    assert {probe["level"] for probe in probes} == {"strong", "some"}
    originals = [probe["accuracy"] for probe in probes if probe["of"] == "originals"]
    page = " ".join((ROOT / "docs/guarantees.md").read_text(encoding="utf-8").split())
    assert f"{min(originals) * 100:.0f} to {max(originals) * 100:.0f} % of the images (guessing: 33 %)" in page
    assert audit["verdict"]["level"] == "strong"


def assert_copies_and_traps_are_left_out(excluded: pd.DataFrame) -> None:
    """Find the pairs that are known to show the same, and the images that upstream has no row for."""
    found = {(row.rule, Path(row.path).name): row.evidence for row in excluded.itertuples()}
    for left_out, kept in (
        ("person1312_bacteria_3318", "person1312_bacteria_3317"),
        ("357_virus_735", "357_virus_734"),
    ):
        evidence = [text for (rule, name), text in found.items() if rule == "duplicate_image" and left_out in name]
        assert [kept in text for text in evidence] == [True]
    assert "acute-respiratory-distress-syndrome-ards-day-3.jpg" in found["near_duplicate_image", "16660_5_1.jpg"]
    assert {name for rule, name in found if rule == "no_metadata_row"} == WITHOUT_ROW


def assert_splits_hold(manifests: pd.DataFrame) -> None:
    """No image, group or patient was ever in two splits, over all snapshots."""
    for name in ("sha256", "group", "patient_id"):
        assert manifests.groupby(name)["split"].nunique().max() == 1, name


def test_numbers_of_the_document_are_those_of_the_replay(nights: Nights) -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    excluded, candidates = counts_of(page)
    for step, outcome in nights.outcomes.items():
        assert outcome.filtered and outcome.balanced
        for table, found in ((excluded, outcome.balanced["excluded"]), (candidates, outcome.filtered["counts"])):
            for name in table.keys() | found.keys():
                table.setdefault(name, [0] * STEPS)[step - 1] = found.get(name, 0)
    written = with_table(page, excluded, candidates)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(written, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == written, f"docs/rules.md is out of date: {UPDATE}"
