"""Runs one DAG once through Airflow, in this process: ``python -m local_stack.dag_run DAG_ID LOG``.

Airflow writes its log to LOG; the terminal gets a line for each task, or with VERBOSE=1 all that the pipeline reports.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, TextIO

# Before Airflow is loaded, which makes many objects that stay: with the usual 700 new ones until Python looks for
# garbage in circles, a run with nothing new took a sixth more of the processor (measured: docs/benchmarks/airflow.md).
if __name__ == "__main__":
    gc.set_threshold(50_000)

from airflow.listeners import hookimpl

from cxr_snapshot import shown
from local_stack.airflow_home import is_migrated, note_migrated


class Progress(logging.Handler):
    """Shows a line for each task, with what came of it and how long it took; warnings, and how far long work is.

    Args:
        terminal: where to write.
        verbose: show every log line of the pipeline.
    """

    def __init__(self, terminal: TextIO, *, verbose: bool = False) -> None:
        super().__init__(logging.INFO)
        self.terminal, self.verbose = terminal, verbose
        self.errors: dict[str, str] = {}
        self._started = 0.0
        self._result = ""
        self._warnings: set[str] = set()

    @hookimpl
    def on_task_instance_running(self, task_instance: Any) -> None:
        """Note that a task starts."""
        self._started, self._result = time.monotonic(), ""
        if self.verbose:
            self.show(f"  {label(task_instance)} ...")

    @hookimpl
    def on_task_instance_success(self, task_instance: Any) -> None:
        """Say that a task succeeded."""
        self._finish(task_instance, self._result or "done")

    @hookimpl
    def on_task_instance_skipped(self, task_instance: Any) -> None:
        """Say that a task skipped itself."""
        self._finish(task_instance, "not needed")

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: str | BaseException | None) -> None:
        """Say that a task failed, and keep the reason."""
        text = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error)
        self.errors[label(task_instance)] = text
        self._finish(task_instance, "failed")

    def emit(self, record: logging.LogRecord) -> None:
        """Take one log line of the pipeline: show a warning once, and how far long work is; the last one is kept."""
        text, is_progress = record.getMessage(), record.name.endswith(".progress")
        if record.levelno >= logging.WARNING:
            if text not in self._warnings:
                self._warnings.add(text)
                self.show(f"    Warning: {text}")
        elif self.verbose or (is_progress and " left" in text):
            self.show(f"    {text}")
        elif not is_progress:
            self._result = short(text)

    def show(self, text: str) -> None:
        """Print ``text`` on a line of its own."""
        print(shown.lines(text), file=self.terminal, flush=True)

    def _finish(self, task_instance: Any, outcome: str) -> None:
        self.show(f"  {label(task_instance):<11}{outcome} ({time.monotonic() - self._started:.1f} s)")


def short(text: str) -> str:
    """Return the beginning of a log line: up to the first address or list, with hashes of ten digits."""
    return shown.short_hashes(re.split(r"; |[.:,]? (?:Read|for|at|in) s3://", text)[0])


def label(task_instance: Any) -> str:
    """Return a task's name, with its number where it is mapped."""
    index = task_instance.map_index
    return str(task_instance.task_id) if index is None or index < 0 else f"{task_instance.task_id}[{index}]"


def run(dag_id: str, progress: Progress) -> bool:
    """Run ``dag_id`` from the DAGs folder, in a database that is migrated if need be; return whether it succeeded."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk.listener import get_listener_manager
    from airflow.utils.db import initdb

    home = Path(os.environ["AIRFLOW_HOME"])
    if not is_migrated(home):
        initdb()
        note_migrated(home)
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
    terminal = os.fdopen(os.dup(1), "w", encoding=locale.getencoding(), errors="backslashreplace")
    progress = Progress(terminal, verbose=bool(os.environ.get("VERBOSE")))
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
