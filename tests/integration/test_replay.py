"""The sample, night after night, with all its images: what is published of each state."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from cxr_snapshot.audit import PAGE, REPORT
from support.nights import Nights, replay
from support.stores import new_store, read_csv
from support.upstreams import served_sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALL = ("sample_folder", range(1, 6))
CLASSES = ("COVID", "NORMAL", "PNEUMONIA")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("small_sample", (3, 4, 5)), id="three-steps"),
        pytest.param(ALL, id="all", marks=pytest.mark.long),
    ],
)
def nights(
    request: pytest.FixtureRequest, s3_client: S3Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Nights]:
    (sample, steps), folder = request.param, tmp_path_factory.mktemp("upstream")
    with served_sample(request.getfixturevalue(sample), folder) as upstream:
        yield replay(upstream, new_store(s3_client), folder / "scratch", steps)


def test_every_state_is_published_with_all_of_its_records(nights: Nights) -> None:
    # Step 4 touches only the README.
    assert nights.versions == {step: None if step == 4 else f"2026-11-{step:02d}" for step in nights.outcomes}
    for outcome in nights.outcomes.values():
        assert outcome.snapshot is None or len(set(outcome.snapshot["counts"].values())) == 1
    nights.assert_ledgers_are_complete()
    candidates = [outcome.filtered["counts"]["COVID"] for outcome in nights.outcomes.values() if outcome.filtered]
    assert candidates == sorted(candidates)


def test_snapshot_objects_are_what_the_manifest_says(nights: Nights) -> None:
    snapshot, store = nights.outcomes[3].snapshot, nights.store
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


def test_the_audit_is_in_the_snapshot_and_follows_its_figures(nights: Nights) -> None:
    versions: list[str] = []
    for outcome in nights.outcomes.values():
        if (snapshot := outcome.snapshot) is None:
            continue
        report = json.loads(nights.store.get(f"{snapshot['version']}/{REPORT}"))
        assert snapshot["audit"]["headline"] == report["verdict"]["headline"]
        assert snapshot["audit"]["figures"] == report["figures"]
        assert report["figures"]["images"] == sum(snapshot["counts"].values())
        assert [each["version"] for each in report["trend"]] == versions
        assert report["previous"] == (versions[-1] if versions else None)
        assert all(check["passed"] for check in report["checks"])
        versions.append(snapshot["version"])


@pytest.mark.long
@pytest.mark.parametrize("nights", [pytest.param(ALL, id="all")], indirect=True, scope="module")
def test_the_audit_tells_what_grew(nights: Nights) -> None:
    report = json.loads(nights.store.get(f"2026-11-05/{REPORT}"))
    assert report["drift"][0]["change"] > 0


def test_the_page_loads_nothing_from_elsewhere(nights: Nights) -> None:
    page = nights.store.get(f"2026-11-05/{PAGE}").decode()
    loaded = re.findall(r"""(?:src|xlink:href|data|action)="(?!#|data:image/)([^"]*)|url\((?!#)([^)]*)|@import""", page)
    assert loaded == []
    assert "<script" not in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
