"""An example of what a user of the snapshots would write: it runs whenever one is published.

It is scheduled on the asset `covid_cxr_snapshot`. The asset's event carries the dataset version: where the snapshot is,
what it was built from, and the checksum of its manifest. The task downloads that manifest, checks it, and logs how many
images of each class the recommended splits hold. Nights on which nothing is published do not start it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import Asset, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from airflow_runtime import s3_client

SNAPSHOT = Asset("covid_cxr_snapshot")
SPLITS = ("train", "validation", "test")

log = logging.getLogger(__name__)


def class_table(manifest: bytes, sha256: str) -> str:
    """Return a table of the numbers of images by class and split.

    Args:
        manifest: bytes of a snapshot's ``manifest.csv``.
        sha256: what they must hash to.

    Raises:
        AirflowFailException: they do not.
    """
    found = hashlib.sha256(manifest).hexdigest()
    if found != sha256:
        raise AirflowFailException(f"manifest.csv has the SHA-256 {found}, but {sha256} was announced. Do not use it.")
    rows = list(csv.DictReader(io.StringIO(manifest.decode(), newline="")))
    counts = Counter((row["class"], row["split"]) for row in rows)
    lines = [f"{'class':<12}" + "".join(f"{split:>12}" for split in SPLITS)]
    lines += [
        f"{name:<12}" + "".join(f"{counts[name, split]:>12,}" for split in SPLITS)
        for name in sorted({row["class"] for row in rows})
    ]
    return "\n".join(lines)


@dag(
    dag_id="example_snapshot_consumer",
    dag_display_name="Example: use each new snapshot",
    doc_md=__doc__,
    schedule=[SNAPSHOT],
    start_date=datetime(2020, 2, 1, tzinfo=UTC),
    catchup=False,
    tags=["covid", "chest-x-ray", "example"],
    default_args={"owner": "data-science", "retries": 3, "execution_timeout": timedelta(minutes=15)},
)
def example_snapshot_consumer() -> None:
    """Wire the only task."""

    @task(task_display_name="Count the images")
    def count_images() -> list[dict[str, Any]]:
        """Download and check the manifest of each snapshot that was published since the last run."""
        used = []
        for event in get_current_context()["triggering_asset_events"][SNAPSHOT]:
            snapshot = event.extra
            address = urlsplit(snapshot["uri"] + "manifest.csv")
            answer = s3_client().get_object(Bucket=address.netloc, Key=address.path.removeprefix("/"))
            table = class_table(answer["Body"].read(), snapshot["manifest_sha256"])
            log.info("%s of %s:\n%s", snapshot["version"], snapshot["created"], table)
            used.append({"version": snapshot["version"], "counts": snapshot["counts"]})
        log.info("Used %d snapshots: %s", len(used), ", ".join(item["version"] for item in used))
        return used

    count_images()


example_snapshot_consumer()
