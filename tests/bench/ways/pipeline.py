"""Run all stages of the pipeline, without Airflow: ``pipeline.py S3_URL BUCKET CREATED SETTINGS``.

Tasks that do not wait for each other run side by side in two processes, as on two workers.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import INSPECT_SHARDS, Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.store.objects import Store
from support.stores import client_of

ADDRESS, BUCKET, CREATED, SETTINGS = sys.argv[1:]


def pipeline() -> Pipeline:
    loaded = Settings.load(json.loads(SETTINGS) | {"bucket": BUCKET, "prefix": "bench"}, environ={})
    return Pipeline(loaded, Store(client_of(ADDRESS), BUCKET, "bench"), build_sources(loaded))


def stage(name: str, *arguments: object) -> object:
    return getattr(pipeline(), name)(*arguments)


if __name__ == "__main__":
    here = pipeline()
    plan = here.poll(CREATED, CREATED)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(stage, [("ingest", plan, source) for source in here.sources], chunksize=1)
        pool.starmap(stage, [("inspect", plan, shard) for shard in range(INSPECT_SHARDS)], chunksize=1)
    here.filter(plan)
    here.balance(plan)
    here.audit(plan)
    snapshot = here.publish(plan)
    assert snapshot is not None
    here.verify(snapshot["version"])
