"""Lets a person decide, in Airflow, where a guard would have stopped the run."""

from __future__ import annotations

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

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Approval | None:
        """Return who approved and when, for the record; a rejection skips what follows and returns nothing."""
        answer = super().execute_complete(context, event)
        if answer["chosen_options"] != [self.APPROVE]:
            return None
        user, time = answer["responded_by_user"], answer["responded_at"]
        return {
            "user": (user["name"] or user["id"]) if user else None,
            "time": time.astimezone(UTC).isoformat(timespec="seconds"),
        }
