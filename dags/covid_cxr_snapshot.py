"""Nightly snapshot of COVID, pneumonia and normal chest X-rays.

Every night this DAG asks two public collections, or those that `CXR_SOURCES` names, whether anything is new:

* **covid**: images and `metadata.csv` of
  [ieee8023/covid-chestxray-dataset](https://github.com/ieee8023/covid-chestxray-dataset) on GitHub,
* **pneumonia**: the Kaggle dataset
  [paultimothymooney/chest-xray-pneumonia](https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia),
* on request **nih**: the Kaggle dataset [nih-chest-xrays/sample](https://www.kaggle.com/datasets/nih-chest-xrays/sample),
* on request **hannover**: images and `data.csv` of
  [ml-workgroup/covid-19-image-repository](https://github.com/ml-workgroup/covid-19-image-repository) on GitHub.

If so, it builds a balanced dataset with equally many images of the classes COVID, NORMAL and PNEUMONIA and publishes
it as an immutable snapshot named by its date: `s3://BUCKET/PREFIX/2026-11-23/`.

| task | what it does | what its XCom holds |
|---|---|---|
| `poll` | asks the upstreams for their revision; nothing new: all else is skipped | the plan: revisions, settings |
| `ingest` | fetches files that are not stored yet, one task per source | inventory, counts |
| `inspect` | decodes images that were never decoded, in shards | counts |
| `filter` | labels every record, applies the rules, drops duplicates | ledger, counts by class and rule, warnings |
| `balance` | cuts the classes to equal size | ledger, counts |
| `audit` | refuses to publish if something was lost or a class shrank; measures shortcuts | checks, main figures |
| `approve` | skipped, unless a guard tripped and the setting `approval` is `on`: then a person decides | the approval |
| `publish` | writes the snapshot and reads it back, unless nothing in it is new | the dataset version |
| `verify` | reads it as consumers do; moves `latest.json`; updates the asset `covid_cxr_snapshot` | objects and bytes |

**Nothing new** is a healthy end: the run succeeds and the skipped tasks are pink.

**Damage in the store.** What a task takes out of the store is checked first. What is missing or damaged is made or
fetched again; the log says what, and `mended` in the XCom how many objects.

**To build again** although nothing is new, trigger with *force*. The same content is still not published twice.

**When `audit` stops the run** because a class shrank, look at what upstream removed; if it is right, trigger once with
*accept_shrink*. With the setting `approval` the run waits two days for a person instead, under *Required actions*:
*Approve* publishes, *Reject* ends the run without publishing. What is published so says for good what was accepted, and
by whom or in which run.

**Time travel.** Trigger with a date in *COVID collection as of*, or run
`airflow backfill create --dag-id covid_cxr_snapshot --from-date 2020-03-28 --to-date 2020-03-29 --max-active-runs 1`.
This publishes the snapshot as it would have been at the end of that day (UTC), under that day's name, compared with the
newest snapshot up to that day. `latest.json` moves only forwards. All other collections are always the current ones.

**The schedule** is read when this file is parsed: `CXR_SCHEDULE` (cron, default `0 3 * * *`) in the time zone
`CXR_TIMEZONE` (default `UTC`). Versions are named by the UTC date at which a run starts.

**The collections** are read then, too: `CXR_SOURCES` (default `covid,pneumonia`), and `CXR_JUDGES` (default none) for
those of which nothing is published: the audit asks whether a model that was trained on the snapshot works on them.

**Settings** are environment variables `CXR_*` or the Airflow variable `cxr_snapshot` (a JSON object). **Credentials**
are the connections `cxr_s3`, `cxr_github` and `cxr_kaggle`, or the environment. The README lists them all.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, CronTriggerTimetable, Param, dag, get_current_context, task

from airflow_approval import ApprovalIfNeeded
from airflow_notify import Heartbeat, SnapshotNotifier
from airflow_runtime import WaitAsAsked, pipeline, time_travel
from cxr_snapshot.settings import CONTROL_CHOICES, INSPECT_SHARDS, LICENCE_CHOICES, SUBTYPE_CHOICES, VIEW_CHOICES
from cxr_snapshot.sources import chosen, judging

SNAPSHOT = Asset("covid_cxr_snapshot")
_SOURCES, _JUDGES = os.environ.get("CXR_SOURCES"), os.environ.get("CXR_JUDGES")
COLLECTIONS = [*chosen(_SOURCES), *judging(_SOURCES, _JUDGES)]

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
        description="Empty for the newest. A day such as 2020-03-28 (UTC): the snapshot is named by that day and holds "
        "what was there at its end. Or a commit SHA-1 of the GitHub repository: the snapshot is named by today.",
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
    "subtypes": Param(
        default=None,
        type=["null", "string"],
        enum=[None, *SUBTYPE_CHOICES],
        title="Pneumonia subtypes",
        description="Draw bacterial and viral pneumonias as they come, or equally many of each. Empty for the setting "
        "CXR_SUBTYPES.",
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
        description="Overrides the guard against lost candidates, for this run only. The snapshot says for good what "
        "was lost, in which run this was set, and who triggered it.",
    ),
}


def _overrides() -> dict[str, Any]:
    """Return the settings that the trigger form sets for this run."""
    params = get_current_context()["params"]
    return {name: params[name] for name in ("views", "licences", "controls", "subtypes", "max_per_class")}


@dag(
    dag_id="covid_cxr_snapshot",
    dag_display_name="COVID chest X-ray snapshot",
    doc_md=__doc__,
    schedule=CronTriggerTimetable(
        os.environ.get("CXR_SCHEDULE") or "0 3 * * *", timezone=os.environ.get("CXR_TIMEZONE") or "UTC"
    ),
    start_date=datetime(2020, 2, 1, tzinfo=UTC),  # the COVID collection is not older; a backfill may go back to here
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=3),  # longer than an approval may take; each task has a shorter limit of its own
    params=PARAMS,
    on_success_callback=Heartbeat(),
    on_failure_callback=Heartbeat("fail"),
    tags=["covid", "chest-x-ray", "dataset"],
    default_args={
        "owner": "data-engineering",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "retry_policy": WaitAsAsked(),
        "execution_timeout": timedelta(hours=1),
        "on_failure_callback": SnapshotNotifier("failed"),
    },
)
def covid_cxr_snapshot() -> None:
    """Wire the stages; the work is in ``cxr_snapshot.pipeline``."""

    @task.short_circuit(
        task_display_name="Poll the upstreams",
        execution_timeout=timedelta(minutes=15),
        on_execute_callback=Heartbeat("start"),
        on_success_callback=SnapshotNotifier("quiet"),
    )
    def poll() -> Any:
        """Ask GitHub and Kaggle for their revisions and pin them for the run. Nothing new: all else is skipped."""
        context = get_current_context()
        run, params = context["dag_run"], context["params"]
        as_of, pins = time_travel(run.run_type, run.logical_date, params["covid_commit"])
        started = run.start_date or run.run_after
        with pipeline(_overrides()) as stages:
            return stages.poll(
                run.run_id,
                started.astimezone(UTC).isoformat(timespec="seconds"),
                as_of=as_of,
                pins=pins,
                force=params["force"],
                accept_shrink=params["accept_shrink"],
                triggered_by=run.triggering_user_name,
            )

    # Mapped tasks do not take their manual from the docstring. At most one task for each upstream works at a time,
    # however many runs a backfill has going at once.
    @task(
        task_display_name="Ingest new files",
        doc_md="Fetch the files of one source that are not stored yet, check them, and write the revision's inventory.",
        execution_timeout=timedelta(hours=6),
        max_active_tis_per_dag=len(COLLECTIONS),
        map_index_template="{{ task.op_kwargs['source'] }}",
    )
    def ingest(plan: Any, source: str) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.ingest(plan, source)

    @task(
        task_display_name="Inspect new images",
        doc_md="Decode one shard of the images that were never decoded, and keep what was found.",
        execution_timeout=timedelta(hours=6),
        map_index_template=f"shard {{{{ task.op_kwargs['shard'] + 1 }}}} of {INSPECT_SHARDS}",
    )
    def inspect(plan: Any, shard: int) -> dict[str, Any]:
        with pipeline() as stages:
            return stages.inspect(plan, shard)

    @task(task_id="filter", task_display_name="Filter and deduplicate")
    def filter_(plan: Any) -> dict[str, Any]:
        """Label every record, apply the rules, drop duplicates and recommend splits. Warns of unknown words."""
        with pipeline() as stages:
            return stages.filter(plan)

    @task(task_display_name="Balance the classes", execution_timeout=timedelta(minutes=15))
    def balance(plan: Any) -> dict[str, Any]:
        """Cut the classes to equal size, by a hash of each image's content."""
        with pipeline() as stages:
            return stages.balance(plan)

    @task(task_display_name="Audit", execution_timeout=timedelta(minutes=15))
    def audit(plan: Any) -> dict[str, Any]:
        """Check that nothing was lost and no class shrank; then measure what can be told without seeing the disease."""
        with pipeline() as stages:
            return stages.audit(plan)

    approve = ApprovalIfNeeded(
        task_id="approve",
        task_display_name="Approve, if a guard tripped",
        doc_md="Asks a person whether to publish, where `audit` found something that only a person can judge and the "
        "setting `approval` is `on`. Otherwise it is skipped.",
        subject="Publish this snapshot although a guard tripped?",
        body="{{ ti.xcom_pull(task_ids='audit')['to_approve'] }}",
        response_timeout=timedelta(days=2),
        retries=0,
    )

    # A skipped `approve` does not stop it.
    @task.short_circuit(
        task_display_name="Publish", trigger_rule="none_failed", on_success_callback=SnapshotNotifier("quiet")
    )
    def publish(plan: Any) -> Any:
        """Write the snapshot and read it back, unless the content equals that of the snapshot before."""
        approval = get_current_context()["ti"].xcom_pull(task_ids="approve")
        with pipeline() as stages:
            return stages.publish(plan, approval)

    # The asset is updated here and not by `publish`, so that its consumers see verified snapshots only.
    @task(task_display_name="Verify", outlets=[SNAPSHOT], on_success_callback=SnapshotNotifier("published"))
    def verify(snapshot: Any) -> dict[str, int]:
        """Compare the snapshot with its checksums, move `latest.json`, and tell the consumers of the asset."""
        with pipeline() as stages:
            result = stages.verify(snapshot["version"])
        get_current_context()["outlet_events"][SNAPSHOT].extra = snapshot
        return result

    plan = poll()
    ingested = ingest.partial(plan=plan).expand(source=COLLECTIONS)
    inspected = inspect.partial(plan=plan).expand(shard=list(range(INSPECT_SHARDS)))
    filtered, balanced, audited, snapshot = filter_(plan), balance(plan), audit(plan), publish(plan)
    ingested >> inspected >> filtered >> balanced >> audited >> approve >> snapshot
    verify(snapshot)


covid_cxr_snapshot()
