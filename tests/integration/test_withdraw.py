"""What is taken back stays out of all later builds, and where it is erased nothing shows it any more."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog.download import download
from cxr_snapshot.errors import GuardError, MissingObjectError, VerificationError
from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL
from cxr_snapshot.publication.index import INDEX_PAGE
from cxr_snapshot.publication.marks import MARK, read_mark
from cxr_snapshot.publication.verification import verify
from cxr_snapshot.publication.versions import read_pointer, versions
from cxr_snapshot.store.objects import Store, blob_name
from cxr_snapshot.store.seals import put_sealed_table
from cxr_snapshot.store.withdrawals import load_withdrawals
from support.catalogue import pictures_on_page
from support.publishers import Task, forkserver, started
from support.s3_proxy import S3Proxy
from support.stages import EARLIER, run_stages
from support.stores import client_of, copied_bucket, copy_objects, new_store, read_csv
from support.upstreams import FEW, ServedUpstream
from support.waiting import PATIENCE
from support.withdrawers import (
    assert_marks_are_true,
    contents,
    published,
    run_withdrawal,
    sources_in_shards,
    take_back,
)

DAY = EARLIER[1][:10]
OLDER_DESCRIPTIONS = "_work/lookalikes/orb.1/descriptions.parquet"  # where an older version kept them


def one_of(store: Store, version: str = DAY, kind: str = "COVID") -> pd.Series:
    """Return the row of an image."""
    manifest = published(store, version)
    row: pd.Series = manifest[manifest["class"].eq(kind)].iloc[0]
    return row


def night(sample: ServedUpstream, store: Store, folder: Path, number: int, **settings: object) -> dict[str, Any] | None:
    pipeline = sample.pipeline(store, folder, **settings)
    return run_stages(pipeline, f"night-{number}", f"2026-11-2{number}T03:00:00+00:00").snapshot


@pytest.fixture
def upstream(sample: ServedUpstream) -> ServedUpstream:
    """The upstream as it was when the shared snapshot was made."""
    sample.move_to_step(5)
    return sample


@pytest.mark.long
@pytest.mark.parametrize("erase", [True, False])
def test_no_later_build_of_any_edition_takes_it_in(
    last_state: Store, upstream: ServedUpstream, store: Store, tmp_path: Path, erase: bool
) -> None:
    copy_objects(last_state, store)
    image = one_of(store)
    assert take_back(store, "image", image["sha256"], erase=erase) == {"number": 1, "marked": 1}
    mark, _ = read_mark(store, DAY)
    assert mark.state == ("erased" if erase else "withdrawn")
    assert mark.images == {image["file"]: {"reason": mark.images[image["file"]]["reason"], "erased": erase}}
    assert "withdrawal 1 of 2026-11-24: The patient asked for it." in mark.images[image["file"]]["reason"]
    found = verify(store, DAY, all_images=True)
    assert found["withdrawn"] == 1

    snapshot = night(upstream, store, tmp_path, 1)
    assert snapshot is not None, "the upstream has nothing new, but other images are wanted"
    assert snapshot["withdrawn"] == {"COVID": 1}
    excluded = read_csv(store, "2026-11-21/excluded.csv").set_index("sha256")
    assert excluded.loc[image["source_sha256"], "rule"] == "withdrawn"
    assert excluded.loc[image["source_sha256"], "evidence"].endswith("The patient asked for it.")
    assert image["file"] not in set(published(store, "2026-11-21")["file"])
    removed = catalog.diff(store, DAY, "2026-11-21")["removed"]
    assert [entry["rule"] for entry in removed if entry["file"] == image["file"]] == ["withdrawn"]
    assert verify(store, "2026-11-21", all_images=True).get("withdrawn") is None
    assert night(upstream, store, tmp_path, 2) is None

    pipeline = upstream.pipeline(store, tmp_path)
    assert run_stages(pipeline, "other", "2026-11-23T03:00:00+00:00", edition="other").snapshot is not None
    assert image["file"] not in set(published(store.edition("other"), "2026-11-23")["file"])
    assert store.exists(blob_name(image["source_sha256"])) is not erase


INSPECTED, FETCHED = (
    ["_work/inspections/", "_work/descriptions/", "_work/lookalikes/"],
    ["_work/sources/", "_work/blobs/"],
)


@pytest.mark.parametrize(
    ("limit", "losses"),
    [
        pytest.param(FEW, [INSPECTED + FETCHED], id="few-images"),
        pytest.param(None, [INSPECTED, FETCHED], id="all", marks=pytest.mark.long),
    ],
)
def test_where_it_is_erased_nothing_shows_it_and_nobody_fetches_it_again(
    upstream: ServedUpstream, store: Store, tmp_path: Path, limit: int | None, losses: list[list[str]]
) -> None:
    assert night(upstream, store, tmp_path, 0, archive="zip", max_per_class=limit) is not None
    assert run_stages(
        upstream.pipeline(store, tmp_path, files="uniform"), "u", "2026-11-20T04:00:00+00:00", edition="uniform"
    ).snapshot
    manifest = published(store, DAY).sort_values("source_sha256")
    image = manifest[manifest["class"].eq("COVID")].iloc[0]  # the first on the preview
    source = image["source_sha256"]
    with decoded(store.get(blob_name(source))) as pixels:
        looked_for = [store.get(blob_name(source)), SMALL.make(pixels)]
    described = [store.get_table(name) for name in store.list("_work/descriptions/")]
    assert source in set(pd.concat(described)["sha256"])
    for place in (store, store.edition("uniform")):
        place.put(OLDER_DESCRIPTIONS, b"what an older version kept")
    names, folders = set(store.list("")), (f"{DAY}/", "_work/runs/")
    before = {name: store.get(name) for name in names if name.startswith(folders)}
    for folder in folders:
        assert any(looked_for[1] in body for name, body in before.items() if name.startswith(folder))
    copy = tmp_path / "copy"
    download(store, DAY, copy)
    assert (copy / image["file"]).exists()

    lost = f"{next(iter(store.list('_work/runs/'))).rsplit('/', 1)[0]}/lost.jpg"
    store.put(lost, b"what a person was shown")
    kept = "_work/examples/224.4.parquet"
    shown = pd.DataFrame({"sha256": [source, "0" * 64], "picture": [b"its picture", b"another"]})
    put_sealed_table(store, kept, shown, pa.schema([("sha256", pa.string()), ("picture", pa.binary())]))
    take_back(store, "source-path", f"covid:{image['path']}", erase=True)
    assert list(store.get_table(kept)["picture"]) == [b"another"]
    assert not store.exists(lost)
    after = {name: store.get(name) for name in store.list("")}
    assert not [name for name, each in after.items() for body in looked_for if body in each]
    assert not [name for name in after if source in name or name.endswith("/descriptions.parquet")]
    gone = {name for name in names - after.keys() if not name.startswith("_work/")}
    assert {f"{DAY}/{image['file']}", f"{DAY}/covid-cxr-{DAY}.zip"} <= gone
    assert before[f"{DAY}/preview.jpg"] != after[f"{DAY}/preview.jpg"]
    assert source not in sources_in_shards(store, DAY)
    assert source not in sources_in_shards(store.edition("uniform"), DAY)
    for folder in ("_work/looks/", "_work/descriptions/"):
        found = [sha256 for name in store.list(folder) for sha256 in store.get_table(name)["sha256"]]
        assert found and source not in found
    for place in (store, store.edition("uniform")):
        for name in place.list("_work/examples/"):
            assert source not in set(place.get_table(name)["sha256"])
    assert after[f"{DAY}/manifest.csv"] == before[f"{DAY}/manifest.csv"]
    verify(store, DAY, all_images=True)
    verify(store.edition("uniform"), DAY, all_images=True)

    download(store, DAY, copy)
    assert not (copy / image["file"]).exists(), "what was fetched before is deleted"
    lines = (copy / "SHA256SUMS.withdrawn").read_text().splitlines()
    for line in lines:
        sha256, _, name = line.partition("  ")
        assert hashlib.sha256((copy / name).read_bytes()).hexdigest() == sha256
    assert (copy / MARK).exists()

    for lost in losses:
        store.delete(name for folder in lost for name in store.list(folder))
        pipeline = upstream.pipeline(store, tmp_path, max_per_class=limit)
        run_stages(pipeline, str(lost), "2026-11-21T03:00:00+00:00", force=True)
        assert not store.exists(blob_name(source)), lost
        verify(store, "2026-11-21", all_images=True)


@pytest.mark.long
def test_pictures_of_it_in_an_audit_go_too(upstream: ServedUpstream, store: Store, tmp_path: Path) -> None:
    night(upstream, store, tmp_path, 0, max_per_class=None)
    audit = store.get_json(f"{DAY}/audit.json")
    assert audit is not None
    (pair, *_) = audit["examples"]["duplicates"]
    assert b"data:image/jpeg" in store.get(f"{DAY}/audit.html")
    take_back(store, "source-path", pair["left_out"], erase=True)
    assert b"data:image/jpeg" not in store.get(f"{DAY}/audit.html")
    verify(store, DAY, all_images=True)
    croissant = store.get_json(f"{DAY}/croissant.json")
    assert croissant is not None
    for file in croissant["distribution"]:
        if "sha256" in file:
            body = store.get(f"{DAY}/{file['name']}")
            assert (file["sha256"], file["contentSize"]) == (hashlib.sha256(body).hexdigest(), f"{len(body)} B")


@pytest.mark.long
def test_copies_go_with_it(upstream: ServedUpstream, store: Store, tmp_path: Path) -> None:
    night(upstream, store, tmp_path, 0, max_per_class=None)
    excluded = read_csv(store, f"{DAY}/excluded.csv")
    copy = excluded[excluded["rule"].eq("near_duplicate_image")].iloc[0]
    stays = copy["evidence"].split(":", 1)[1].split(" (")[0]
    assert take_back(store, "source-path", f"{copy['source']}:{copy['path']}", erase=False)["number"] == 1
    (note,) = load_withdrawals(store)
    both = excluded[excluded["path"].isin([copy["path"], stays])]
    assert set(both["sha256"]) == set(note.sha256s), "the one that was kept was not drawn"
    later = run_stages(upstream.pipeline(store, tmp_path, max_per_class=None), "later", "2026-11-21T03:00:00+00:00")
    assert later.filtered is not None
    assert later.filtered["excluded"]["withdrawn"] == 2
    assert later.snapshot is None, "neither was drawn, so nothing that is published changes"


@pytest.mark.long
def test_what_is_withdrawn_trips_no_guard_but_what_else_is_lost_does(
    upstream: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    night(upstream, store, tmp_path, 0, max_per_class=None)
    covid = published(store, DAY).query("`class` == 'COVID'")
    for patient in sorted(set(covid["patient_id"]))[:12]:
        take_back(store, "patient", patient, erase=False)
    first = night(upstream, store, tmp_path, 1, max_per_class=None)
    assert first is not None
    upstream.move_to_step(1)
    with pytest.raises(GuardError, match=r"shrink_COVID"):
        night(upstream, store, tmp_path, 2, max_per_class=None)


@pytest.mark.long
def test_a_run_that_was_at_work_publishes_nothing_of_it(
    last_state: Store, upstream: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    copy_objects(last_state, store)
    image = one_of(store)
    pipeline = upstream.pipeline(store, tmp_path, max_per_class=3)
    publish = pipeline.publish

    def withdrawn_before(plan):
        take_back(store, "image", image["file"], erase=False)
        return publish(plan)

    pipeline.publish = withdrawn_before
    with pytest.raises(GuardError, match=r"withdrawn since this run was planned.*Start a new run"):
        run_stages(pipeline, "late", "2026-11-21T03:00:00+00:00")

    store.delete(store.list("_work/withdrawals/"))
    store.delete([f"{DAY}/{MARK}"])

    def withdrawn_after(plan):
        snapshot = publish(plan)
        held = one_of(store, snapshot["version"])
        copy_objects(store, aside := new_store(store.client))
        take_back(aside, "image", held["sha256"], erase=False)
        note = aside.fetch("_work/withdrawals/000001.json")
        store.put("_work/withdrawals/000001.json", note.body, notes=note.notes)
        return snapshot

    pipeline.publish = withdrawn_after
    with pytest.raises(VerificationError, match=r"withdrawn meanwhile.*It was taken back"):
        run_stages(pipeline, "later", "2026-11-21T04:00:00+00:00", force=True)
    assert read_pointer(store)[0] == DAY
    assert versions(store) == [DAY]


def test_what_is_asked_for_must_be_there(last_state: Store) -> None:
    for kind, value in (("image", "0" * 64), ("patient", "covid:nobody"), ("source-path", "covid:images/none.jpg")):
        with pytest.raises(MissingObjectError, match=rf"knows no {kind}"):
            take_back(last_state, kind, value, erase=False)
    assert not last_state.list("_work/withdrawals/")


def test_the_same_twice_changes_nothing(last_state: Store, store: Store) -> None:
    copy_objects(last_state, store)
    patient = one_of(store)["patient_id"]
    assert take_back(store, "patient", patient, erase=True)["number"] == 1
    before = contents(store, "")
    assert take_back(store, "patient", patient, erase=True)["number"] == 1
    assert contents(store, "") == before


def writes_of(store: Store, patient: str, erase: bool) -> list[int]:
    """Withdraw, and return which of the requests, counted from 1, changed anything."""
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        take_back(Store(client_of(proxy.url), store.bucket, store.prefix), "patient", patient, erase=erase)
        return [number for number, request in enumerate(proxy.requests, start=1) if request.method in ("PUT", "POST")]


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.long)])
@pytest.mark.parametrize("erase", [True, pytest.param(False, marks=pytest.mark.long)])
def test_killed_withdrawals(last_state: Store, store: Store, every: int, erase: bool) -> None:
    """Killed after a request that changed something: a kill after one that only read leaves what was before."""
    rows = published(last_state, DAY)
    patient = rows[rows["class"].eq("COVID")].iloc[0]["patient_id"]
    rows = rows[rows["patient_id"].eq(patient)]
    old_pictures = pictures_on_page(last_state)
    calm = copied_bucket(last_state)
    writes = writes_of(calm, patient, erase)
    assert (pictures_on_page(calm) != old_pictures) is erase
    assert len(writes) > (10 if erase else 1)
    forkserver()
    states = []
    with S3Proxy(store.client.meta.endpoint_url) as proxy:
        task = Task(proxy.url, store.bucket, store.prefix, plan={})  # type: ignore[typeddict-item]
        for number in writes[every - 1 :: every] or writes[:1]:
            store.delete(store.list(""))
            copy_objects(last_state, store)
            with started(task, run_withdrawal) as (process, orders):
                proxy.start_again(kill=process.pid, after=number)
                orders.send((patient, erase))
                orders.send(None)
                process.join(PATIENCE)
            assert process.exitcode == -signal.SIGKILL, f"request {number}"
            proxy.start_again()
            states += (now := assert_marks_are_true(store, set(rows["file"]), set(rows["source_sha256"])))
            if "erased" in now and store.exists(INDEX_PAGE):
                assert pictures_on_page(store) != old_pictures, f"request {number}"
            take_back(store, "patient", patient, erase=erase)
            assert contents(store, DAY) == contents(calm, DAY), f"request {number}"
            assert store.list("").keys() == calm.list("").keys(), f"request {number}"
            assert pictures_on_page(store) == (pictures_on_page(calm))
    if every == 1:
        assert set(states) == ({"unmarked", "erasing", "erased"} if erase else {"unmarked", "withdrawn"})
