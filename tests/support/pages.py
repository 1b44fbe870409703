"""The snapshot pages in Airflow's web server, and a browser for them. Imports both."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import init_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import get_fastapi_plugins
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cxr_snapshot.store.objects import Store


def mounted_plugins() -> FastAPI:
    """Return a server with the apps of all plugins, found and mounted as Airflow does it."""
    init_auth_manager()
    server = FastAPI()
    for item in get_fastapi_plugins()[0]:
        server.mount(item["url_prefix"], item["app"])
    return server


class Pages:
    """A browser, as far as the pages need one; who is signed in, and which store the app opens, can be changed."""

    def __init__(self, server: FastAPI, pages: Any, prefix: str) -> None:
        self.client = TestClient(server, follow_redirects=False)
        self.pages, self.prefix = pages, prefix

    def sign_in(self, role: str | None) -> None:
        self.pages.app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="somebody", role=role)

    def use(self, store: Store) -> None:
        self.pages.app.dependency_overrides[self.pages.open_store] = lambda: store

    def get(self, path: str, status: int = 200, **headers: str) -> str:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        answer = self.client.get(self.prefix + path, headers=named)
        assert answer.status_code == status, answer.text
        return answer.text

    def addresses(self, version: str) -> list[str]:
        """Return an address for each route of the app."""
        values = {"version": version, "name": "manifest.csv", "edition": "default", "run": "none-0123456789ab"}
        values["dag"] = "covid_cxr_snapshot"
        return [route.path.replace("{name:path}", "{name}").format(**values) for route in self.pages.app.routes]
