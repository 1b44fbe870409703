"""Snapshots as they would have been: built later, named by their day, compared with what was there before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cxr_snapshot.errors import GuardError, SettingsError
from cxr_snapshot.publication.versions import is_version, read_latest
from cxr_snapshot.store.objects import Store
from support.paths import REAL_DATA
from support.stages import EARLIER, Outcome, run_stages
from support.stores import copied_bucket
from support.upstreams import ServedUpstream, served_sample

NOW = "2026-11-23T03:00:00+00:00"


def build_as_of(upstream: ServedUpstream, store: Store, folder: Path, day: str, **options: object) -> Outcome:
    pipeline = upstream.pipeline(store, folder, **options)
    return run_stages(pipeline, f"back-to-{day}", NOW, as_of=day, pins={"covid": day})


def versions(store: Store) -> list[str]:
    return [name for name in store.folders() if is_version(name)]


@dataclass(frozen=True)
class Filled:
    """An upstream, and a store with a snapshot of its newest state, to which earlier days were added; read only."""

    upstream: ServedUpstream
    store: Store
    tonight: dict[str, Any] | None
    days: dict[str, dict[str, Any]]
    commits: tuple[str, str]
    scratch: Path


@pytest.fixture(scope="module")
def filled(last_state: Store, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    store, folder = copied_bucket(last_state), tmp_path_factory.mktemp("upstream")
    tonight, _ = read_latest(store)
    with served_sample(small_sample, folder) as upstream:
        commits = upstream.move_to_step(1), upstream.move_to_step(2)
        upstream.move_to_step(5)
        days = {}
        for day in ("2020-03-28", "2020-03-12", "2020-04-30"):
            snapshot = build_as_of(upstream, store, folder / "scratch", day).snapshot
            assert snapshot is not None
            days[day] = snapshot
        yield Filled(upstream, store, tonight, days, commits, folder / "scratch")


def test_days_are_filled_in_any_order(filled: Filled) -> None:
    later, earlier, between = filled.days.values()
    first, second = filled.commits
    assert (later["version"], later["created"], later["revisions"]["covid"]) == ("2020-03-28", NOW, second)
    # Not compared with tonight's, which is larger: that would have been refused as a shrunken class.
    assert later["previous"] is None
    assert (earlier["version"], earlier["revisions"]["covid"]) == ("2020-03-12", first)
    assert between["previous"] == "2020-03-28"
    assert filled.store.get_json("2020-04-30/changes.json")["previous"] == "2020-03-28"

    assert versions(filled.store) == ["2020-03-12", "2020-03-28", "2020-04-30", EARLIER[1][:10]]
    assert read_latest(filled.store)[0] == filled.tonight
    assert run_stages(filled.upstream.pipeline(filled.store, filled.scratch), "again", NOW).plan is None


@pytest.mark.long
def test_a_day_without_news_publishes_nothing(filled: Filled, tmp_path: Path) -> None:
    store = copied_bucket(filled.store)
    assert build_as_of(filled.upstream, store, tmp_path, "2020-03-28").plan is None
    assert build_as_of(filled.upstream, store, tmp_path, "2020-03-30").plan is None
    # On 2020-06-24 only the README changed: that is found out once, and remembered beside the snapshot before.
    readme = build_as_of(filled.upstream, store, tmp_path, "2020-06-25")
    assert readme.plan is not None
    assert readme.snapshot is None
    assert build_as_of(filled.upstream, store, tmp_path, "2020-06-25").plan is None
    assert versions(store) == versions(filled.store)


@pytest.mark.long
def test_the_guard_compares_with_the_day_before(filled: Filled, tmp_path: Path) -> None:
    shrunken = filled.upstream.pipeline(copied_bucket(filled.store), tmp_path)
    with pytest.raises(GuardError, match="shrink_COVID"):
        run_stages(shrunken, "shrunken", NOW, as_of="2020-05-01", pins={"covid": "2020-03-12"})


def test_a_day_to_come_is_refused(sample: ServedUpstream, store: Store, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="2026-11-24 has not come yet"):
        build_as_of(sample, store, tmp_path, "2026-11-24")


@pytest.mark.long
@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real upstream states are not at hand")
def test_real_days(real_upstream: ServedUpstream, store: Store, tmp_path: Path) -> None:
    """Steps 1, 5 and 7 were the newest at the ends of these days, UTC; step 6 and 7 came in the night to 7 April."""
    real_upstream.move_to_step(8)
    tonight = run_stages(real_upstream.pipeline(store, tmp_path, max_per_class=None), "tonight", NOW).snapshot
    # How many COVID X-rays in frontal view there are, by independent counting.
    expected = {"2020-03-11": 16, "2020-03-28": 44, "2020-04-07": 75}
    for day, frontal in expected.items():
        snapshot = build_as_of(real_upstream, store, tmp_path, day, max_per_class=None).snapshot
        assert snapshot is not None
        assert snapshot["version"] == day
        assert snapshot["counts"] == {"COVID": frontal, "NORMAL": frontal, "PNEUMONIA": frontal}
    assert build_as_of(real_upstream, store, tmp_path, "2020-04-06", max_per_class=None).plan is None
    assert versions(store) == [*expected, "2026-11-23"]
    assert read_latest(store)[0] == tonight
