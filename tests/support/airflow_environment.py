"""Gives the tests an Airflow of their own. Must be imported before Airflow is."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from support.paths import ROOT

DATABASE = "airflow.db"
HOME = Path(tempfile.mkdtemp(prefix="airflow-test-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

for name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "CXR_", "KAGGLE_", "GITHUB_TOKEN"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / DATABASE}",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
}


def migrated_database(folder: Path) -> None:
    """Migrate the database of this process, which takes seconds, and copy it to ``folder``."""
    from airflow.utils.db import initdb

    initdb()
    with closing(sqlite3.connect(HOME / DATABASE)) as source, closing(sqlite3.connect(folder / DATABASE)) as copy:
        source.backup(copy)  # the file alone may lack what was written last
