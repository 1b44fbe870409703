"""The environment of a local Airflow: its folders, its secrets, its port and its database."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

DATABASE = "airflow.db"
MIGRATED = "migrated.txt"  # says which Airflow migrated the database last, and to which form


def load_secrets(file: Path) -> dict[str, str]:
    """Return the generated secrets, which only their owner can read; made when they are asked for first."""
    made = {
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "jwt_secret": secrets.token_urlsafe(64),
        "api_secret_key": secrets.token_urlsafe(32),
        "admin_password": secrets.token_urlsafe(12),
        "store_key": secrets.token_hex(10),
        "store_secret": secrets.token_hex(20),
    }
    stored: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    if made.keys() - stored.keys():
        stored = made | stored
        file.parent.mkdir(exist_ok=True)
        write_private(file, json.dumps(stored, indent=2))
    return stored


def write_private(file: Path, text: str) -> None:
    """Write a file with mode 600, whole or not at all."""
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    draft.replace(file)


def variables(root: Path, home: Path, keys: dict[str, str], port: int) -> dict[str, str]:
    """Return Airflow's environment variables.

    Args:
        root: the checkout.
        home: Airflow's own folder.
        keys: what :func:`load_secrets` returned.
        port: TCP port of the web server; three settings must agree on it.
    """
    url = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(home / "airflow.cfg"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / DATABASE}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",  # processes, all forked when the scheduler starts; by default 32
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",  # seconds; by default 1: somebody is looking on
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet_key"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": keys["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt_secret"],
    }


def is_migrated(home: Path) -> bool:
    """Say whether the database in ``home`` is as this version of Airflow left it; to ask Airflow takes seconds."""
    note, form = home / MIGRATED, _form(home)
    return form is not None and note.exists() and note.read_text() == form


def note_migrated(home: Path) -> None:
    """Note that this version of Airflow has migrated the database in ``home``."""
    (home / MIGRATED).write_text(_form(home) or "")


def _form(home: Path) -> str | None:
    """Return the version of Airflow and the revision of its tables, or ``None`` where there is no whole database."""
    try:
        with closing(sqlite3.connect(f"{(home / DATABASE).as_uri()}?mode=ro", uri=True)) as database:
            revisions = [revision for (revision,) in database.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.DatabaseError:
        return None
    return f"Airflow {version('apache-airflow-core')}, revision {', '.join(revisions)}" if revisions else None
