"""Airflow with its web pages: the parts that `airflow standalone` starts, in an order in which no task is too early.

`airflow standalone` (3.3.2) starts all at once, so that the first tasks find no API server, and its scheduler and
triggerer serve logs at every address of the machine. Here the API server answers before the scheduler starts, and logs
are read from the disk that all share.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from local_stack.airflow_home import is_migrated, note_migrated
from local_stack.processes import Child, StackError, fetch

LOGS = "--skip-serve-logs"
# A first start compiles thousands of files.
PATIENCE = 300.0
GRACE = 30.0  # seconds that a part gets to end


@contextmanager
def airflow_ui(url: str, environ: Mapping[str, str], logs: Path) -> Iterator[list[Child]]:
    """Run Airflow while the block lasts, which begins when all of it is healthy; give its processes.

    Args:
        url: address that its web server is to have.
        environ: its environment, of :func:`local_stack.airflow_home.variables`.
        logs: folder that gets a log for each part.

    Raises:
        StackError: it did not start.
    """
    with ExitStack() as running:

        def start(*command: str) -> Child:
            log = logs / f"airflow-{command[0]}.log"
            part = Child(f"Airflow's {command[0]}", airflow(*command), env=environ, log=log, grace=GRACE)
            return running.enter_context(part)

        home = Path(environ["AIRFLOW_HOME"])
        if not is_migrated(home):
            database = start("db", "migrate")
            if database.wait() != 0:
                raise StackError(f"Airflow's database could not be made.{database.quote()}")
            note_migrated(home)
        parts = [start("api-server"), start("dag-processor")]
        parts[0].wait_until(lambda: fetch(f"{url}/api/v2/version") is not None, PATIENCE)
        parts += [start("scheduler", LOGS), start("triggerer", LOGS)]
        parts[2].wait_until(lambda: is_healthy(fetch(f"{url}/api/v2/monitor/health")), PATIENCE)
        yield parts


def wait_for_the_first(processes: Iterable[Child]) -> NoReturn:
    """Wait until one of ``processes`` ends, which none should.

    Raises:
        StackError: it ended.
    """
    while True:
        for process in processes:
            if (status := process.status()) is not None:
                raise StackError(
                    f"{process.name} ended by itself with exit status {status}, so everything stops. To go on, start "
                    f"it again.{process.quote()}"
                )
        time.sleep(1)


def airflow(*command: str) -> list[str]:
    """Return a command line of Airflow's own."""
    return [sys.executable, "-m", "airflow", *command]


def is_healthy(answer: bytes | None) -> bool:
    """Say whether Airflow's health page reports that all parts work."""
    if answer is None:
        return False
    parts: dict[str, Any] = json.loads(answer)
    return all(
        parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )
