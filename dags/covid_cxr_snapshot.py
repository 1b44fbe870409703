"""Nightly snapshot of COVID, pneumonia and normal chest X-rays.

Every night this DAG asks two public collections whether anything is new:

* **covid**: images and `metadata.csv` of
  [ieee8023/covid-chestxray-dataset](https://github.com/ieee8023/covid-chestxray-dataset) on GitHub,
* **pneumonia**: the Kaggle dataset
  [paultimothymooney/chest-xray-pneumonia](https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia).

If so, it builds a balanced dataset with equally many images of the classes COVID, NORMAL and PNEUMONIA and publishes
it as an immutable snapshot named by its date: `s3://BUCKET/PREFIX/2026-11-23/`.

| task | what it does | what its XCom holds |
|---|---|---|
| `poll` | asks both upstreams for their revision; nothing new: all else is skipped | the plan: revisions, settings |
| `ingest` | fetches files that are not stored yet, one task per source | inventory, counts |
| `inspect` | decodes images that were never decoded, in shards | counts |
| `filter` | labels every record, applies the rules, drops duplicates | ledger, counts by class and rule, warnings |
| `balance` | cuts the classes to equal size | ledger, counts |
| `audit` | checks that nothing was lost and no class shrank; refuses to publish otherwise | the checks |
| `publish` | writes the snapshot and moves `latest.json`, unless nothing in it is new | the dataset version |
| `verify` | reads the snapshot back; updates the asset `covid_cxr_snapshot` | numbers of objects and bytes |

**Nothing new** is a healthy end: the run succeeds and the skipped tasks are pink.

**To build again** although nothing is new, trigger with *force*. The same content is still not published twice.

**When `audit` stops the run** because a class shrank, look at what upstream removed; if it is right, trigger once with
*accept_shrink*.

**Settings** are environment variables `CXR_*` or the Airflow variable `cxr_snapshot` (a JSON object). **Credentials**
are the connections `cxr_s3`, `cxr_github` and `cxr_kaggle`, or the environment. The README lists them all.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, get_current_context, task

from airflow_runtime import pipeline
from cxr_snapshot.settings import CONTROL_CHOICES, INSPECT_SHARDS, LICENCE_CHOICES, VIEW_CHOICES
from cxr_snapshot.sources import SOURCES

SNAPSHOT = Asset("covid_cxr_snapshot")

PARAMS = {
    "force": Param(
        default=False,
        type="boolean",
        title="Build even if nothing is new",
        description="The same content is still not published twice.",
    ),
    "covid_commit": Param(
        default=None,
        type=["null", "string"],
        pattern=r"^([0-9a-f]{7,40}|\d{4}-\d{2}-\d{2})$",
        title="COVID collection as of",
        description="A commit SHA-1 of the GitHub repository, or a date; empty for the newest.",
    ),
    "views": Param(
        default=None,
        type=["null", "string"],
        enum=[None, *VIEW_CHOICES],
        title="Views",
        description="Which projections to keep; empty for the setting CXR_VIEWS.",
    ),
    "licences": Param(
        default=None,
        type=["null", "string"],
        enum=[None, *LICENCE_CHOICES],
        title="Licences",
        description="Which images may be in: any; none whose licence forbids derivatives; or only those with a named "
        "licence that allows them. Empty for the setting CXR_LICENCES.",
    ),
    "controls": Param(
        default=None,
        type=["null", "string"],
        enum=[None, *CONTROL_CHOICES],
        title="Controls",
        description="Where PNEUMONIA and NORMAL come from: Kaggle alone, or first the COVID collection's own images of "
        "other pneumonias and of no finding. Empty for the setting CXR_CONTROLS.",
    ),
    "max_per_class": Param(
        default=None,
        type=["null", "integer"],
        minimum=1,
        title="Most images in a class",
        description="Empty for the setting CXR_MAX_PER_CLASS, or no limit.",
    ),
    "accept_shrink": Param(
        default=False,
        type="boolean",
        title="Publish although a class shrank",
        description="Overrides the guard for this run only.",
    ),
}


def _overrides() -> dict[str, Any]:
    """Return the settings that the trigger form sets for this run."""
    params = get_current_context()["params"]
    return {name: params[name] for name in ("views", "licences", "controls", "max_per_class")}


@dag(
    dag_id="covid_cxr_snapshot",
    dag_display_name="COVID chest X-ray snapshot",
    doc_md=__doc__,
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    params=PARAMS,
    tags=["covid", "chest-x-ray", "dataset"],
    default_args={
        "owner": "data-engineering",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=1),
    },
)
def covid_cxr_snapshot() -> None:
    """Wire the stages; the work is in ``cxr_snapshot.pipeline``."""

    @task.short_circuit(execution_timeout=timedelta(minutes=15))
    def poll() -> Any:
        context = get_current_context()
        run, params = context["dag_run"], context["params"]
        with pipeline(_overrides()) as stages:
            return stages.poll(
                run.run_id,
                run.run_after.astimezone(UTC).isoformat(timespec="seconds"),
                pins={"covid": params["covid_commit"]} if params["covid_commit"] else {},
                force=params["force"],
                accept_shrink=params["accept_shrink"],
            )

    @task(execution_timeout=timedelta(hours=6), map_index_template="{{ task.op_kwargs['source'] }}")
    def ingest(plan: Any, source: str) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.ingest(plan, source)

    @task(execution_timeout=timedelta(hours=6))
    def inspect(plan: Any, shard: int) -> dict[str, int]:
        with pipeline() as stages:
            return stages.inspect(plan, shard)

    @task(task_id="filter")
    def filter_(plan: Any) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.filter(plan)

    @task
    def balance(plan: Any) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.balance(plan)

    @task
    def audit(plan: Any) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.audit(plan)

    @task.short_circuit
    def publish(plan: Any) -> Any:
        with pipeline() as stages:
            return stages.publish(plan)

    # The asset is updated here and not by `publish`, so that its consumers see verified snapshots only.
    @task(outlets=[SNAPSHOT])
    def verify(snapshot: Any) -> dict[str, int]:
        with pipeline() as stages:
            result = stages.verify(snapshot["version"])
        get_current_context()["outlet_events"][SNAPSHOT].extra = snapshot
        return result

    plan = poll()
    ingested = ingest.partial(plan=plan).expand(source=list(SOURCES))
    inspected = inspect.partial(plan=plan).expand(shard=list(range(INSPECT_SHARDS)))
    filtered, balanced, audited, snapshot = filter_(plan), balance(plan), audit(plan), publish(plan)
    ingested >> inspected >> filtered >> balanced >> audited >> snapshot
    verify(snapshot)


covid_cxr_snapshot()
