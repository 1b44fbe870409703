"""Object storage: the one place that talks S3.

Names are relative to the prefix. Every write states its SHA-256, so that a damaged upload is refused by the store.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from cxr_snapshot.errors import MissingObjectError, SettingsError, StorageError, StorageUnavailableError
from cxr_snapshot.models import to_arrow, to_frame

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

THREADS = 16

# Standard mode retries connection errors, 5xx and throttling with backoff. Checksums only where we give one: the
# default CRC would be computed a second time beside our SHA-256, and some third-party stores refuse it.
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 6},
    connect_timeout=15,
    read_timeout=60,
    max_pool_connections=2 * THREADS,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)

Item = TypeVar("Item")
Result = TypeVar("Result")


class PreconditionFailedError(StorageError):
    """A conditional write lost: the object is not in the state that the caller named."""


@dataclass(frozen=True)
class StoredObject:
    """What a listing says of one object: size in bytes, ETag with its quotes, time of the last change."""

    size: int
    etag: str
    modified: datetime


class Store:
    """Objects under one prefix of one bucket.

    Args:
        client: a boto3 S3 client.
        bucket: name of an existing bucket.
        prefix: key prefix without slashes at its ends; may be empty.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix

    def key(self, name: str) -> str:
        """Return the full key of ``name``."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def uri(self, name: str) -> str:
        """Return the ``s3://`` address of ``name``."""
        return f"s3://{self.bucket}/{self.key(name)}"

    def get(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            MissingObjectError: there is no such object.
            StorageError: the store refused or did not answer.
        """
        return self.get_with_etag(name)[0]

    def get_with_etag(self, name: str) -> tuple[bytes, str]:
        """Return an object's bytes and ETag; errors as :meth:`get`."""
        with self._errors("read", name):
            answer = self.client.get_object(Bucket=self.bucket, Key=self.key(name))
            return answer["Body"].read(), answer["ETag"]

    def put(
        self,
        name: str,
        body: bytes,
        *,
        sha256: str | None = None,
        only_if_absent: bool = False,
        only_if_etag: str | None = None,
    ) -> None:
        """Write an object.

        Args:
            name: its name.
            body: its bytes.
            sha256: their SHA-256 in hex, where the caller already has it.
            only_if_absent: write only when no such object exists.
            only_if_etag: write only over an object with this ETag.

        Raises:
            PreconditionFailedError: the object was not in the state asked for.
            StorageError: the store refused or did not answer.
        """
        digest = bytes.fromhex(sha256) if sha256 else hashlib.sha256(body).digest()
        extra: dict[str, Any] = {"ChecksumSHA256": base64.b64encode(digest).decode()}
        if only_if_absent:
            extra["IfNoneMatch"] = "*"
        if only_if_etag:
            extra["IfMatch"] = only_if_etag
        with self._errors("write", name):
            self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=body, **extra)

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store; no bytes pass through this machine."""
        with self._errors("copy", source):
            self.client.copy_object(
                Bucket=self.bucket, Key=self.key(target), CopySource={"Bucket": self.bucket, "Key": self.key(source)}
            )

    def list(self, folder: str) -> dict[str, StoredObject]:
        """Return every object whose name starts with ``folder``, by name, 1,000 a request."""
        found: dict[str, StoredObject] = {}
        cut = len(self.key(""))
        with self._errors("list", folder):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key(folder))
            for page in pages:
                for item in page.get("Contents", []):
                    found[item["Key"][cut:]] = StoredObject(item["Size"], item["ETag"], item["LastModified"])
        return found

    def age(self, name: str) -> float | None:
        """Return the seconds since an object was written, by the store's own clock; ``None`` if there is none."""
        try:
            with self._errors("look at", name):
                answer = self.client.head_object(Bucket=self.bucket, Key=self.key(name))
        except MissingObjectError:
            return None
        now = pd.Timestamp(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - pd.Timestamp(answer["LastModified"])).total_seconds())

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Return an object that holds a JSON object, or ``None`` if there is none.

        Raises:
            StorageError: it is not a JSON object, or as :meth:`get`.
        """
        try:
            body = self.get(name)
        except MissingObjectError:
            return None
        return parse_json(body, self.uri(name))

    def put_json(self, name: str, value: dict[str, Any]) -> None:
        """Write ``value`` as JSON; equal values give equal bytes."""
        self.put(name, json_bytes(value))

    def get_table(self, name: str) -> pd.DataFrame:
        """Return a Parquet object as a table; errors as :meth:`get`."""
        try:
            return to_frame(pq.read_table(io.BytesIO(self.get(name))))
        except pa.ArrowInvalid as error:
            raise StorageError(
                f"{self.uri(name)} is not a Parquet file ({error}). Delete it; it is made again."
            ) from error

    def put_table(self, name: str, frame: pd.DataFrame, schema: pa.Schema) -> None:
        """Write ``frame`` as Parquet with exactly ``schema``."""
        self.put(name, parquet_bytes(frame, schema))

    @contextmanager
    def _errors(self, doing: str, name: str) -> Iterator[None]:
        """Turn boto3's errors into ours, with the address and a remedy."""
        uri = self.uri(name)
        try:
            yield
        except ClientError as error:
            code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            if code in ("PreconditionFailed", "ConditionalRequestConflict") or status == 412:
                raise PreconditionFailedError(f"{uri} was changed by somebody else.") from error
            if code == "NoSuchBucket":
                raise StorageError(f"bucket {self.bucket} does not exist. Create it or set CXR_BUCKET.") from error
            if code in ("NoSuchKey", "404", "NotFound"):
                raise MissingObjectError(f"{uri} does not exist.") from error
            if status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling"):
                raise StorageUnavailableError(f"could not {doing} {uri}: {code} {message}. Try again later.") from error
            raise StorageError(
                f"could not {doing} {uri}: {code} {message}. Check the keys and rights of the store's connection."
            ) from error
        except (NoCredentialsError, NoRegionError) as error:
            raise SettingsError(
                f"could not {doing} {uri}: {error}. Set the Airflow connection cxr_s3, or AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION."
            ) from error
        except BotoCoreError as error:
            raise StorageUnavailableError(
                f"could not {doing} {uri}: {error}. Check that the store runs and AWS_ENDPOINT_URL_S3 names it."
            ) from error


