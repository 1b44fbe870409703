"""`make ui` starts Airflow's parts in an order in which no task is too early, and notices when one of them ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from local_stack import airflow_ui
from local_stack.processes import Child, StackError, free_port
from support.waiting import PATIENCE

# Stands in for `airflow COMMAND`: its API server takes a while, its scheduler asks at once, as the first task does.
AIRFLOW = """
import http.server, json, pathlib, sqlite3, sys, time, urllib.request

command, url, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")

class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = "healthy" if (folder / "found").exists() else None
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({part: {"status": status} for part in PARTS}).encode())

if command == "db":
    with sqlite3.connect(folder / "airflow.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num)")  # fails where it is there
        database.execute("INSERT INTO alembic_version VALUES ('fd0458b8d2f1')")
    sys.exit()
if command == "api-server":
    time.sleep(1)
    http.server.HTTPServer(("127.0.0.1", int(url.rpartition(":")[2])), Pages).serve_forever()
if command == "scheduler":
    try:
        urllib.request.urlopen(url + "/api/v2/version").close()
        found = "an answer"
    except OSError as error:
        found = str(error)
    (folder / "found.new").write_text(found)
    (folder / "found.new").rename(folder / "found")
time.sleep(600)
"""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the stand-in, which keeps its files in ``tmp_path``."""
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr(
        airflow_ui, "airflow", lambda *command: [sys.executable, "-c", AIRFLOW, command[0], url, str(tmp_path)]
    )
    monkeypatch.setattr(airflow_ui, "GRACE", 0.2)
    return url


def test_the_scheduler_finds_an_api_server_that_answers(url: str, tmp_path: Path) -> None:
    with airflow_ui.airflow_ui(url, os.environ | {"AIRFLOW_HOME": str(tmp_path)}, tmp_path) as parts:
        assert (tmp_path / "found").read_text() == "an answer"
        assert [part.name for part in parts] == [
            "Airflow's api-server",
            "Airflow's dag-processor",
            "Airflow's scheduler",
            "Airflow's triggerer",
        ]


def test_a_database_that_was_migrated_is_not_migrated_again(url: str, tmp_path: Path) -> None:
    environ = os.environ | {"AIRFLOW_HOME": str(tmp_path)}
    for _ in range(2):  # the stand-in migrates a database once only
        (tmp_path / "found").unlink(missing_ok=True)
        with airflow_ui.airflow_ui(url, environ, tmp_path):
            pass


def test_a_part_that_ends_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    store = [sys.executable, "-c", "raise SystemExit('the disk is full')"]
    patient = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        Child("Airflow's scheduler", patient, env=os.environ, log=tmp_path / "scheduler") as scheduler,
        Child("The local S3 store", store, env=os.environ, log=tmp_path / "store") as ended,
        pytest.raises(
            StackError, match=r"The local S3 store ended by itself .*, so everything stops\. .*\n    the disk is full$"
        ),
    ):
        ended.wait(PATIENCE)
        airflow_ui.wait_for_the_first([scheduler, ended])
