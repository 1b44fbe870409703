"""The catalogue beside real publications: each lists itself, and what was missed is made up for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cxr_snapshot.__main__ as command_line
from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.errors import StorageError, VerificationError
from cxr_snapshot.publication import index
from cxr_snapshot.publication.index import INDEX, INDEX_PAGE, list_published, read_index
from cxr_snapshot.store.objects import Store
from support.catalogue import pictures_on_page
from support.publishers import Prepared, audited_after, publish_and_verify, publisher_in
from support.s3_proxy import S3Proxy
from support.stages import EARLIER
from support.stores import client_of, copy_objects, store_in
from support.withdrawers import published, take_back

DAY = EARLIER[1][:10]
OTHER_DAY = "2026-11-21"


@pytest.fixture
def known(last_state: Store, store: Store) -> Store:
    """A store with one snapshot."""
    copy_objects(last_state, store)
    return store


@pytest.fixture(scope="module")
def audited(last_state: Store, small_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A store with one snapshot, and the plan of another edition, which was audited and not published."""
    folder, created = tmp_path_factory.mktemp("upstream"), f"{OTHER_DAY}T03:00:00+00:00"
    return audited_after(last_state, small_sample, folder, 5, "other", created, edition="other")


@pytest.fixture
def ready(audited: Prepared, store: Store) -> Prepared:
    """A store with one snapshot, and the plan to publish another edition."""
    copy_objects(audited.store, store)
    return Prepared(store, audited.plans)


def paths(store: Store) -> list[str]:
    return [entry["path"] for entry in read_index(store) or []]


def test_a_publication_lists_itself_and_a_list_takes_one_request(
    last_state: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = read_index(last_state) or []
    facts = catalog.show(last_state, "latest")
    assert (entry["path"], entry["latest"], entry["edition"]) == (f"{DAY}/", True, "default")
    for name in ("counts", "revisions", "settings", "content_digest", "manifest_sha256", "created"):
        assert entry[name] == facts[name]
    assert (entry["files"], entry["bytes"]) == (facts["files"], facts["bytes"])
    assert len(pictures_on_page(last_state)) == 1
    with S3Proxy(last_state.client.meta.endpoint_url) as proxy:
        shown = store_in(client_of(proxy.url), last_state.bucket, last_state.prefix)
        monkeypatch.setattr(command_line, "_store", lambda _: shown)
        with pytest.raises(SystemExit):
            command_line.main(["list", "--json"])
        assert [request.key for request in proxy.requests] == [shown.key(INDEX)]
    assert json.loads(capsys.readouterr().out) == [entry]


def test_two_editions_and_a_publisher_that_was_killed_before_it_listed_itself(ready: Prepared) -> None:
    known, (plan,) = ready.store, ready.plans
    before = {name: known.fetch(name) for name in (INDEX, INDEX_PAGE)}
    assert publish_and_verify(publisher_in(known), plan)
    both = [f"{DAY}/", f"editions/other/{OTHER_DAY}/"]
    assert paths(known) == both
    assert read_index(known) == list_published(known)
    assert [entry["edition"] for entry in catalog.list_snapshots(known, "other")] == ["other"]
    for name, found in before.items():  # as after a kill once latest.json was moved
        known.put(name, found.body, notes=found.notes)
    assert paths(known) == both[:1]
    with pytest.raises(VerificationError, match=rf"wrong about editions/other/{OTHER_DAY}/"):
        catalog.list_snapshots(known, check=True)
    pointer = known.edition("other").get("latest.json")
    publisher_in(known).verify(OTHER_DAY, "other")  # which Airflow tries again
    assert paths(known) == both
    assert known.edition("other").get("latest.json") == pointer
    catalog.list_snapshots(known, check=True)


def test_no_failure_of_the_catalogue_stops_a_publication(ready: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    known, (plan,) = ready.store, ready.plans

    def fail(*_: object, **__: object) -> None:
        raise StorageError("no more room")

    monkeypatch.setattr(index, "update_index", fail)
    assert publish_and_verify(publisher_in(known), plan)
    assert known.edition("other").get_json("latest.json") is not None
    assert paths(known) == [f"{DAY}/"]


def test_a_snapshot_that_fails_its_verification_is_not_listed(ready: Prepared) -> None:
    known, (plan,) = ready.store, ready.plans
    pipeline = publisher_in(known)
    assert pipeline.publish(plan)
    index.update_index(known.edition("other"))  # as somebody who prunes meanwhile
    known.put(f"editions/other/{OTHER_DAY}/manifest.csv", b"damaged")
    with pytest.raises(VerificationError, match="It was taken back"):
        pipeline.verify(OTHER_DAY, "other")
    assert paths(known) == [f"{DAY}/"]


def test_what_is_taken_back_is_marked_and_what_is_erased_is_on_no_page(known: Store) -> None:
    covid = published(known, DAY).query("`class` == 'COVID'").sort_values("source_sha256")
    (old,) = pictures_on_page(known)
    take_back(known, "image", covid["sha256"].iloc[0], erase=False)
    (entry,) = read_index(known) or []
    assert (entry["withdrawn"], entry["withdrawn_images"]) == ("withdrawn", 1)
    assert pictures_on_page(known) == [old]

    preview = known.get(f"{DAY}/preview.jpg")
    take_back(known, "image", covid["sha256"].iloc[1], erase=True)
    assert known.get(f"{DAY}/preview.jpg") != preview
    (entry,) = read_index(known) or []
    assert (entry["withdrawn"], entry["withdrawn_images"]) == ("erased", 2)
    assert entry["files"] == len(known.list(f"{DAY}/"))
    (new,) = pictures_on_page(known)
    assert new != old
    catalog.list_snapshots(known, check=True)


def test_a_page_that_cannot_be_made_anew_does_not_show_what_is_erased(
    known: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("no more room")

    monkeypatch.setattr(index, "update_index", fail)
    take_back(known, "image", published(known, DAY)["sha256"].iloc[0], erase=True)
    assert not known.exists(INDEX_PAGE)
