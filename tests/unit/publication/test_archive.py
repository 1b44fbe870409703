from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cxr_snapshot.errors import StorageError
from cxr_snapshot.publication.archive import archive_name, upload, write_archive, zip_chunks
from cxr_snapshot.publication.draft import build_draft
from cxr_snapshot.publication.parts import Copy
from cxr_snapshot.publication.protocol import publish
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.store.objects import Store
from support.ledgers import FACTS, REPORT, parted, small_ledger

WHEN = datetime(2026, 11, 23, 3, tzinfo=UTC)
CREATED = WHEN.isoformat()


def test_the_pieces_are_a_sound_zip_with_sizes_in_front_and_nothing_compressed():
    members = {"a/one": b"1" * 1000, "a/two": b"", "a/three.jpg": bytes(range(256)) * 40}
    chunks = list(zip_chunks(iter(members.items()), WHEN, size=700))
    assert {len(chunk) for chunk in chunks[:-1]} == {700}
    with zipfile.ZipFile(io.BytesIO(b"".join(chunks))) as archive:
        assert archive.testzip() is None
        assert {entry.filename: archive.read(entry) for entry in archive.infolist()} == members
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (2026, 11, 23, 3, 0, 0)
            assert not entry.flag_bits & 0x08  # no sizes behind the entry, which readers of streams cannot use


def test_no_more_is_held_than_one_piece_and_one_entry():
    taken = []

    def members():
        for number in range(50):
            taken.append(number)
            yield f"{number:02}", b"x" * 1000

    chunks = zip_chunks(members(), WHEN, size=2000)
    next(chunks)
    assert len(taken) == 2


def test_more_entries_than_a_plain_zip_can_count():
    body = b"".join(zip_chunks(((f"{number}", b"") for number in range(66_000)), WHEN))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert len(archive.infolist()) == 66_000
        assert archive.read("65999") == b""
    assert b"PK\x06\x06" in body[-200:]  # the ZIP64 end record


def test_upload_joins_parts_and_returns_the_hash_of_the_whole(store: Store):
    parts = [b"a" * 5 * 2**20, b"b" * 5 * 2**20, b"c"]
    assert upload(store, "x.bin", parts) == hashlib.sha256(b"".join(parts)).hexdigest()
    assert store.get("x.bin") == b"".join(parts)


def test_an_upload_that_breaks_leaves_nothing(store: Store):
    def parts():
        yield b"a" * 5 * 2**20
        raise RuntimeError("the reader broke")

    with pytest.raises(RuntimeError, match="the reader broke"):
        upload(store, "x.bin", parts())
    assert not store.exists("x.bin")
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=store.bucket)


def test_an_upload_to_a_missing_bucket_says_so(store: Store):
    with pytest.raises(StorageError, match="bucket nowhere does not exist"):
        upload(Store(store.client, "nowhere", ""), "x.bin", [b"a"])


def test_the_archive_is_written_once(store: Store):
    store.put("_work/one", b"1")
    copies = [Copy("_work/one", "images/COVID/one.jpg", hashlib.sha256(b"1").hexdigest(), 1)]
    files = {"SHA256SUMS": b"...", "README.md": b"text"}
    sha256 = write_archive(store, "2026-11-23", copies, files, created=CREATED, present=())
    name = "2026-11-23/covid-cxr-2026-11-23.zip"
    body = store.get(name)
    assert hashlib.sha256(body).hexdigest() == sha256
    before = store.list("")
    again = write_archive(store, "2026-11-23", copies, files, created=CREATED, present=before)
    assert (again, store.list("")) == (sha256, before)
    other = write_archive(store, "2026-11-23", copies, files | {"SHA256SUMS": b"new"}, created=CREATED, present=before)
    assert other != sha256


def test_a_snapshot_with_archive_can_be_verified_and_the_archive_checks_itself(store: Store, tmp_path: Path):
    draft = replace(
        build_draft(store, *parted(small_ledger(store)), FACTS, previous=None, folder="_work/runs/one", report=REPORT),
        archive=True,
    )
    version = publish(store, draft, "2026-11-23", CREATED, None)["version"]
    verify(store, version, all_images=True)
    assert archive_name(version) in store.get(f"{version}/SHA256SUMS").decode()
    with zipfile.ZipFile(io.BytesIO(store.get(f"{version}/{archive_name(version)}"))) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "covid-cxr-2026-11-23"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    stored = {name.split("/", 1)[1] for name in store.list(f"{version}/")}
    assert names == stored - {"_SUCCESS", archive_name(version)}
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        sha256, name = line.split("  ", 1)
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256


def test_with_and_without_archive_are_different_content(store: Store):
    draft = build_draft(
        store, *parted(small_ledger(store)), FACTS, previous=None, folder="_work/runs/one", report=REPORT
    )
    assert replace(draft, archive=True).digest != draft.digest
