"""Night after night: the states of an upstream, one after the other, through all stages."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.store.objects import Store
from support.paths import REAL_DATA
from support.stages import Outcome, run_stages
from support.stores import read_csv
from support.upstreams import ServedUpstream

WITHOUT_ROW = {  # images of the last step; one is there to catch those who take every image
    "MERS-CoV-1-s2.0-S0378603X1500248X-gr4e.jpg",
    "auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US.jpg",
}
CLASSES = ("COVID", "NORMAL", "PNEUMONIA")


def replay(upstream: ServedUpstream, store: Store, folder: Path, steps: int) -> list[Outcome]:
    """Run one night for every step, the second time at once to see that nothing is new."""
    outcomes = []
    for step in range(1, steps + 1):
        upstream.move_to_step(step)
        pipeline = upstream.pipeline(store, folder)
        outcomes.append(run_stages(pipeline, f"night-{step}", f"2026-11-{step:02d}T03:00:00+00:00"))
        assert run_stages(pipeline, f"again-{step}").plan is None, "seen states are not built again"
    return outcomes


def assert_ledger_is_complete(upstream: ServedUpstream, store: Store, version: str, step: int) -> None:
    """Count images and rows with git, zipfile and csv alone, and find each of them exactly once."""
    manifest, excluded = read_csv(store, f"{version}/manifest.csv"), read_csv(store, f"{version}/excluded.csv")
    git = ["git", "--git-dir", str(upstream.git_dir)]
    command = [*git, "ls-tree", "-rz", "--name-only", f"refs/replay/step-{step}", "images/"]
    tree = subprocess.run(command, check=True, capture_output=True).stdout.decode()
    images = {("covid", name) for name in tree.split("\0") if name}
    (archive,) = upstream.kaggle_dir.glob("*/*/*.zip")
    with zipfile.ZipFile(archive) as members:
        images |= {("pneumonia", item.filename) for item in members.infolist() if not item.is_dir()}
    both = pd.concat([manifest, excluded])
    listed = list(zip(both["source"], both["path"], strict=True))
    assert images <= set(listed)
    assert not both[both["path"].ne("")].duplicated(["source", "path", "metadata_line"]).any()
    metadata = subprocess.run([*git, "show", f"refs/replay/step-{step}:metadata.csv"], check=True, capture_output=True)
    rows = list(csv.reader(metadata.stdout.decode("latin-1").splitlines(keepends=True)))
    lines = both.loc[both["metadata_line"].ne(""), "metadata_line"]
    assert len(lines) == len(set(lines)) == len(rows) - 1


def test_sample_replay(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    outcomes = replay(sample, store, tmp_path / "scratch", steps=5)
    versions = [outcome.snapshot["version"] if outcome.snapshot else None for outcome in outcomes]
    # Step 4 touches only the README.
    assert versions == ["2026-11-01", "2026-11-02", "2026-11-03", None, "2026-11-05"]
    for step, outcome in enumerate(outcomes, start=1):
        if outcome.snapshot:
            assert len(set(outcome.snapshot["counts"].values())) == 1
            assert_ledger_is_complete(sample, store, outcome.snapshot["version"], step)
    candidates = [outcome.filtered["counts"]["COVID"] for outcome in outcomes if outcome.filtered]
    assert candidates == sorted(candidates)


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")
def test_real_replay(real_upstream: ServedUpstream, store: Store, tmp_path: Path) -> None:
    outcomes = replay(real_upstream, store, tmp_path / "scratch", steps=8)
    versions = [outcome.snapshot["version"] if outcome.snapshot else None for outcome in outcomes]
    # Steps 3 and 7 change no image, no class and no published column.
    assert versions == ["2026-11-01", "2026-11-02", None, "2026-11-04", "2026-11-05", "2026-11-06", None, "2026-11-08"]
    with (REAL_DATA / "expected_covid_files.csv").open() as file:
        expected = pd.DataFrame(csv.DictReader(file))
    for step, outcome in enumerate(outcomes, start=1):
        if not outcome.snapshot:
            continue
        version = outcome.snapshot["version"]
        assert_ledger_is_complete(real_upstream, store, version, step)
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
    assert_splits_hold(pd.concat([read_csv(store, f"{version}/manifest.csv") for version in versions if version]))
    audit = store.get_json("2026-11-08/audit.json")
    assert audit is not None
    assert [entry["version"] for entry in audit["trend"]] == [version for version in versions[:-1] if version]
    assert {probe["level"] for probe in audit["probes"] if probe["question"] == "classes"} == {"strong", "some"}
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


def test_snapshot_objects_are_what_the_manifest_says(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    snapshot = run_stages(sample.pipeline(store, tmp_path), "run").snapshot
    assert snapshot is not None
    version = snapshot["version"]
    manifest = read_csv(store, f"{version}/manifest.csv")
    assert manifest.groupby("class").size().to_dict() == snapshot["counts"]
    for row in manifest.itertuples():
        assert hashlib.sha256(store.get(f"{version}/{row.file}")).hexdigest() == row.sha256
    names = {name.removeprefix(f"{version}/") for name in store.list(f"{version}/")}
    sums = dict(line.split("  ")[::-1] for line in store.get(f"{version}/SHA256SUMS").decode().splitlines())
    assert names == set(sums) | {"SHA256SUMS", "_SUCCESS"}
    assert {name.split("/")[1] for name in names if name.startswith("images/")} == set(CLASSES)
    assert snapshot["manifest_sha256"] == sums["manifest.csv"]