def connect() -> S3Client:
    """Return an S3 client from the environment, by boto3's own rules (``AWS_ENDPOINT_URL_S3``, ``AWS_PROFILE``)."""
    return boto3.client("s3", config=CLIENT_CONFIG)


def blob_name(sha256: str) -> str:
    """Return the name of the blob with these bytes."""
    return f"_work/blobs/sha256/{sha256[:2]}/{sha256}"


def json_bytes(value: dict[str, Any]) -> bytes:
    """Return ``value`` as indented JSON with sorted keys and a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def parse_json(body: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in ``body``.

    Raises:
        StorageError: it is none; the text names ``where``.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise StorageError(f"{where} is not JSON ({error}). Restore it from a backup or delete it.") from error
    if not isinstance(value, dict):
        raise StorageError(f"{where} is not a JSON object. Restore it from a backup or delete it.")
    return value


def parquet_bytes(frame: pd.DataFrame, schema: pa.Schema) -> bytes:
    """Return ``frame`` as a Parquet file with exactly ``schema``; equal tables give equal bytes."""
    sink = io.BytesIO()
    pq.write_table(to_arrow(frame, schema), sink, compression="zstd")
    return sink.getvalue()


def bounded_map(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS
) -> Iterator[tuple[Item, Result]]:
    """Yield ``(item, work(item))`` in order, working ahead in threads by at most ``2 * threads`` items.

    Unlike ``Executor.map`` it does not take all items at once, so memory stays flat however many there are.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        try:
            pending: deque[tuple[Item, Future[Result]]] = deque(
                (item, pool.submit(work, item)) for item in itertools.islice(iterator, 2 * threads)
            )
            while pending:
                item, future = pending.popleft()
                yield item, future.result()
                del future
                pending.extend((item, pool.submit(work, item)) for item in itertools.islice(iterator, 1))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
