"""Run all stages of the pipeline in this process, without Airflow: ``pipeline.py S3_URL BUCKET CREATED SETTINGS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from support import client_of, run_stages

from cxr_snapshot.pipeline import Pipeline
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import build_sources
from cxr_snapshot.storage import Store

address, bucket, created, settings = sys.argv[1:]
loaded = Settings.load(json.loads(settings) | {"bucket": bucket, "prefix": "bench"}, environ={})
outcome = run_stages(Pipeline(loaded, Store(client_of(address), bucket, "bench"), build_sources(loaded)), created, created)
assert outcome.snapshot is not None
