"""A person who answers what a DAG asks."""

from __future__ import annotations

from contextlib import suppress

from support.waiting import eventually


def answer(option: str) -> str:
    """Wait for a question and answer it, through the function behind Airflow's REST API; return the question."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
    from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select, update
    from sqlalchemy.exc import OperationalError

    def answered() -> str:
        with suppress(OperationalError), create_session() as session:  # the run holds SQLite's lock
            detail = session.scalar(select(HITLDetail).where(HITLDetail.responded_at.is_(None)))
            if detail is None or str(detail.task_instance.state) != "awaiting_input":
                return ""
            asked = detail.task_instance
            payload = UpdateHITLDetailPayload(chosen_options=[option])
            user = SimpleAuthManagerUser(username="reviewer", role="admin")
            update_hitl_detail(asked.dag_id, asked.run_id, asked.task_id, payload, user, session)
            return f"{detail.subject}\n{detail.body}"
        return ""

    def taken_up() -> bool:
        """Say whether the task goes on; ``dag.test`` may still write the state in which it waits over the answer's."""
        with suppress(OperationalError), create_session() as session:
            detail = session.scalars(select(HITLDetail).order_by(HITLDetail.responded_at.desc())).first()
            asked = detail.task_instance
            if str(asked.state) == "awaiting_input":
                asked.state = TaskInstanceState.SCHEDULED
            return str(asked.state) != "scheduled"
        return False

    try:
        question = str(eventually(answered, "a question"))
        eventually(taken_up, "that the answer is taken up")
        return question
    except BaseException:  # the run would wait for ever
        with create_session() as session:
            waiting = TaskInstance.state == "awaiting_input"
            session.execute(update(TaskInstance).where(waiting).values(state="failed"))
        raise
