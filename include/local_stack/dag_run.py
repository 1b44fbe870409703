"""Runs one DAG once through Airflow, in this process: ``python -m local_stack.dag_run DAG_ID LOG``.

Airflow writes its log to LOG; the terminal gets one line for each task and what the pipeline itself reports.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from airflow.listeners import hookimpl

from cxr_snapshot import shown


class Progress(logging.Handler):
    """Shows tasks as they start and end, and the pipeline's own log lines."""

    def __init__(self, terminal: TextIO) -> None:
        super().__init__(logging.INFO)
        self.terminal = terminal
        self.errors: dict[str, str] = {}
        self._started = 0.0
        self._line_is_open = False

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Name the task that starts, and leave the line open for its time."""
        self._started = time.monotonic()
        self.show(f"  {label(task_instance)} ...", end="")
        self._line_is_open = True

    @hookimpl
    def on_task_instance_success(self) -> None:
        """Say that a task succeeded."""
        self._finish("done")

    @hookimpl
    def on_task_instance_skipped(self) -> None:
        """Say that a task skipped itself."""
        self._finish("skipped")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: str | BaseException | None) -> None:
        """Say that a task failed, and keep the reason."""
        text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
        self.errors[label(task_instance)] = text
        self._finish("failed")

    def emit(self, record: logging.LogRecord) -> None:
        """Show one log line of the pipeline."""
        self.show(f"    {record.getMessage()}")

    def show(self, text: str, end: str = "\n") -> None:
        """Print ``text`` on a line of its own."""
        print("\n" if self._line_is_open else "", shown.lines(text), sep="", end=end, file=self.terminal, flush=True)
        self._line_is_open = False

    def _finish(self, outcome: str) -> None:
        result = f"{outcome} in {time.monotonic() - self._started:.1f} s"
        indent = " " if self._line_is_open else "    "
        self._line_is_open = False
        self.show(indent + result)


def label(task_instance: Any) -> str:
    """Return a task's name, with its number where it is mapped."""
    index = task_instance.map_index
    return str(task_instance.task_id) if index is None or index < 0 else f"{task_instance.task_id}[{index}]"


def run(dag_id: str, progress: Progress) -> bool:
    """Migrate Airflow's database and run ``dag_id`` from the DAGs folder; return whether the run succeeded."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.listener import get_listener_manager
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag()
    for file, error in bag.import_errors.items():
        progress.show(f"{file} cannot be imported:\n{error}")
    dag = bag.dags.get(dag_id)
    if dag is None:
        progress.show(f"There is no DAG {dag_id} in {bag.dag_folder}.")
        return False
    if has_store_connection():
        progress.show(
            "The local Airflow has a connection cxr_s3, which the tasks would use in place of the store named above. "
            "Run the pipeline from `make ui`, or delete the connection there (Admin, Connections)."
        )
        return False
    # The clients retry by themselves. A person who waits wants to see the error, not Airflow's pauses of minutes.
    for task in dag.tasks:
        task.retries = 0
    get_listener_manager().add_listener(progress)  # type: ignore[no-untyped-call]
    logging.getLogger("cxr_snapshot").addHandler(progress)
    return bool(dag.test().state == "success")


def has_store_connection() -> bool:
    """Say whether Airflow's database holds the connection ``cxr_s3``."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalar(select(Connection.id).where(Connection.conn_id == "cxr_s3")) is not None


def main(dag_id: str, log: Path) -> int:
    """Run ``dag_id`` with all output but the progress in ``log``; return the exit status."""
    progress = Progress(os.fdopen(os.dup(1), "w"))
    with log.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    try:
        succeeded = run(dag_id, progress)
    except Exception as error:
        progress.show(f"\nAirflow failed: {type(error).__name__}: {error}")
        raise  # into the log
    for task, reason in progress.errors.items():
        progress.show(f"\nTask {task} failed: {reason}")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
