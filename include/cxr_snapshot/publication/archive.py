"""Writes the whole snapshot as one zip, straight from object storage to object storage, in little memory.

Nothing is compressed, since images are already. Entries bear the time of the snapshot and are sorted, so equal
snapshots give equal bytes. Sizes stand in front of each entry, so the zip can also be unpacked while it is downloaded.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cxr_snapshot import shown
from cxr_snapshot.publication.parts import Copy, read_copy
from cxr_snapshot.store.blobs import held
from cxr_snapshot.store.encoding import json_bytes, parse_json
from cxr_snapshot.store.errors import translated
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed, put_sealed

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

log = shown.logger(__name__)

PART_BYTES = 16 * 2**20  # S3 allows 10,000 parts, so 160 GB
_AHEAD_THREADS = 4  # a shard can have 35 MB


def archive_name(version: str) -> str:
    """Return the archive's name within the snapshot."""
    return f"covid-cxr-{version}.zip"


def write_archive(
    store: Store,
    version: str,
    copies: Sequence[Copy],
    files: Mapping[str, bytes],
    *,
    created: str,
    present: Container[str],
) -> str:
    """Write the archive into the snapshot, unless an earlier try has finished it.

    Args:
        store: where the large files are and the archive goes.
        version: the snapshot's name.
        copies: the large files.
        files: the small ones by name; ``SHA256SUMS`` over all others is among them.
        created: ISO 8601 time for the entries.
        present: names of the objects that are there already.

    Returns:
        The archive's SHA-256 in hex.

    Raises:
        LostBlobError, DamagedObjectError: the source of a copy is missing or damaged.
    """
    name = f"{version}/{archive_name(version)}"
    # The hash of a finished archive cannot be had from the store, so it is written down, together with what is in it.
    note, contents = f"_work/archives/{version}.json", hashlib.sha256(files["SHA256SUMS"]).hexdigest()
    body, _ = find_sealed(store, note)
    known = parse_json(body, store.uri(note)) if body else {}
    if known.get("contents") == contents and name in present and store.sha256(name) == known["sha256"]:
        return str(known["sha256"])
    sources = {copy.target: copy for copy in copies}
    bodies = bounded_map(
        lambda path: files[path] if path in files else read_copy(store, sources[path]),
        sorted([*files, *sources]),
        threads=_AHEAD_THREADS,
        held=held,
    )
    folder = archive_name(version).removesuffix(".zip")
    chunks = zip_chunks(((f"{folder}/{path}", body) for path, body in bodies), datetime.fromisoformat(created))
    sha256 = upload(store, name, chunks)
    put_sealed(store, note, json_bytes({"contents": contents, "sha256": sha256}))
    log.info("wrote %s", store.uri(name))
    return sha256


def zip_chunks(members: Iterable[tuple[str, bytes]], when: datetime, size: int = PART_BYTES) -> Iterator[bytes]:
    """Yield a zip of ``members`` in pieces of ``size`` bytes, the last one shorter; ZIP64 where it is needed.

    Args:
        members: path and bytes of each entry; taken one by one.
        when: time of all entries.
        size: bytes in a piece.
    """
    window = _Window()
    with zipfile.ZipFile(window, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path, body in members:
            entry = zipfile.ZipInfo(path, when.timetuple()[:6])
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same on every system
            archive.writestr(entry, body)
            while window.held >= size:
                yield window.take(size)
    while window.held:
        yield window.take(size)


class _Window:
    """A file that is written forwards, of which only the end is still here: enough to go back within an entry."""

    def __init__(self) -> None:
        self._start, self._place, self._data = 0, 0, bytearray()

    @property
    def held(self) -> int:
        return len(self._data)

    def take(self, size: int) -> bytes:
        taken = bytes(self._data[:size])
        del self._data[:size]
        self._start += len(taken)
        return taken

    def write(self, data: bytes) -> int:
        place = self._place - self._start
        self._data[place : place + len(data)] = data
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def seek(self, place: int) -> int:
        if place < self._start:
            raise ValueError(f"byte {place} of the archive was sent already")
        self._place = place
        return place

    def flush(self) -> None:
        """There is nothing to flush to."""


def upload(store: Store, name: str, chunks: Iterable[bytes]) -> str:
    """Write an object in parts; it appears as a whole when the last one is there.

    Args:
        store: where to.
        name: the object's name.
        chunks: its bytes in pieces of at least 5 MiB, the last one of any size.

    Returns:
        Its SHA-256 in hex.

    Raises:
        StorageError: the store refused or did not answer; the parts are given back.
    """
    bucket, key = store.bucket, store.key(name)
    digest = hashlib.sha256()
    parts: list[CompletedPartTypeDef] = []
    with translated("write", store.uri(name), bucket):
        upload_id = store.client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        try:
            for number, chunk in enumerate(chunks, start=1):
                digest.update(chunk)
                answer = store.client.upload_part(
                    Bucket=bucket,
                    Key=key,
                    UploadId=upload_id,
                    PartNumber=number,
                    Body=chunk,
                    ContentMD5=base64.b64encode(hashlib.md5(chunk, usedforsecurity=False).digest()).decode(),
                )
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            store.client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            store.client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
            raise
    return digest.hexdigest()
