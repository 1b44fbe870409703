"""Lets a person decide, in Airflow, where a guard would have stopped the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

    from cxr_snapshot.audit.overrides import Approval


class ApprovalIfNeeded(ApprovalOperator):
    """Asks for approval where ``body`` says something once it is rendered, and is skipped where it is empty."""

    def execute(self, context: Context) -> Any:
        """Ask and wait, or skip."""
        if not self.body:
            raise AirflowSkipException("There is nothing to approve.")
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return the answer as plain data for the record.

        Returns:
            ``approved``; ``user``, the name, or ``None`` where Airflow gives none; ``time``, ISO 8601.
        """
        answer = super().execute_complete(context, event)
        user = answer["responded_by_user"]
        return {
            "approved": answer["chosen_options"] == [self.APPROVE],
            "user": (user["name"] or user["id"]) if user else None,
            "time": answer["responded_at"].astimezone(UTC).isoformat(timespec="seconds"),
        }


def approval_of(answer: Mapping[str, Any] | None) -> Approval | None:
    """Return what goes on record of an answer to ``ApprovalIfNeeded``; ``None`` for a rejection, or without answer."""
    return {"user": answer["user"], "time": answer["time"]} if answer and answer["approved"] else None
