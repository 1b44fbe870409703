"""Clients of the S3 server, and buckets."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd

from cxr_snapshot.store.client import CLIENT_CONFIG
from cxr_snapshot.store.objects import Store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def client_of(endpoint: str) -> S3Client:
    """Return a client as the pipeline makes it."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test-secret",
        region_name="us-east-1",
        config=CLIENT_CONFIG,
    )


def copied_bucket(store: Store) -> Store:
    """Return a new bucket that holds the same objects."""
    bucket = f"test-{uuid.uuid4().hex}"
    store.client.create_bucket(Bucket=bucket)
    for name in store.list(""):
        origin: Any = {"Bucket": store.bucket, "Key": store.key(name)}
        store.client.copy_object(Bucket=bucket, Key=store.key(name), CopySource=origin)
    return Store(store.client, bucket, store.prefix)


def read_csv(store: Store, name: str) -> pd.DataFrame:
    """Return a CSV object of the store, everything as text, nothing as missing."""
    return pd.read_csv(io.BytesIO(store.get(name)), dtype=str, keep_default_na=False)
