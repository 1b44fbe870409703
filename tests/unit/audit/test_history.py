"""What is remembered of earlier snapshots, and what a class is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cxr_snapshot.audit.drift import extend_trend
from cxr_snapshot.audit.gates import check_losses
from cxr_snapshot.audit.history import REMEMBERED, best, comparable, remember

SETTINGS: dict[str, Any] = {"views": "frontal"}
OTHERS: dict[str, Any] = {"views": "frontal+lateral"}


class Nights:
    """Snapshots one after the other, each with what it publishes of COVID, NORMAL staying as it is."""

    def __init__(self) -> None:
        self.latest: dict[str, Any] | None = None
        self.audit: dict[str, Any] | None = None
        self.number = 0

    def failed(self, count: int, settings: dict[str, Any] = SETTINGS) -> list[dict[str, Any]]:
        """Return the losses that the guards find in a night with so many candidates of COVID."""
        checks = check_losses({"COVID": count, "NORMAL": 5}, comparable(self.latest, self.audit, settings), 0.1)
        return [check.as_dict() for check in checks if not check.passed]

    def publish(self, count: int, settings: dict[str, Any] = SETTINGS, accepted: Sequence[dict[str, Any]] = ()) -> None:
        """Publish a snapshot, with overrides of the losses ``accepted``."""
        self.number += 1
        self.audit = {"figures": {}, "trend": extend_trend(self.audit, self.latest)}
        self.latest = {
            "version": f"{self.number}",
            "candidates": {"COVID": count, "NORMAL": 5},
            "settings": settings,
            "overrides": [{"check": check["name"], "measured": check["measured"]} for check in accepted],
        }


def test_a_class_cannot_be_lost_little_by_little() -> None:
    """A thousand candidates, of which each night takes just less than a tenth."""
    nights, count, passed = Nights(), 1000, 0
    nights.publish(count)
    while not (failed := nights.failed(count - count // 11)):
        count -= count // 11
        nights.publish(count)
        passed += 1
    assert passed == 1
    (check,) = failed
    assert check["name"] == "slow_loss_COVID"
    assert check["measured"] == {"class": "COVID", "before": 1000, "after": 828, "since": "1", "fraction": 0.172}


def test_settings_that_change_every_night_hide_no_loss() -> None:
    nights = Nights()
    nights.publish(1000, SETTINGS)
    nights.publish(1500, OTHERS)
    assert [check["name"] for check in nights.failed(800, SETTINGS)] == ["shrink_COVID"]
    assert nights.failed(950, SETTINGS) == []
    nights.publish(950, SETTINGS)
    assert [check["measured"]["since"] for check in nights.failed(1300, OTHERS)] == ["2"]
    assert nights.failed(1, {"views": "another"}) == [], "there is nothing to compare with"


def test_an_accepted_loss_is_where_comparison_starts_anew() -> None:
    nights = Nights()
    nights.publish(1000)
    nights.publish(600, accepted=nights.failed(600))
    assert nights.failed(600) == []
    assert nights.failed(550) == []
    nights.publish(550)
    assert [check["measured"]["since"] for check in nights.failed(530)] == ["2"], (
        "and what is lost from there on counts"
    )


def test_a_loss_of_one_class_that_is_accepted_says_nothing_of_another() -> None:
    nights = Nights()
    nights.publish(1000)
    normal = {"name": "shrink_NORMAL", "measured": {"class": "NORMAL", "before": 9, "after": 5}}
    nights.publish(950, accepted=[normal])
    assert [check["measured"]["since"] for check in nights.failed(880)] == ["1"]


def test_overrides_of_other_checks_restart_nothing() -> None:
    nights = Nights()
    nights.publish(1000)
    nights.publish(950, accepted=[{"name": "unknown_labels", "measured": {"fraction": 0.2}}])
    assert [check["name"] for check in nights.failed(880)] == ["slow_loss_COVID"]


def test_only_the_last_thirty_snapshots_count() -> None:
    entries = [{"version": str(number), "candidates": {"COVID": number}, "accepted": []} for number in range(100)]
    assert best("COVID", entries)["version"] == str(REMEMBERED - 1)
    assert best("COVID", entries[:REMEMBERED])["version"] == str(REMEMBERED - 1)
    ties = [{"version": version, "candidates": {"COVID": 3}, "accepted": []} for version in ("new", "old")]
    assert best("COVID", ties)["version"] == "new"
    assert best("MERS", ties)["version"] == "new", "a class that did not exist"


def test_snapshots_of_earlier_releases_are_compared_as_far_as_they_say() -> None:
    """They have no ``overrides``, and their audits no candidates; one may have no audit at all."""
    snapshot = {"version": "2", "candidates": {"COVID": 10}, "settings": SETTINGS}
    audit = {"trend": [{"version": "1", "figures": {}}]}
    for before in (audit, None):
        assert [entry["version"] for entry in comparable(snapshot, before, SETTINGS)] == ["2"]
    assert remember(snapshot)["accepted"] == []
    assert comparable(None, None, SETTINGS) == []
