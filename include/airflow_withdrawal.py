"""What the DAG ``covid_cxr_withdraw`` needs from Airflow: its form, the store, who asks and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING

from airflow_runtime import find_connection, load_settings, s3_client

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cxr_snapshot.catalog.withdrawal import WithdrawalPlan
    from cxr_snapshot.store.objects import Store

S3_CONNECTION = "cxr_s3_withdraw"  # of those who may delete; where there is none, that of the other DAGs is used


def preview_of(context: Context) -> str:
    """Return what the run would do, in Markdown.

    Raises:
        AirflowFailException: an error that a retry cannot mend.
        SnapshotError: any other error of the pipeline.
    """
    with _plan(context) as (_, plan):
        return plan.question()


def act(context: Context) -> dict[str, int]:
    """Do what the run asks for; errors as :func:`preview_of`.

    Returns:
        See :func:`cxr_snapshot.catalog.withdrawal.withdraw`.
    """
    from cxr_snapshot.catalog.withdrawal import withdraw

    with _plan(context) as (store, plan):
        return withdraw(store, plan)


@contextmanager
def _plan(context: Context) -> Iterator[tuple[Store, WithdrawalPlan]]:
    """Yield the store, and what the run asks for."""
    from airflow.sdk.exceptions import AirflowFailException

    from cxr_snapshot.catalog.withdrawal import asked_for, plan_withdrawal
    from cxr_snapshot.errors import SnapshotError
    from cxr_snapshot.store.client import open_store

    run, filled, answer = context["dag_run"], context["params"], context["ti"].xcom_pull(task_ids="approve")
    asked, approved = run.triggering_user_name or run.run_id, f", approved by {answer['user']}" if answer else ""
    time = (run.start_date or run.run_after).astimezone(UTC).isoformat(timespec="seconds")
    try:
        kind, value = asked_for(filled["image"], filled["patient"], filled["source_path"])
        client = s3_client(name=S3_CONNECTION) if find_connection(S3_CONNECTION) else s3_client()
        store = open_store(load_settings(), client)
        yield (
            store,
            plan_withdrawal(
                store,
                kind,
                value,
                reason=filled["reason"],
                erase=filled["erase"],
                time=time,
                by=f"{asked}{approved}",
            ),
        )
    except SnapshotError as error:
        if error.transient:
            raise
        raise AirflowFailException(str(error)) from error
