"""Object storage: the one place that talks S3.

Names are relative to the prefix, or to the place of an *edition* under it: see :meth:`Store.edition`. Every write
states its SHA-256, so that a store can refuse a damaged upload.
"""

from __future__ import annotations

import base64
import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, TypeVar

import pandas as pd
import pyarrow as pa

from cxr_snapshot.errors import MissingObjectError, StorageError, StorageUnavailableError
from cxr_snapshot.settings import DEFAULT_EDITION, is_edition_name, require_edition_name
from cxr_snapshot.store.encoding import json_bytes, parquet_bytes, parse_json, parse_parquet
from cxr_snapshot.store.errors import HiccupError, PreconditionFailedError, again, translated, words

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, GetObjectOutputTypeDef, HeadObjectOutputTypeDef


Result = TypeVar("Result")

EDITIONS = "editions/"
MODELS = "models/"  # of the snapshots of an edition, in a folder of its name; the same for all editions

_WORK = "_work/"
# What each edition has of its own under ``_work/``: notes on its versions, and what is made anew from the images of one
# run, so that another edition's would only replace it. All else there serves every edition.
_OWN = ("claims/", "seen/", "archives/", "lookalikes/", "examples/", "readings.parquet", "readings/")
# How a browser that follows a link into the bucket is to take a file; text from outside never as a page.
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/plain; charset=utf-8",
}
_OF_AN_EDITION = tuple(f"{_WORK}{name}" for name in _OWN)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing says of one object: size in bytes, ETag with its quotes, time of the last change."""

    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came with an object: its bytes, its ETag with quotes, and what its writer noted beside it."""

    body: bytes
    etag: str
    notes: Mapping[str, str]


