"""Takes published images back, when a patient or a publisher demands it. Runs only by hand.

Trigger it with one of image, patient and source path, and with a reason, which is published. Then:

| task | what it does |
|---|---|
| `preview` | finds the images with their copies, in all snapshots of all editions; changes nothing |
| `approve` | shows that to a person, who decides |
| `withdraw` | notes it, marks the snapshots, and with *erase* deletes the bytes |

From then on no build of any edition takes the images in: each has the rule `withdrawn` in `excluded.csv`. The next
night of each edition publishes a snapshot without them, although its upstreams have nothing new.

A snapshot that holds them gets the file `WITHDRAWN.json`. With *erase*, images, archives, and what shards, preview and
audit show of them are deleted there, and in the pipeline's own store; the rest still verifies, by the new checksums in
`WITHDRAWN.json`. That cannot be undone. Let no run of the snapshot DAGs be at work meanwhile: it would fail.

**Where it broke off**, clear the task `withdraw`, or trigger again with the same words.

**Rights.** The connection `cxr_s3_withdraw` is used where there is one, else `cxr_s3`. It has to be allowed to delete;
see `docs/policies/withdrawer.json`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from airflow_approval import ApprovalIfNeeded
from airflow_withdrawal import act, preview_of

_TEXT: dict[str, Any] = {"default": None, "type": ["null", "string"]}


@dag(
    dag_id="covid_cxr_withdraw",
    dag_display_name="Withdraw images",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2020, 2, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(days=3),
    params={
        "image": Param(
            **_TEXT,
            title="Image",
            description="SHA-256 of a published or upstream's file, or the published name, such as "
            "images/COVID/covid-0123456789abcdef.jpg.",
        ),
        "patient": Param(**_TEXT, title="Patient", description="As in manifest.csv, such as covid:311a."),
        "source_path": Param(
            **_TEXT, title="Source and path", description="As in manifest.csv, such as covid:images/name.jpg."
        ),
        "reason": Param(default="", type="string", title="Reason", description="It is published with the mark."),
        "erase": Param(
            default=False, type="boolean", title="Erase", description="Delete all bytes too. This cannot be undone."
        ),
    },
    tags=["covid", "chest-x-ray", "dataset"],
    default_args={
        "owner": "data-engineering",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=6),
    },
)
def withdraw_images() -> None:
    """Wire preview, approval and act."""

    @task(task_display_name="Show what would be withdrawn")
    def preview() -> str:
        """Find the images and their copies in all snapshots of all editions, and say what would happen."""
        return preview_of(get_current_context())

    approve = ApprovalIfNeeded(
        task_id="approve",
        task_display_name="Approve",
        doc_md="Asks a person whether to withdraw what `preview` found.",
        subject="Withdraw these images?",
        body="{{ ti.xcom_pull(task_ids='preview') }}",
        response_timeout=timedelta(days=2),
        retries=0,
    )

    @task(task_display_name="Withdraw")
    def withdraw() -> dict[str, int]:
        """Note the withdrawal, mark the snapshots, and erase where that was asked for. Can be cleared at any time."""
        return act(get_current_context())

    preview() >> approve >> withdraw()


withdraw_images()
