"""Registers the snapshot pages with Airflow: an app, an entry in the menu Browse, and a tab on the DAG."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_links import PAGES as PREFIX

ICON = "data:image/svg+xml," + (
    "%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='{}' stroke-width='2' "
    "stroke-linecap='round'%3E%3Cpath d='M12 3v18M9 7H6M9 11H5M9 15H6M15 7h3M15 11h4M15 15h3'/%3E%3C/svg%3E"
)

Message = MutableMapping[str, Any]


class LazyApp:
    """Imports the app when the first request comes: tasks load plugins too, and would pay a second for nothing."""

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request, by the rules of ASGI."""
        module = await asyncio.to_thread(import_module, "snapshot_pages_app.app")
        await module.app(scope, receive, send)


class SnapshotPages(AirflowPlugin):
    """Airflow reads the attributes. The addresses are relative, so that Airflow may live under a path."""

    name = "snapshot_pages"
    fastapi_apps = [{"app": LazyApp(), "url_prefix": f"/{PREFIX}", "name": "Snapshot pages"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "CXR snapshots",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": PREFIX,
            "icon": ICON.format("black"),
            "icon_dark_mode": ICON.format("white"),
        },
        {
            "name": "Snapshots",
            "href": f"{PREFIX}/dags/{{DAG_ID}}",  # Airflow fills it in; it shows the tab on every DAG
            "destination": "dag",
            "url_route": "snapshots",
            "icon": ICON.format("black"),
            "icon_dark_mode": ICON.format("white"),
        },
    ]
