"""Clients of the S3 server, and buckets."""

from __future__ import annotations

import io
import threading
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import botocore.session
import pandas as pd

from cxr_snapshot.store.client import CLIENT_CONFIG, read_time, sending_at_once
from cxr_snapshot.store.objects import Store
from support.real_stores import KEY, REGION, SECRET, chosen

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_making = threading.Lock()  # a session makes one client at a time


@cache
def _session() -> boto3.Session:
    """Return a session that reads times as the pipeline's does; botocore's own way takes most of a listing's time."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_time)
    return boto3.Session(KEY, SECRET, region_name=REGION, botocore_session=session)


def client_of(endpoint: str) -> S3Client:
    """Return a client as the pipeline makes it."""
    with _making:
        return sending_at_once(_session().client("s3", endpoint_url=endpoint, config=CLIENT_CONFIG))


AStore = TypeVar("AStore", bound=Store)


def store_in(client: S3Client, bucket: str, prefix: str, kind: type[AStore] = Store) -> AStore:  # type: ignore[assignment]
    """Return a store as the pipeline opens it, with the setting that the server of these tests needs."""
    return kind(client, bucket, prefix, conditional_writes=chosen().conditional_writes)


def new_store(client: S3Client, prefix: str = "covid-cxr") -> Store:
    """Return an empty bucket."""
    bucket = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    return store_in(client, bucket, prefix)


def copy_objects(store: Store, target: Store, leave: tuple[str, ...] = ()) -> None:
    """Copy all objects to another bucket of the same server, but for those whose names start with one of ``leave``."""
    for name in store.list(""):
        if name.startswith(leave):
            continue
        origin: Any = {"Bucket": store.bucket, "Key": store.key(name)}
        store.client.copy_object(Bucket=target.bucket, Key=target.key(name), CopySource=origin)


def copied_bucket(store: Store, leave: tuple[str, ...] = ()) -> Store:
    """Return a new bucket that holds the same objects; ``leave`` as for :func:`copy_objects`."""
    copy = new_store(store.client, store.prefix)
    copy_objects(store, copy, leave)
    return copy


def read_csv(store: Store, name: str) -> pd.DataFrame:
    """Return a CSV object of the store, everything as text, nothing as missing."""
    return pd.read_csv(io.BytesIO(store.get(name)), dtype=str, keep_default_na=False)
