"""Asks Airflow when a DAG last ended well: of a night without news, nothing is in the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow.models import DagRun, TaskInstance
from airflow.utils.state import DagRunState, TaskInstanceState
from sqlalchemy import select
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class LastRun:
    """The last run that ended well: when it started, and whether it published a snapshot, under whatever edition."""

    started: datetime
    published: bool


def last_good_run(session: Session, dag: str) -> LastRun | None:
    """Return the last run of a DAG that ended well; ``None`` where Airflow knows of none.

    Args:
        session: of Airflow's database.
        dag: name of the DAG of an edition.
    """
    good = select(DagRun).where(DagRun.dag_id == dag, DagRun.state == DagRunState.SUCCESS)
    run = session.scalars(good.order_by(DagRun.start_date.desc()).limit(1)).first()
    if run is None or run.start_date is None:
        return None
    verify = select(TaskInstance.state).where(
        TaskInstance.dag_id == dag, TaskInstance.run_id == run.run_id, TaskInstance.task_id == "verify"
    )
    return LastRun(run.start_date, session.scalar(verify) == TaskInstanceState.SUCCESS)
