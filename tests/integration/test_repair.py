"""Damaged snapshots, pointers and unlucky endings: what the next run does, and that what errors advise works."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.errors import GuardError, VerificationError
from cxr_snapshot.plan import Plan
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import read_latest, read_pointer
from cxr_snapshot.store.objects import Store
from support.damage import DAMAGES, flip
from support.publishers import Prepared, audited_after, publish_and_verify
from support.stages import Outcome, run_stages
from support.stores import copy_objects
from support.upstreams import ServedUpstream


def long(*values: object) -> Any:
    """Return a parameter set of the long run."""
    return pytest.param(*values, marks=pytest.mark.long)


DAYS = [f"2026-11-{day:02d}" for day in range(20, 27)]


@pytest.fixture
def first(first_state: Store, sample: ServedUpstream, store: Store) -> None:
    """Let the store have what the first night left, and upstream something new."""
    copy_objects(first_state, store)
    sample.move_to_step(2)


@pytest.fixture(scope="module")
def second_audited(first_state: Store, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """What the first night left, and the second night's plan, which was audited and not published."""
    folder = tmp_path_factory.mktemp("upstream")
    return audited_after(first_state, small_sample, folder, 2, "second", f"{DAYS[1]}T03:00:00+00:00")


@pytest.fixture
def audited(second_audited: Prepared, sample: ServedUpstream, store: Store) -> Plan:
    """Let the store have what two nights left up to the second's audit; return the plan of that one."""
    copy_objects(second_audited.store, store)
    sample.move_to_step(2)
    return second_audited.plans[0]


def night(sample: ServedUpstream, store: Store, folder: Path, number: int, **options: bool) -> Outcome:
    pipeline = sample.pipeline(store, folder)
    return run_stages(pipeline, f"night-{number}-{len(options)}", f"{DAYS[number]}T03:00:00+00:00", **options)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        long("manifest.parquet", "truncated"),
        long("manifest.parquet", "flipped"),
        long("excluded.csv", "deleted"),
        long("snapshot.json", "truncated"),
        long("SHA256SUMS", "flipped"),
        ("_SUCCESS", "truncated"),
    ],
)
def test_the_advice_about_a_damaged_snapshot_works(
    first: None, sample: ServedUpstream, store: Store, tmp_path: Path, name: str, damage: str
) -> None:
    DAMAGES[damage](store, f"{DAYS[0]}/{name}")
    with pytest.raises(VerificationError, match=r"Delete its _SUCCESS, .* run the DAG with force"):
        night(sample, store, tmp_path, 1)
    with pytest.raises(VerificationError, match=r"Delete its _SUCCESS, .* run the DAG with force"):
        verify(store, DAYS[0])
    store.delete([f"{DAYS[0]}/_SUCCESS"])
    again = night(sample, store, tmp_path, 1, force=True).snapshot
    assert again is not None
    assert again["previous"] is None
    verify(store, again["version"], all_images=True)
    assert read_pointer(store)[0] == again["version"] == DAYS[1]
    assert catalog.versions(store) == [DAYS[1]]
    assert night(sample, store, tmp_path, 2).plan is None


