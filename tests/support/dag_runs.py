"""Runs of the DAG in this process, and what became of their tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models import DagRun

RunDag = Callable[..., "DagRun"]


def states(run: DagRun) -> dict[str, str]:
    """Return the state of each task, of mapped ones the set of states."""
    found: dict[str, set[str]] = {}
    for instance in run.get_task_instances():
        found.setdefault(instance.task_id, set()).add(str(instance.state))
    return {task: "/".join(sorted(all_states)) for task, all_states in found.items()}


def xcom(run: DagRun, task_id: str) -> Any:
    """Return what a task returned."""
    return run.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def links(run: DagRun) -> dict[str, str | None]:
    """Return where the button of each task that has one leads, if anywhere, as Airflow's web server finds it."""
    buttons = {task.task_id: task for task in run.dag.tasks if task.extra_links}
    return {
        name: task.get_extra_links(run.get_task_instance(name), "Open snapshot") or None
        for name, task in buttons.items()
    }
