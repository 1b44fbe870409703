"""The parts of the GitHub source that need no server."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.errors import UpstreamCorruptError, UpstreamRefusedError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.sources.base import Revision, UpstreamFile
from cxr_snapshot.sources.covid import FORM, CovidCollection, covid_records
from cxr_snapshot.sources.github import LOOK_AHEAD_BYTES, MAX_VALUES, git_blob_sha1, listed_blobs
from cxr_snapshot.sources.http import BadAnswerError
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.tables import INVENTORY_SCHEMA, conform

SHA = "0123456789abcdef0123456789abcdef01234567"


def entry(path: str, kind: str = "blob") -> dict[str, object]:
    return {"path": path, "type": kind, "sha": SHA, "size": 7}


def test_sources_come_in_order_under_their_names() -> None:
    sources = build_sources(Settings(bucket="abc"))
    assert [(name, source.name) for name, source in sources.items()] == [("covid", "covid"), ("pneumonia", "pneumonia")]


@pytest.mark.parametrize(
    ("body", "sha"),  # as `git hash-object --stdin` prints them
    [
        (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
        (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        (b"\x00\xff", "ba01f6b05bdbb386b35f4d086e268c5d422cafb9"),
    ],
)
def test_git_blob_sha1(body: bytes, sha: str) -> None:
    assert git_blob_sha1(body) == sha


@given(st.binary(), st.binary(min_size=1))
def test_git_blob_sha1_covers_every_byte_and_the_length(body: bytes, more: bytes) -> None:
    assert git_blob_sha1(body) != git_blob_sha1(body + more)
    assert git_blob_sha1(body) != hashlib.sha1(body).hexdigest()


def test_the_collection_is_the_table_and_all_below_images() -> None:
    paths = ["images/b.jpg", "README.md", "images/deep/er/é ü.png", "metadata.csv", "images2/no.jpg", "x/metadata.csv"]
    tree = {"tree": [entry("images", "tree"), *map(entry, paths), entry("images/sub", "commit")], "truncated": False}
    collection = CovidCollection(Settings(bucket="abc"))
    found = [blob.path for blob in listed_blobs(tree) if collection.is_wanted(blob.path)]
    assert found == ["images/b.jpg", "images/deep/er/é ü.png", "metadata.csv"]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_blobs_come_by_path_whatever_the_names(names: list[str]) -> None:
    tree = {"tree": [entry(f"images/{name}") for name in names], "truncated": False}
    assert [blob.path for blob in listed_blobs(tree)] == sorted(f"images/{name}" for name in names)


@pytest.mark.parametrize("broken", ["no tree", "no truncated", "no size", "no sha", "short sha", "list", "null"])
def test_a_tree_of_another_form_is_refused(broken: str) -> None:
    tree = copy.deepcopy({"tree": [entry("images/a.jpg")], "truncated": False})
    answers = {
        "no tree": {"truncated": False},
        "no truncated": {"tree": tree["tree"]},
        "no size": {"tree": [{**entry("images/a.jpg"), "size": None}], "truncated": False},
        "no sha": {"tree": [{**entry("images/a.jpg"), "sha": None}], "truncated": False},
        "short sha": {"tree": [{**entry("images/a.jpg"), "sha": SHA[:39]}], "truncated": False},
        "list": [tree],
        "null": None,
    }
    with pytest.raises(BadAnswerError):
        listed_blobs(answers[broken])


@pytest.mark.parametrize("pin", ["", "main", "abc12", "g" * 40, SHA + "0", "2020-02-30", "2020-3-1", "../x"])
def test_a_pin_that_names_no_commit_is_refused_without_a_request(pin: str) -> None:
    with pytest.raises(UpstreamRefusedError, match=r"covid: .*Give a commit SHA-1"):
        CovidCollection(Settings(bucket="abc")).resolve(pin=pin)


@pytest.mark.parametrize("path", ["images/\ud800.jpg", "images/a\nb.jpg", "images/a\\b.jpg", "images/" + "a" * 1100])
def test_a_file_of_an_unusable_name_is_listed_and_not_fetched(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = CovidCollection(Settings(bucket="abc"))
    tree = {"tree": [entry(path), entry("images/a.jpg")], "truncated": False}
    monkeypatch.setattr(source, "_get_json", lambda *_: tree)
    listing = source.files(Revision("covid", SHA), known={SHA})
    odd, sound = listing.files
    assert listing.total == 2
    assert (odd.path.encode().decode("ascii").isprintable(), odd.body, odd.ignored) == (True, None, "unusable_name")
    assert sound.path == "images/a.jpg"
    inventory = pd.DataFrame([{"path": file.path, "ignored": file.ignored} for file in (odd, sound)])
    records = covid_records(conform(inventory, INVENTORY_SCHEMA), conform(pd.DataFrame(), FORM.schema))
    assert records["rule"].tolist() == ["unusable_name", pd.NA]
    assert csv_bytes(records).count(b"\n") == 3


@pytest.mark.parametrize("size", ["1e400", "-1e400"])
def test_a_size_that_is_no_number_of_bytes_is_refused(size: str) -> None:
    tree = {"tree": [entry("images/a.jpg") | {"size": float(size)}], "truncated": False}
    with pytest.raises(BadAnswerError, match="unknown form"):
        listed_blobs(tree)


@pytest.mark.parametrize("values", [b"[],", b"{},", b"0,"])
def test_a_list_of_more_values_than_github_sends_is_not_parsed(values: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = CovidCollection(Settings(bucket="abc", http_attempts=1))
    monkeypatch.setattr(collection, "_get", lambda *_, **__: b"[" + values * MAX_VALUES + b"0]")
    with pytest.raises(UpstreamCorruptError, match="more than 1,000,000 values"):
        collection.files(Revision("covid", SHA), known=())


def test_a_body_that_is_shorter_than_announced_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"the right bytes"
    listed = {"path": "images/a.jpg", "type": "blob", "sha": git_blob_sha1(body), "size": len(body) + 1}
    collection = CovidCollection(Settings(bucket="abc", http_attempts=1))
    tree = {"tree": [listed, entry("images/known.jpg")], "truncated": False}
    monkeypatch.setattr(collection, "_get_json", lambda *_: tree)
    monkeypatch.setattr(collection, "_get", lambda *_, **__: body)
    with pytest.raises(UpstreamCorruptError, match="15 bytes came"):
        list(collection.files(Revision("covid", SHA), known={SHA}).files)


def test_few_bytes_wait_for_their_turn_whatever_the_files_have(monkeypatch: pytest.MonkeyPatch) -> None:
    half = LOOK_AHEAD_BYTES // 2
    blobs = [{"path": f"images/{n}.jpg", "type": "blob", "sha": f"{n:040x}", "size": half} for n in range(1, 9)]
    collection, begun = CovidCollection(Settings(bucket="abc")), []

    def fetch(_: str, blob: Any, http: object) -> UpstreamFile:
        begun.append(blob.path)
        return UpstreamFile(blob.path, blob.size, blob.sha)

    tree = {"tree": [*blobs, entry("images/known.jpg")], "truncated": False}
    monkeypatch.setattr(collection, "_get_json", lambda *_: tree)
    monkeypatch.setattr(collection, "_fetch", fetch)
    for taken, _ in enumerate(collection.files(Revision("covid", SHA), known={SHA}).files):
        assert len(begun) <= taken + 2
    assert len(begun) == len(blobs)


def test_an_empty_file_is_fetched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"path": "images/a.jpg", "type": "blob", "sha": git_blob_sha1(b""), "size": 0}
    collection = CovidCollection(Settings(bucket="abc"))
    tree = {"tree": [listed, entry("images/known.jpg")], "truncated": False}
    monkeypatch.setattr(collection, "_get_json", lambda *_: tree)
    monkeypatch.setattr(collection, "_get", lambda *_, **__: b"")
    assert [file.body for file in collection.files(Revision("covid", SHA), known={SHA}).files] == [b"", None]


def test_a_list_that_names_a_file_twice_is_refused() -> None:
    tree = {"tree": [entry("images/a.jpg"), entry("images/a.jpg")], "truncated": False}
    with pytest.raises(BadAnswerError, match="names one twice"):
        listed_blobs(tree)
