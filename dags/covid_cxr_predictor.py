"""Trains a small network on each new snapshot, and says how little its scores mean.

It runs whenever `covid_cxr_snapshot` publishes, and is paused until somebody wants it.

| task | what it does | what its XCom holds |
|---|---|---|
| `choose` | names the snapshot: that of the event, or the one that the trigger form names | `EDITION/VERSION` |
| `train` | trains, measures and publishes, in an environment of its own | address of the model, main figures |

The model goes to `PREFIX/models/<edition>/<version>/` and never changes: network, figures with intervals by patient,
occlusion maps, and a card whose first sentence says what the scores do not mean. Where there is a model already,
nothing is trained. Where a snapshot has too few patients, `train` is skipped, and its log says how many there are.

**The environment** is `.local/predictor-venv`, which `make predictor` makes; or set `CXR_PREDICTOR_PYTHON` to the
Python of one into which `requirements-predictor.txt` was installed, on every worker and for the DAG processor.

**Judges.** `CXR_PREDICTOR_JUDGES`, or the trigger form, names another snapshot, of other collections. Those of its
images whose patients the model's own snapshot does not have judge the model: how many normal adults does it call COVID?
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, get_current_context, task

from airflow_predictor import InPredictorEnvironment
from cxr_predictor.environment import TOO_FEW, predictor_python

SNAPSHOT = Asset("covid_cxr_snapshot")


def train_model(snapshot: str, judges: str | None, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train on a snapshot and publish the model; this runs in the predictor's environment, all by itself."""
    from cxr_predictor.task import run

    return run(snapshot, judges, settings or {})


@dag(
    dag_id="covid_cxr_predictor",
    dag_display_name="COVID chest X-ray predictor",
    doc_md=__doc__,
    schedule=[SNAPSHOT],
    start_date=datetime(2020, 2, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    params={
        "snapshot": Param(
            default="latest",
            type="string",
            title="Snapshot",
            description="A version such as 2026-11-23, or EDITION/VERSION; only where no event of the asset names one.",
        ),
        "judges": Param(
            default=os.environ.get("CXR_PREDICTOR_JUDGES") or None,
            type=["null", "string"],
            title="Judges",
            description="Another snapshot, as above or as an s3:// address, whose unknown patients judge the model. "
            "Empty for none.",
        ),
    },
    tags=["covid", "chest-x-ray", "model"],
    default_args={
        "owner": "data-science",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=1),
    },
)
def covid_cxr_predictor() -> None:
    """Wire the two tasks; the work is in ``cxr_predictor``."""

    @task(task_display_name="Choose the snapshot", execution_timeout=timedelta(minutes=15))
    def choose() -> str:
        """Name the snapshot of the newest event that started the run; without one, what the trigger form says."""
        context = get_current_context()
        events = [event.extra for event in context["triggering_asset_events"].get(SNAPSHOT, [])]
        named = [f"{extra.get('edition', 'default')}/{extra['version']}" for extra in events if "version" in extra]
        return named[-1] if named else str(context["params"]["snapshot"])

    InPredictorEnvironment(
        task_id="train",
        task_display_name="Train and publish a model",
        doc_md="Train, measure and publish a model in the predictor's own environment; skipped where a snapshot is too "
        "small.",
        python=str(predictor_python()),
        python_callable=train_model,
        op_kwargs={"snapshot": choose(), "judges": "{{ params.judges or '' }}"},
        expect_airflow=False,
        skip_on_exit_code=TOO_FEW,
    )


covid_cxr_predictor()
