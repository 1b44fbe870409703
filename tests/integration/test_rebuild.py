"""The pins and settings that a snapshot records are enough to make its manifest again, anywhere."""

from __future__ import annotations

from pathlib import Path

from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.stores import copy_objects, new_store
from support.upstreams import ServedUpstream


def test_from_the_record_on_an_empty_store(
    first_state: Store, sample: ServedUpstream, store: Store, tmp_path: Path
) -> None:
    copy_objects(first_state, store)
    sample.move_to_step(3)
    pipeline = sample.pipeline(store, tmp_path / "first", views="frontal+lateral", salt="another salt")
    published = run_stages(pipeline, "first", "2026-11-21T03:00:00+00:00").snapshot
    assert published is not None
    assert published["previous"] is not None
    record = store.get_json(f"{published['version']}/snapshot.json")
    assert record["revisions"].keys() == pipeline.sources.keys()

    sample.move_to_step(5)
    empty = new_store(store.client, "elsewhere")
    rebuilding = sample.pipeline(empty, tmp_path / "second", **record["settings"])
    outcome = run_stages(rebuilding, "rebuild", "2027-01-01T03:00:00+00:00", pins=record["revisions"])
    rebuilt = outcome.snapshot
    assert rebuilt is not None
    for name in ("content_digest", "manifest_sha256", "revisions", "settings", "counts", "candidates", "excluded"):
        assert rebuilt[name] == record[name], name
    for name in ("manifest.csv", "manifest.parquet", "excluded.csv"):
        assert empty.get(f"{rebuilt['version']}/{name}") == store.get(f"{published['version']}/{name}"), name
    shards = {name.partition("/")[2]: item.etag for name, item in store.list(f"{published['version']}/data/").items()}
    assert shards == {n.partition("/")[2]: i.etag for n, i in empty.list(f"{rebuilt['version']}/data/").items()}
