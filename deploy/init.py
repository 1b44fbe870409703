"""Prepares what Airflow's containers need, once the database is migrated. Can be run again at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_snapshot.settings import Settings
from cxr_snapshot.store.client import connect
from local_stack.airflow_home import write_private

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def prepare(environ: Mapping[str, str], client: S3Client) -> None:
    """Make the bucket and write the password of the user ``admin``.

    Args:
        environ: the environment; names the bucket, the password and the file for it.
        client: a boto3 S3 client.
    """
    bucket = Settings.load(environ=environ).bucket
    if bucket not in [item["Name"] for item in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=bucket)
    passwords = Path(environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    write_private(passwords, json.dumps({"admin": environ["AIRFLOW_ADMIN_PASSWORD"]}))


if __name__ == "__main__":
    prepare(os.environ, connect())
