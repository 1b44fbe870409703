"""Nightly snapshot of COVID, pneumonia and normal chest X-rays.

There is a DAG like this for each *edition*; see below. Every night that of the default one asks two public collections,
or those that `CXR_SOURCES` names, whether anything is new:

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
| `verify` | reads it as consumers do; moves `latest.json`; updates the edition's asset | objects and bytes |

**Nothing new** is a healthy end: the run succeeds and the skipped tasks are pink.

**Damage in the store.** What a task takes out of the store is checked first. What is missing or damaged is made or
fetched again; the log says what, and `mended` in the XCom how many objects.

**To see what a run published,** press *Open snapshot* among the details of its tasks `publish` or `verify`. All
snapshots are under *Browse, CXR snapshots*.

**To build again** although nothing is new, trigger with *force*. The same content is still not published twice.

**When `audit` stops the run** because a class shrank, look at what upstream removed; if it is right, trigger once with
*accept_shrink*. With the setting `approval` the run waits two days for a person instead, under *Required actions*,
where it says and shows what is lost: *Approve* publishes, *Reject* ends the run without publishing. What is published
so says for good what was accepted, and by whom or in which run.

**Time travel.** Trigger with a day in *As of*, or run
`airflow backfill create --dag-id covid_cxr_snapshot --from-date 2020-03-28 --to-date 2020-03-29 --max-active-runs 1`.
This publishes the snapshot as it would have been at the end of that day (UTC), under that day's name, compared with the
newest snapshot up to that day. `latest.json` moves only forwards. All other collections are always the current ones.

**Editions.** An edition is a named choice of images. `covid_cxr_snapshot` makes the *default* one, under
`s3://BUCKET/PREFIX/`, with the settings of the deployment. Each one that `dags/editions.yaml` lists has a DAG
`covid_cxr_snapshot_<name>`, which starts paused, and publishes under `s3://BUCKET/PREFIX/editions/<name>/` with a
`latest.json` and an asset of its own. All share what was fetched and decoded.

**To try other settings,** trigger with them and with a name under *Edition* that no DAG has: the snapshot is then of
the edition of that name. Without a name such a run is refused, so that no edition's `latest.json` ever leads to
images that were chosen otherwise.

**The schedule** is read when this file is parsed: `CXR_SCHEDULE` (cron, default `0 3 * * *`) in the time zone
`CXR_TIMEZONE` (default `UTC`); for other editions, `editions.yaml`. Versions are named by the UTC date at which a run
starts.

**The collections** are read then, too: `CXR_SOURCES` (default `covid,pneumonia`), or what the edition names; and
`CXR_JUDGES` (default none) for those of which nothing is published: the audit asks whether a model that was trained on
the snapshot works on them. A collection that an edition uses does not judge it.

**Settings** are environment variables `CXR_*` or the Airflow variable `cxr_snapshot` (a JSON object). **Credentials**
are the connections `cxr_s3`, `cxr_github` and `cxr_kaggle`, or the environment. `docs/settings.md` lists them all.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetAlias, CronTriggerTimetable, dag, get_current_context, task

from airflow_approval import ApprovalIfNeeded
from airflow_form import overrides, params
from airflow_links import SnapshotLink, draft_pages, snapshot_page
from airflow_notify import Heartbeat, SnapshotNotifier
from airflow_runtime import WaitAsAsked, edition_of_run, main_facts_first, pipeline, time_travel
from cxr_snapshot.editions import DEFAULT, Edition, dag_id, read_editions
from cxr_snapshot.settings import INSPECT_SHARDS
from cxr_snapshot.sources import chosen, judging

SNAPSHOTS = AssetAlias("covid_cxr_snapshots")  # stands for the assets of all editions
EDITIONS = read_editions(Path(__file__).with_name("editions.yaml"))


def _schedule(edition: Edition) -> CronTriggerTimetable | None:
    """Return when the DAG of an edition runs, in the time zone of the deployment."""
    cron = (os.environ.get("CXR_SCHEDULE") or "0 3 * * *") if edition.is_default else edition.schedule
    return CronTriggerTimetable(cron, timezone=os.environ.get("CXR_TIMEZONE") or "UTC") if cron else None


def _manual(edition: Edition) -> str | None:
    """Return the manual, which begins with what is special about an edition."""
    if edition.is_default:
        return __doc__
    chosen_there = ", ".join(f"`{name}` = `{value}`" for name, value in edition.settings.items())
    return f"**This DAG makes the edition `{edition.name}`:** {chosen_there or 'all as the default'}.\n\n{__doc__}"


def make_dag(edition: Edition) -> None:
    """Make the DAG of one edition; the work is in ``cxr_snapshot.pipeline``."""
    sources = edition.settings.get("sources") or os.environ.get("CXR_SOURCES")
    collections = [*chosen(sources), *judging(sources, os.environ.get("CXR_JUDGES"))]

    @dag(
        dag_id=edition.dag_id,
        dag_display_name=edition.title,
        doc_md=_manual(edition),
        schedule=_schedule(edition),
        start_date=datetime(2020, 2, 1, tzinfo=UTC),  # the COVID collection is not older; backfills may go back to here
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(days=3),  # longer than an approval may take; each task has a shorter limit of its own
        params=params(edition),
        is_paused_upon_creation=edition.paused or None,  # None: as Airflow is configured
        # A watchdog that expects one call each night would take the good end of one edition for that of another.
        on_success_callback=Heartbeat() if edition.is_default else None,
        on_failure_callback=Heartbeat("fail") if edition.is_default else None,
        tags=["covid", "chest-x-ray", "dataset"],
        default_args={
            "owner": "data-engineering",
            "retries": 3,
            "retry_delay": timedelta(minutes=1),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=30),
            "retry_policy": WaitAsAsked(),
            "execution_timeout": timedelta(hours=1),
            "on_failure_callback": SnapshotNotifier("failed", edition.name),
        },
    )
    def build() -> None:
        """Wire the stages."""

        @task.short_circuit(
            task_display_name="Poll the upstreams",
            execution_timeout=timedelta(minutes=15),
            on_execute_callback=Heartbeat("start") if edition.is_default else None,
            on_success_callback=SnapshotNotifier("quiet", edition.name),
        )
        def poll() -> Any:
            """Ask GitHub and Kaggle for their revisions and pin them for the run. Nothing new: all else is skipped."""
            context = get_current_context()
            run, filled = context["dag_run"], context["params"]
            started = run.start_date or run.run_after
            with pipeline(edition, overrides(filled)) as stages:
                as_of, pins = time_travel(run.run_type, run.logical_date, filled["as_of"], filled["covid_commit"])
                return stages.poll(
                    run.run_id,
                    started.astimezone(UTC).isoformat(timespec="seconds"),
                    as_of=as_of,
                    pins=pins,
                    force=filled["force"],
                    accept_shrink=filled["accept_shrink"],
                    triggered_by=run.triggering_user_name,
                    edition=edition_of_run(edition, filled, [each.name for each in EDITIONS]),
                )

        # Mapped tasks do not take their manual from the docstring. At most one task for each upstream works at a time,
        # however many runs a backfill has going at once.
        @task(
            task_display_name="Ingest new files",
            doc_md="Fetch those files of one source that are not stored yet, check them, and write its inventory.",
            execution_timeout=timedelta(hours=6),
            max_active_tis_per_dag=len(collections),
            map_index_template="{{ task.op_kwargs['source'] }}",
        )
        def ingest(plan: Any, source: str) -> dict[str, Any]:
            with pipeline(edition) as stages:
                return stages.ingest(plan, source)

        @task(
            task_display_name="Inspect new images",
            doc_md="Decode one shard of the images that were never decoded, and keep what was found.",
            execution_timeout=timedelta(hours=6),
            map_index_template=f"shard {{{{ task.op_kwargs['shard'] + 1 }}}} of {INSPECT_SHARDS}",
        )
        def inspect(plan: Any, shard: int) -> dict[str, Any]:
            with pipeline(edition) as stages:
                return stages.inspect(plan, shard)

        @task(task_id="filter", task_display_name="Filter and deduplicate")
        def filter_(plan: Any) -> dict[str, Any]:
            """Label every record, apply the rules, drop duplicates and recommend splits. Warns of unknown words."""
            with pipeline(edition) as stages:
                return stages.filter(plan)

        @task(task_display_name="Balance the classes", execution_timeout=timedelta(minutes=15))
        def balance(plan: Any) -> dict[str, Any]:
            """Cut the classes to equal size, by a hash of each image's content."""
            with pipeline(edition) as stages:
                return stages.balance(plan)

        @task(task_display_name="Audit", execution_timeout=timedelta(minutes=15))
        def audit(plan: Any) -> dict[str, Any]:
            """Check that nothing was lost and no class shrank; measure what can be told without seeing the disease."""
            with pipeline(edition) as stages:
                return stages.audit(plan, draft_pages(plan["folder"]))

        approve = ApprovalIfNeeded(
            task_id="approve",
            task_display_name="Approve, if a guard tripped",
            doc_md="Asks a person whether to publish, where `audit` found something that only a person can judge and "
            "the setting `approval` is `on`. Otherwise it is skipped.",
            subject="{{ ti.xcom_pull(task_ids='audit')['question'] }}",
            body="{{ ti.xcom_pull(task_ids='audit')['to_approve'] }}",
            notifiers=SnapshotNotifier("asked", edition.name),
            response_timeout=timedelta(days=2),
            retries=0,
        )

        # A skipped `approve` does not stop it.
        @task.short_circuit(
            task_display_name="Publish",
            trigger_rule="none_failed",
            on_success_callback=SnapshotNotifier("quiet", edition.name),
        )
        def publish(plan: Any) -> Any:
            """Write the snapshot and read it back, unless the content equals that of the snapshot before."""
            approval = get_current_context()["ti"].xcom_pull(task_ids="approve")
            with pipeline(edition) as stages:
                snapshot = stages.publish(plan, approval)
            return snapshot and main_facts_first(snapshot)

        # The asset is updated here and not by `publish`, so that its consumers see verified snapshots only. It is that
        # of the edition under whose name the run published, which only the run knows.
        @task(
            task_display_name="Verify",
            outlets=[SNAPSHOTS],
            on_success_callback=SnapshotNotifier("published", edition.name),
        )
        def verify(snapshot: Any) -> dict[str, int]:
            """Compare the snapshot with its checksums, move `latest.json`, and tell the consumers of the asset."""
            name = snapshot.get("edition", DEFAULT.name)  # of a run that began before there were editions
            with pipeline(edition) as stages:
                result = stages.verify(snapshot["version"], name)
            event = snapshot | {"page": snapshot_page(snapshot)}
            get_current_context()["outlet_events"][SNAPSHOTS].add(Asset(dag_id(name)), extra=event)
            return result

        plan = poll()
        ingested = ingest.partial(plan=plan).expand(source=collections)
        inspected = inspect.partial(plan=plan).expand(shard=list(range(INSPECT_SHARDS)))
        filtered, balanced, audited, snapshot = filter_(plan), balance(plan), audit(plan), publish(plan)
        ingested >> inspected >> filtered >> balanced >> audited >> approve >> snapshot
        verified = verify(snapshot)
        published: Any  # mypy does not know that these have an operator
        for published in (snapshot, verified):
            published.operator.operator_extra_links = [SnapshotLink()]

    build()


for each in EDITIONS:
    make_dag(each)