class Store:
    """Objects under one prefix of one bucket.

    Args:
        client: a boto3 S3 client.
        bucket: name of an existing bucket.
        prefix: key prefix without slashes at its ends; may be empty.
        conditional_writes: whether the store honours ``If-None-Match`` and ``If-Match``. If not, a conditional write
            looks first and then writes, so that a second writer in between is overwritten unnoticed.

    Attributes:
        edition_name: the edition whose place this is.
        damaged: names of objects that turned out to be other than they were written; see :mod:`.seals`.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str, *, conditional_writes: bool = True) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix
        self.conditional_writes = conditional_writes
        self.edition_name = DEFAULT_EDITION
        self.damaged: list[str] = []

    def edition(self, name: str) -> Self:
        """Return the same store as an edition sees it.

        The default edition has its snapshots and its ``latest.json`` directly under the prefix, every other one under
        ``editions/<name>/``. What lies under ``_work/`` is the same for all, but for what each has for itself, which
        for the others is under ``_work/editions/<name>/``.

        Raises:
            SettingsError: no edition can have this name.
        """
        place = copy.copy(self)
        place.edition_name = require_edition_name(name)
        return place

    def editions(self) -> tuple[str, ...]:
        """Return the names of all editions of which there are objects: the default one, then the others, sorted."""
        others = filter(is_edition_name, self.edition(DEFAULT_EDITION).folders(EDITIONS))
        return (DEFAULT_EDITION, *others)

    def key(self, name: str) -> str:
        """Return the full key of ``name``."""
        placed = name if self.edition_name == DEFAULT_EDITION else self._placed(name)
        return f"{self.prefix}/{placed}" if self.prefix else placed

    def _placed(self, name: str) -> str:
        if name.startswith(_OF_AN_EDITION):
            return f"{_WORK}{EDITIONS}{self.edition_name}/{name.removeprefix(_WORK)}"
        return name if name.startswith(_WORK) else f"{EDITIONS}{self.edition_name}/{name}"

    def uri(self, name: str) -> str:
        """Return the ``s3://`` address of ``name``."""
        return f"s3://{self.bucket}/{self.key(name)}"

    def get(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            MissingObjectError: there is no such object.
            StorageError: the store refused or did not answer.
        """
        return self.fetch(name).body

    def fetch(self, name: str) -> Fetched:
        """Return an object's bytes and what came with them; errors as :meth:`get`."""
        body, answer = self._read(name, lambda body: body.read())
        return Fetched(body, answer["ETag"], answer.get("Metadata", {}))

    def find(self, name: str) -> Fetched | None:
        """Return what :meth:`fetch` does, ``None`` where there is no such object.

        Raises:
            StorageError: the store refused or did not answer.
        """
        try:
            return self.fetch(name)
        except MissingObjectError:
            return None

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of an object's bytes in hex, in little memory; errors as :meth:`get`."""
        return self._read(name, _sha256_of)[0]

    def save(self, name: str, file: Path) -> str:
        """Write an object's bytes to a local file and return their SHA-256 in hex; errors as :meth:`get`."""

        def write(body: StreamingBody) -> str:
            with file.open("wb") as sink:
                return _sha256_of(body, sink)

        return self._read(name, write)[0]

    def get_range(self, name: str, start: int, size: int, etag: str) -> bytes:
        """Return ``size`` bytes of an object from ``start`` on.

        Raises:
            StorageUnavailableError: it is not the object with this ETag any more.
            MissingObjectError, StorageError: as :meth:`get`.
        """
        asked = f"bytes={start}-{start + size - 1}"
        body, answer = self._read(name, lambda body: body.read(), Range=asked)
        if answer["ETag"] != etag:
            raise StorageUnavailableError(f"{self.uri(name)} was changed while it was read. Try again.")
        if len(body) != size:
            raise StorageError(f"{self.uri(name)}: the store answered {asked} with {len(body)} bytes.")
        return body

    def read(self, name: str, take: Callable[[StreamingBody], Result]) -> Result:
        """Return what ``take`` makes of an object's body, which it may read piece by piece; errors as :meth:`get`.

        It is called again when the body breaks off.
        """
        return self._read(name, take)[0]

    def pieces(self, name: str) -> tuple[int, Iterator[bytes]]:
        """Return an object's size and its bytes piece by piece, for who passes them on; errors as :meth:`get`."""
        body, answer = self._read(name, lambda body: body)
        return answer["ContentLength"], body.iter_chunks(1 << 18)

    def put(
        self,
        name: str,
        body: bytes,
        *,
        sha256: str | None = None,
        notes: Mapping[str, str] | None = None,
        only_if_absent: bool = False,
        only_if_etag: str | None = None,
    ) -> None:
        """Write an object.

        Args:
            name: its name.
            body: its bytes.
            sha256: their SHA-256 in hex, where the caller already has it.
            notes: short texts by name that are kept beside the bytes, as the object's metadata.
            only_if_absent: write only when no such object exists.
            only_if_etag: write only over an object with this ETag.

        Raises:
            PreconditionFailedError: the object was not in the state asked for.
            StorageError: the store refused or did not answer.
        """
        digest = bytes.fromhex(sha256) if sha256 else hashlib.sha256(body).digest()
        extra: dict[str, Any] = {"ChecksumSHA256": base64.b64encode(digest).decode()}
        if content_type := _TYPES.get(name.rpartition(".")[2]):
            extra["ContentType"] = content_type
        if notes:
            extra["Metadata"] = dict(notes)
        if not self.conditional_writes:
            self._look_first(name, only_if_absent=only_if_absent, only_if_etag=only_if_etag)
        elif only_if_absent:
            extra["IfNoneMatch"] = "*"
        elif only_if_etag:
            extra["IfMatch"] = only_if_etag

        def attempt() -> None:
            with self._errors("write", name):
                self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=body, **extra)

        try:
            again(attempt)
        except MissingObjectError as error:  # what S3 answers to If-Match where there is nothing
            raise PreconditionFailedError(f"{self.uri(name)} was deleted by somebody else.") from error

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store; no bytes pass through this machine. Errors as :meth:`get`."""
        origin: CopySourceTypeDef = {"Bucket": self.bucket, "Key": self.key(source)}

        def attempt() -> None:
            with self._missing_only_if_unlisted(source), self._errors("copy", source):
                self.client.copy_object(Bucket=self.bucket, Key=self.key(target), CopySource=origin)

        again(attempt)

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects, 1,000 a request; names without object are fine.

        Raises:
            StorageError: the store refused to delete some; names the first.
        """
        rest = list(names)
        while rest:
            batch, rest = rest[:1000], rest[1000:]
            with self._errors("delete", batch[0]):
                answer = self.client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": self.key(name)} for name in batch], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                raise StorageError(
                    f"could not delete {len(errors)} objects, such as s3://{self.bucket}/{errors[0].get('Key')}: "
                    f"{words(errors[0])}. Check that the keys may delete."
                )

    def exists(self, name: str) -> bool:
        """Say whether there is an object of this name, by the listing."""
        with self._errors("look for", name):
            answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.key(name), MaxKeys=1)
        return any(item["Key"] == self.key(name) for item in answer.get("Contents", []))

    def folders(self, parent: str = "") -> tuple[str, ...]:
        """Return the names directly under ``parent`` that end in a slash, without both, sorted."""
        cut, root = len(self.key(parent)), self.key(parent)
        with self._errors("list", parent):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=root, Delimiter="/"
            )
            found = [item["Prefix"][cut:-1] for page in pages for item in page.get("CommonPrefixes", [])]
        return tuple(sorted(found))

    def list(self, folder: str) -> dict[str, StoredObject]:
        """Return every object whose name starts with ``folder``, by name, 1,000 a request."""
        return dict(self.scan(folder))

    def files(self, folder: str) -> dict[str, StoredObject]:
        """Return what :meth:`list` does without what lies in folders below; so it takes few requests."""
        return dict(self.scan(folder, Delimiter="/"))

    def scan(self, folder: str, **more: Any) -> Iterator[tuple[str, StoredObject]]:
        """Yield what :meth:`list` returns, page by page, for those who need not hold it all; ``more`` goes to S3."""
        root = self.key(folder)
        with self._errors("list", folder):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=root, **more)
            for page in pages:
                for item in page.get("Contents", []):
                    name = folder + item["Key"][len(root) :]
                    yield name, StoredObject(item["Size"], item["ETag"], item["LastModified"])

    def age(self, name: str) -> float | None:
        """Return the seconds since an object was written, by the store's own clock; ``None`` if there is none."""

        def attempt() -> HeadObjectOutputTypeDef:
            with self._missing_only_if_unlisted(name), self._errors("look at", name):
                return self.client.head_object(Bucket=self.bucket, Key=self.key(name))

        try:
            answer = again(attempt)
        except MissingObjectError:
            return None
        now = pd.Timestamp(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - pd.Timestamp(answer["LastModified"])).total_seconds())

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Return an object that holds a JSON object, or ``None`` if there is none.

        Raises:
            DamagedObjectError: it is not a JSON object.
            StorageError: as :meth:`get`.
        """
        try:
            body = self.get(name)
        except MissingObjectError:
            return None
        return parse_json(body, self.uri(name))

    def put_json(self, name: str, value: dict[str, Any]) -> None:
        """Write ``value`` as JSON; equal values give equal bytes."""
        self.put(name, json_bytes(value))

    def get_table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a Parquet object as a table, or only some of its columns.

        Raises:
            DamagedObjectError: it is not a Parquet file.
            MissingObjectError, StorageError: as :meth:`get`.
        """
        return parse_parquet(self.get(name), self.uri(name), columns)

    def put_table(self, name: str, frame: pd.DataFrame, schema: pa.Schema) -> None:
        """Write ``frame`` as Parquet with exactly ``schema``."""
        self.put(name, parquet_bytes(frame, schema))

    def _read(
        self, name: str, take: Callable[[StreamingBody], Result], **more: Any
    ) -> tuple[Result, GetObjectOutputTypeDef]:
        """Return ``take(body)`` and the answer that it came with; ``take`` is called again when the body breaks off."""

        def attempt() -> tuple[Result, GetObjectOutputTypeDef]:
            with self._missing_only_if_unlisted(name), self._errors("read", name):
                answer = self.client.get_object(Bucket=self.bucket, Key=self.key(name), **more)
            try:
                with self._errors("read", name):
                    return take(answer["Body"]), answer
            except StorageUnavailableError as error:
                raise HiccupError(str(error)) from error

        return again(attempt)

    def _look_first(self, name: str, *, only_if_absent: bool, only_if_etag: str | None) -> None:
        """Do what a store without conditional writes cannot do, as far as possible."""
        if not (only_if_absent or only_if_etag):
            return
        found = self.list(name).get(name)
        if (found.etag if found else None) != only_if_etag:
            raise PreconditionFailedError(f"{self.uri(name)} was changed by somebody else.")

    @contextmanager
    def _missing_only_if_unlisted(self, name: str) -> Iterator[None]:
        """Believe a 404 only when the listing says the same; some stores lag behind their own writes for a moment."""
        try:
            yield
        except MissingObjectError:
            if self.exists(name):
                raise HiccupError(
                    f"{self.uri(name)} is in the store's listing, but the store says that it does not exist. Try again "
                    "later; if it lasts, the store is damaged."
                ) from None
            raise

    def _errors(self, doing: str, name: str) -> AbstractContextManager[None]:
        return translated(doing, self.uri(name), self.bucket)


def blob_name(sha256: str) -> str:
    """Return the name of the blob with these bytes."""
    return f"_work/blobs/sha256/{sha256[:2]}/{sha256}"


def _sha256_of(body: StreamingBody, sink: BinaryIO | None = None) -> str:
    """Read ``body`` in pieces, write them to ``sink``, and return their SHA-256 in hex."""
    digest = hashlib.sha256()
    for piece in body.iter_chunks(1 << 20):
        digest.update(piece)
        if sink:
            sink.write(piece)
    return digest.hexdigest()