@pytest.mark.long
def test_on_the_same_day_the_advice_makes_the_same_snapshot_whole(
    sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    calm = night(sample, store, tmp_path, 0).snapshot
    before = {name: store.get(name) for name in store.list(f"{DAYS[0]}/")}
    for name in ("manifest.parquet", "preview.jpg", *(n for n in before if "/images/" in n or "/data/" in n)):
        flip(store, name if "/" in name else f"{DAYS[0]}/{name}")
    store.delete([f"{DAYS[0]}/_SUCCESS"])
    assert night(sample, store, tmp_path, 0, force=True).snapshot == calm
    assert {name: store.get(name) for name in store.list(f"{DAYS[0]}/")} == before


@pytest.mark.parametrize(
    ("kind", "going_on"),
    [
        ("data/", "the same run"),
        long("images/", "the same run"),
        long("images/", "the next night"),
        long("data/", "the next night"),
        long("README.md", "the same run"),
        long("README.md", "the next night"),
    ],
)
def test_what_fails_its_verification_never_becomes_the_latest(
    audited: Plan, sample: ServedUpstream, store: Store, tmp_path: Path, kind: str, going_on: str
) -> None:
    pipeline = sample.pipeline(store, tmp_path)
    assert pipeline.publish(audited)
    flip(store, next(name for name in store.list(f"{DAYS[1]}/{kind}")))
    with pytest.raises(VerificationError, match=r"not what SHA256SUMS says.*It was taken back.*Clear the task publish"):
        pipeline.verify(DAYS[1])
    assert read_pointer(store)[0] == DAYS[0]
    assert catalog.versions(store) == [DAYS[0]]
    if going_on == "the same run":
        snapshot = publish_and_verify(pipeline, audited)
    else:
        snapshot = night(sample, store, tmp_path, 2).snapshot
    assert snapshot is not None
    assert snapshot["previous"] == DAYS[0]
    assert snapshot["version"] == (DAYS[1] if going_on == "the same run" else DAYS[2])
    verify(store, snapshot["version"], all_images=True)
    assert read_pointer(store)[0] == snapshot["version"]


def test_a_snapshot_that_is_the_latest_is_not_taken_back(
    first: None, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    flip(store, f"{DAYS[0]}/README.md")
    with pytest.raises(VerificationError) as caught:
        sample.pipeline(store, tmp_path).verify(DAYS[0])
    assert "taken back" not in str(caught.value)
    assert catalog.versions(store) == [DAYS[0]]


@pytest.mark.long
def test_a_run_that_died_before_it_verified_is_made_good_by_the_next(
    audited: Plan, sample: ServedUpstream, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = sample.pipeline(store, tmp_path).publish(audited)
    assert published is not None
    assert read_pointer(store)[0] == DAYS[0]
    with caplog.at_level(logging.WARNING, "cxr_snapshot"):
        assert night(sample, store, tmp_path, 2).snapshot == published
    assert f"latest.json does not name {DAYS[1]}, the newest complete snapshot" in caplog.text
    assert read_pointer(store)[0] == DAYS[1]
    assert night(sample, store, tmp_path, 3).plan is None


@pytest.mark.long
@pytest.mark.parametrize("pointer", [None, b"garbage", b'{"version": "2099-01-01"}'])
def test_a_lost_pointer_is_mended_and_no_guard_is_passed_by(
    last_state: Store, sample: ServedUpstream, store: Store, tmp_path: Path, pointer: bytes | None
) -> None:
    copy_objects(last_state, store)
    first, _ = read_latest(store)
    store.put("latest.json", pointer) if pointer else store.delete(["latest.json"])
    sample.move_to_step(1)
    with pytest.raises(GuardError, match="shrink_COVID"):
        night(sample, store, tmp_path, 1)
    sample.move_to_step(5)
    assert night(sample, store, tmp_path, 2).snapshot == first
    assert read_pointer(store)[0] == DAYS[0]
    before = store.list("")
    assert night(sample, store, tmp_path, 3).plan is None
    assert store.list("") == before


@pytest.mark.long
def test_a_stray_object_in_the_folder_of_tomorrow(
    first: None, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    store.put(f"{DAYS[1]}/stray.txt", b"of somebody")
    snapshot = night(sample, store, tmp_path, 1).snapshot
    assert snapshot is not None
    assert (snapshot["version"], snapshot["previous"]) == (f"{DAYS[1]}.1", DAYS[0])
    assert read_pointer(store)[0] == f"{DAYS[1]}.1"
    verify(store, f"{DAYS[1]}.1", all_images=True)


def test_runs_whose_ids_read_alike_do_not_share_tables(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    one = sample.pipeline(store, tmp_path)
    other = sample.pipeline(store, tmp_path, salt="another")
    plans = [one.poll("x:1", f"{DAYS[0]}T03:00:00+00:00"), other.poll("x+1", f"{DAYS[0]}T03:00:00+00:00")]
    assert None not in plans
    assert plans[0]["folder"] != plans[1]["folder"]
