"""Runs a function in the predictor's own environment, with the store that the other tasks have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.python import ExternalPythonOperator

from cxr_predictor.environment import remedy, variables


class InPredictorEnvironment(ExternalPythonOperator):
    """Airflow's external Python, whose function gets ``settings`` and finds the store's keys as boto3 does.

    The keys are added when it is run, to the environment of its process only: they are in no template, XCom or log.
    """

    def execute_callable(self) -> Any:
        """Run the function.

        Raises:
            AirflowFailException: the environment is not there.
        """
        from airflow.sdk.exceptions import AirflowFailException

        from airflow_runtime import load_settings, store_variables

        if not (python := Path(self.python)).is_file():
            raise AirflowFailException(remedy(python))
        settings = load_settings()
        chosen = {name: getattr(settings, name) for name in ("bucket", "prefix", "conditional_writes")}
        self.op_kwargs = {**self.op_kwargs, "settings": chosen}
        self.env_vars = variables(store_variables())
        return super().execute_callable()  # type: ignore[no-untyped-call]

    def _is_pendulum_installed_in_target_env(self) -> bool:
        """Say that it is not: Airflow would ask that environment, and log the traceback of its answer."""
        return False
