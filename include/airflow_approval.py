"""Lets a person decide, in Airflow, where a guard would have stopped the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context


class ApprovalIfNeeded(ApprovalOperator):
    """Asks for approval where ``body`` says something once it is rendered, and is skipped where it is empty."""

    def execute(self, context: Context) -> Any:
        """Ask and wait, or skip."""
        if not self.body:
            raise AirflowSkipException("There is nothing to approve.")
        return super().execute(context)
