"""Leads from Airflow to the snapshot pages, which its web server serves by a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

from cxr_snapshot.settings import DEFAULT_EDITION

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

PAGES = "covid-cxr-snapshots"  # where the plugin's app is, and its frame within Airflow


def snapshot_page(snapshot: dict[str, Any]) -> str:
    """Return the address of a snapshot's page within Airflow, without the host.

    Args:
        snapshot: ``version``, and ``edition`` unless it is the default one.
    """
    edition = snapshot.get("edition", DEFAULT_EDITION)
    place = "" if edition == DEFAULT_EDITION else f"editions/{edition}/"
    return f"{_root()}/plugin/{PAGES}/{PAGES}/{place}snapshots/{snapshot['version']}"


def draft_pages(folder: str) -> str:
    """Return the address below which what the audit of a run wrote can be seen, without the host.

    Args:
        folder: of the run, from its plan.
    """
    return f"{_root()}/{PAGES}/drafts/{folder.rpartition('/')[2]}"


class SnapshotLink(BaseOperatorLink):
    """A button on a task that leads to the snapshot which its run published."""

    name = "Open snapshot"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address; nothing where the run has published nothing, or not yet."""
        from airflow.sdk.execution_time.xcom import XCom

        run = {"dag_id": ti_key.dag_id, "run_id": ti_key.run_id}
        snapshot = XCom.get_one(key="return_value", task_id="publish", **run)
        return snapshot_page(snapshot) if snapshot else ""


def _root() -> str:
    """Return the path under which Airflow lives, without a slash at its end; mostly nothing."""
    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")
