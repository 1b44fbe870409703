from __future__ import annotations

import hashlib
import logging

import pytest

from cxr_snapshot.audit import REPORT
from cxr_snapshot.errors import VerificationError
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.publication.versions import (
    LATEST,
    is_behind,
    is_version,
    move_latest,
    newest_version,
    read_audit,
    read_base,
    read_latest,
    read_pointer,
    read_seen,
    remember_seen,
    version_key,
)
from cxr_snapshot.store.encoding import json_bytes
from cxr_snapshot.store.objects import Store
from support.damage import DAMAGES, flip


@pytest.mark.parametrize("name", ["2026-11-23", "2026-11-23.1", "2026-11-23.10", "2026-11-23.999"])
def test_names_of_versions(name: str) -> None:
    assert is_version(name)


@pytest.mark.parametrize(
    "name",
    ["", "_work", "latest", "2026-11", "2026-11-23.", "2026-11-23.0", "2026-11-23.01", "2026-11-23/", "x2026-11-23"],
)
def test_other_names(name: str) -> None:
    assert not is_version(name)


def test_versions_are_sorted_by_day_and_number() -> None:
    mixed = ["2026-11-23.10", "2026-11-24", "2026-11-23.2", "2026-11-09", "2026-11-23.1", "2026-11-23"]
    assert sorted(mixed, key=version_key) == [
        *("2026-11-09", "2026-11-23", "2026-11-23.1", "2026-11-23.2", "2026-11-23.10", "2026-11-24")
    ]


def put_snapshot(store: Store, version: str, **others: bytes) -> None:
    """Write as much of a snapshot as is looked at here."""
    facts = json_bytes({"version": version, "uri": store.uri(f"{version}/"), "manifest_sha256": "0" * 64})
    files = {"snapshot.json": facts} | others
    sums = sums_bytes({name: hashlib.sha256(body).hexdigest() for name, body in files.items()})
    for name, body in files.items():
        store.put(f"{version}/{name}", body)
    store.put(f"{version}/{SUMS}", sums)
    store.put(f"{version}/{SUCCESS}", hashlib.sha256(sums).hexdigest().encode() + b"\n")


@pytest.fixture
def three(store: Store) -> Store:
    """Three snapshots; one that was begun; and a stray object in a folder of tomorrow."""
    for version in ("2026-11-22", "2026-11-23"):
        put_snapshot(store, version)
    put_snapshot(store, "2026-11-23.1", **{REPORT: b'{"trend": []}'})
    store.put("2026-11-23.2/manifest.csv", b"begun")
    store.put("2026-11-24/stray.txt", b"")
    return store


POINTERS = {
    "none": None,
    "garbage": b"\x00{",
    "a list": b"[]",
    "no version": b'{"version": 7}',
    "a day to come": b'{"version": "2099-01-01"}',
    "one that was only begun": b'{"version": "2026-11-23.2"}',
    "an older one": b'{"version": "2026-11-22"}',
    "sound": b'{"version": "2026-11-23.1"}',
}


@pytest.mark.parametrize("pointer", POINTERS)
def test_the_base_is_the_newest_complete_snapshot_whatever_the_pointer_says(three: Store, pointer: str) -> None:
    if (body := POINTERS[pointer]) is not None:
        three.put(LATEST, body)
    for date, version in (
        ("2026-11-24", "2026-11-23.1"),
        ("2026-11-23", "2026-11-23.1"),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-21", None),
    ):
        assert newest_version(three, date) == version
        base = read_base(three, date)
        assert (base["version"] if base else None) == version
    assert is_behind(three, "2026-11-23.1") == (pointer != "sound")
    assert not is_behind(three, "2026-11-22")


@pytest.mark.parametrize("pointer", POINTERS)
def test_the_pointer_is_mended_by_the_newest_alone(
    three: Store, pointer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cxr_snapshot")
    body = POINTERS[pointer]
    if body is not None:
        three.put(LATEST, body)
    move_latest(three, "2026-11-22")
    assert (three.get(LATEST) if body is not None else None) == body, "an older snapshot's run leaves it alone"
    caplog.clear()
    move_latest(three, "2026-11-23.1")
    assert read_pointer(three)[0] == "2026-11-23.1"
    damaged = pointer not in ("none", "an older one", "sound")
    assert ("which is no complete snapshot; it is mended" in caplog.text) == damaged


def test_a_pointer_that_names_nothing_is_no_error_for_a_run(three: Store, caplog: pytest.LogCaptureFixture) -> None:
    three.put(LATEST, b"garbage")
    with caplog.at_level(logging.WARNING, "cxr_snapshot"):
        version, etag = read_pointer(three)
    assert version is None
    assert etag
    assert "names no version; the next run of the DAG writes it anew" in caplog.text
    assert read_latest(three) == (None, etag)


@pytest.mark.parametrize("name", ["snapshot.json", SUMS, SUCCESS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_base_is_never_compared_with(three: Store, name: str, damage: str) -> None:
    DAMAGES[damage](three, f"2026-11-23.1/{name}")
    if (name, damage) == (SUCCESS, "deleted"):
        base = read_base(three, "2026-11-24")
        assert base is not None
        assert base["version"] == "2026-11-23"
    else:
        with pytest.raises(VerificationError, match=r"2026-11-23\.1/\S+ .* Delete its _SUCCESS"):
            read_base(three, "2026-11-24")


def test_the_audit_of_the_base_is_read_as_it_was_published(three: Store) -> None:
    name = f"2026-11-23.1/{REPORT}"
    published = three.get(name)
    assert read_audit(three, "2026-11-23.1") == {"trend": []}
    for damage in DAMAGES.values():
        damage(three, name)
        with pytest.raises(VerificationError, match=r"audit\.json .* Delete its _SUCCESS"):
            read_audit(three, "2026-11-23.1")
        three.put(name, published)


def test_a_snapshot_from_before_there_were_audits_has_none(three: Store) -> None:
    assert read_audit(three, "2026-11-22") is None


def test_a_damaged_note_of_what_was_seen_says_nothing(three: Store) -> None:
    remember_seen(three, "2026-11-22", {"covid": "1"}, "f")
    assert read_seen(three, "2026-11-22") == {"revisions": {"covid": "1"}, "fingerprint": "f"}
    flip(three, "_work/seen/2026-11-22.json")
    assert read_seen(three, "2026-11-22") is None
