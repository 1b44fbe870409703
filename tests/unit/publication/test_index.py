"""The catalogue says what is published, whoever wrote last, and its loss or damage stops nobody."""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
from collections.abc import Callable

import pytest

from cxr_snapshot.errors import StorageError, StorageUnavailableError
from cxr_snapshot.publication import index
from cxr_snapshot.publication.checksums import SUCCESS
from cxr_snapshot.publication.index import (
    INDEX,
    INDEX_PAGE,
    keep_index,
    list_published,
    read_index,
    update_index,
)
from cxr_snapshot.publication.marks import Mark, write_mark
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed
from support.catalogue import grays_on_page, put_snapshot, sheet
from support.requests_made import requests_to
from support.stores import client_of, store_in

OLD, NEW = "2026-11-22", "2026-11-23"


class Meddled(Store):
    """Lets something happen just before an object is written, once for each name."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.before: dict[str, Callable[[], object]] = {}

    def put(self, name: str, body: bytes, **options: object) -> None:  # type: ignore[override]
        self.before.pop(name, lambda: None)()
        super().put(name, body, **options)  # type: ignore[arg-type]


@pytest.fixture
def adults(store: Store) -> Store:
    return store.edition("adults")


@pytest.fixture
def published(store: Store, adults: Store) -> Store:
    """Three snapshots of two editions, and what is none."""
    put_snapshot(store, OLD, gray=30)
    put_snapshot(store, NEW, gray=60, synthetic=True)
    put_snapshot(adults, NEW, gray=90)
    store.put("2026-11-24/manifest.csv", b"begun")
    update_index(store)
    return store


def meddled(store: Store, name: str, what: Callable[[], object]) -> Meddled:
    found = store_in(client_of(store.client.meta.endpoint_url), store.bucket, store.prefix, Meddled)
    found.before[name] = what
    return found


def paths(store: Store) -> list[str]:
    return [entry["path"] for entry in read_index(store) or []]


def test_every_snapshot_of_every_edition_is_listed(published: Store) -> None:
    entries = read_index(published)
    assert entries is not None
    assert [entry["path"] for entry in entries] == [f"{OLD}/", f"{NEW}/", f"editions/adults/{NEW}/"]
    assert [entry["edition"] for entry in entries] == ["default", "default", "adults"]
    assert [entry["latest"] for entry in entries] == [False, True, True]
    assert [entry["synthetic"] for entry in entries] == [False, True, False]
    first = entries[0]
    facts = published.get_json(f"{OLD}/snapshot.json")
    assert facts is not None
    assert {name: facts[name] for name in facts if name != "audit"}.items() <= first.items()
    assert first["headline"] == facts["audit"]["headline"]
    listed = published.list(f"{OLD}/")
    assert (first["files"], first["bytes"]) == (len(listed), sum(item.size for item in listed.values()))
    assert first["withdrawn"] is None
    assert grays_on_page(published) == [30, 60, 90]
    assert list_published(published.edition("adults")) == entries


def test_what_is_up_to_date_is_not_written_again(published: Store) -> None:
    with requests_to(published) as asked:
        update_index(published)
    assert {request.method for request in asked} == {"GET"}
    assert len(asked) < 20


def test_reading_takes_one_request(published: Store) -> None:
    with requests_to(published) as asked:
        assert len(read_index(published) or []) == 3
    assert len(asked) == 1


def test_only_what_is_new_is_read_and_what_is_gone_leaves(published: Store) -> None:
    put_snapshot(published, "2026-11-25", gray=120)
    published.delete([f"{OLD}/{SUCCESS}"])
    with requests_to(published) as asked:
        update_index(published)
    urls = [request.url for request in asked]
    assert [url.rsplit("/", 2)[1] for url in urls if url.endswith("snapshot.json")] == ["2026-11-25"]
    assert paths(published) == [f"{NEW}/", "2026-11-25/", f"editions/adults/{NEW}/"]
    assert [entry["latest"] for entry in read_index(published) or []] == [False, True, True]


def test_another_edition_keeps_what_it_does_not_own(published: Store, adults: Store) -> None:
    put_snapshot(published, "2026-11-25")  # whose own publisher was killed before it came to the catalogue
    put_snapshot(adults, "2026-11-25")
    update_index(adults)
    assert paths(published) == [f"{OLD}/", f"{NEW}/", f"editions/adults/{NEW}/", "editions/adults/2026-11-25/"]
    update_index(published)
    assert paths(published) == [entry["path"] for entry in list_published(published)]


@pytest.mark.parametrize("body", [None, b"", b"\x00{", b"[]", b'{"schema_version": 1, "snapshots": [{}]}'])
def test_where_it_is_lost_or_damaged_all_is_made_anew(published: Store, adults: Store, body: bytes | None) -> None:
    before = published.get(INDEX), published.get(INDEX_PAGE)
    published.delete([INDEX, INDEX_PAGE])
    if body is not None:
        published.put(INDEX, body)
        published.put(INDEX_PAGE, body)
    assert read_index(published) is None
    update_index(adults)
    assert (published.get(INDEX), published.get(INDEX_PAGE)) == before


def test_of_another_release_all_is_made_anew(published: Store, adults: Store) -> None:
    before = published.get(INDEX)
    put_sealed(published, INDEX, b'{"schema_version": 0, "snapshots": []}')
    assert read_index(published) is None
    update_index(adults)
    assert published.get(INDEX) == before


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        (INDEX, False),
        (INDEX_PAGE, True),
        pytest.param(INDEX, True, marks=pytest.mark.long),
        pytest.param(INDEX_PAGE, False, marks=pytest.mark.long),
    ],
)
def test_of_two_editions_at_once_neither_loses_anything(published: Store, adults: Store, name: str, lost: bool) -> None:
    if lost:
        published.delete([INDEX, INDEX_PAGE])

    def meanwhile() -> None:
        put_snapshot(adults, "2026-11-25", gray=150)
        update_index(adults)

    put_snapshot(published, "2026-11-25", gray=180)
    update_index(meddled(published, name, meanwhile))
    assert read_index(published) == list_published(published)
    assert grays_on_page(published) == [30, 60, 90, 150, 180]


def test_many_at_once(store: Store) -> None:
    def work(number: int) -> None:
        place = store_in(client_of(store.client.meta.endpoint_url), store.bucket, store.prefix)
        place = place.edition(f"edition-{number}")
        for day in (1, 2):
            put_snapshot(place, f"2026-11-0{day}", gray=50 * day)
            keep_index(place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_index(store) or []) == 6
    assert read_index(store) == list_published(store)
    before = store.get(INDEX_PAGE)
    update_index(store, anew=True)
    assert store.get(INDEX_PAGE) == before


def test_without_conditional_writes_it_is_kept_all_the_same(store: Store) -> None:
    simple = Store(store.client, store.bucket, store.prefix, conditional_writes=False)
    for version in (OLD, NEW):
        put_snapshot(simple, version)
        update_index(simple)
    assert paths(store) == [f"{OLD}/", f"{NEW}/"]


def test_an_answer_that_was_lost_ends_well(published: Store) -> None:
    put_snapshot(published, "2026-11-25")

    def twin() -> None:
        update_index(published)

    update_index(meddled(published, INDEX, twin))
    assert read_index(published) == list_published(published)


class Beaten(Store):
    """Finds each time that somebody else wrote the catalogue meanwhile."""

    def put(self, name: str, body: bytes, **options: object) -> None:  # type: ignore[override]
        super().put(INDEX, body + b"\n" * next(_NUMBERS))
        super().put(name, body, **options)  # type: ignore[arg-type]


_NUMBERS = itertools.count(1)


def test_who_is_always_beaten_says_so(published: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_WRITES", 3)
    put_snapshot(published, "2026-11-25")
    with pytest.raises(StorageUnavailableError, match="written by others 3 times in a row"):
        update_index(store_in(published.client, published.bucket, published.prefix, Beaten))


def test_a_failure_is_logged_and_stops_nobody(published: Store, caplog: pytest.LogCaptureFixture) -> None:
    put_snapshot(published, "2026-11-25")

    def fail() -> None:
        raise StorageError("the store is full.")

    with caplog.at_level(logging.WARNING):
        keep_index(meddled(published, INDEX, fail))
    assert "index.json is not up to date: the store is full. The next publication brings it up to date" in caplog.text
    assert f"{NEW}/" in paths(published)
    keep_index(published)
    assert "2026-11-25/" in paths(published)


@pytest.mark.parametrize("name", ["snapshot.json", "SHA256SUMS"])
def test_a_damaged_snapshot_is_left_out_and_named(
    published: Store, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    published.put(f"{OLD}/{name}", b"{}")
    with caplog.at_level(logging.WARNING):
        update_index(published, anew=True)
    assert paths(published) == [f"{NEW}/", f"editions/adults/{NEW}/"]
    assert f"{OLD} is left out of index.json" in caplog.text


def test_what_was_taken_back_is_marked(published: Store) -> None:
    write_mark(published, NEW, Mark(images={"a": {"reason": "r", "erased": False}}), None)
    update_index(published, anew=True)
    entries = read_index(published) or []
    assert [(entry["withdrawn"], entry["withdrawn_images"]) for entry in entries] == [
        (None, 0),
        ("withdrawn", 1),
        (None, 0),
    ]
    assert "withdrawn: 1 image" in published.get(INDEX_PAGE).decode()


def test_a_preview_that_is_not_the_one_of_its_entry_is_not_shown(published: Store) -> None:
    published.put(f"{NEW}/preview.jpg", sheet(200))
    update_index(published)
    assert grays_on_page(published) == [30, 90]
    now = hashlib.sha256(sheet(200)).hexdigest()
    write_mark(published, NEW, Mark("erased", sums={"preview.jpg": now}), None)
    update_index(published, anew=True)
    assert grays_on_page(published) == [30, 90, 200]


def test_browsers_are_told_what_they_get(published: Store) -> None:
    for name, kind in ((INDEX, "application/json"), (INDEX_PAGE, "text/html; charset=utf-8")):
        found = published.client.head_object(Bucket=published.bucket, Key=published.key(name))
        assert found["ContentType"] == kind
