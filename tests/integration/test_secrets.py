"""Keys and tokens are in no log, no returned value, no error and no object of the store."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import boto3
import pytest

from cxr_snapshot.errors import SnapshotError
from cxr_snapshot.store.client import CLIENT_CONFIG
from cxr_snapshot.store.objects import Store
from support.upstreams import ServedUpstream
from upstream_simulator.faults import Fault

SECRETS = {
    "github_token": "ghp-SECRET-github-token",
    "kaggle_key": "SECRET-kaggle-key",
    "kaggle_token": "KGAT-SECRET-kaggle-token",
    "aws_secret_access_key": "SECRET-aws-secret-key",
    "aws_session_token": "SECRET-aws-session-token",
}


@pytest.fixture
def guarded(store: Store) -> Store:
    """The empty bucket, opened with recognisable keys."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=store.client.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        config=CLIENT_CONFIG,
        **{name: SECRETS[name] for name in ("aws_secret_access_key", "aws_session_token")},
    )
    return Store(client, store.bucket, store.prefix)


def assert_no_secrets(text: str, where: str) -> None:
    for name, secret in SECRETS.items():
        encoded = base64.b64encode(f"somebody:{secret}".encode()).decode()  # as HTTP sends it
        assert secret not in text, f"{name} in {where}"
        assert encoded not in text, f"{name}, encoded, in {where}"


@pytest.mark.parametrize("kaggle", ["kaggle_key", pytest.param("kaggle_token", marks=pytest.mark.long)])
def test_nowhere_in_what_a_run_leaves(
    sample: ServedUpstream, guarded: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, kaggle: str
) -> None:
    given = {"github_token": SECRETS["github_token"], kaggle: SECRETS[kaggle], "kaggle_username": "somebody"}
    pipeline = sample.pipeline(guarded, tmp_path / "scratch", **given)
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, logger="cxr_snapshot")
    returned: list[Any] = []
    plan = pipeline.poll("run", "2026-11-23T03:00:00+00:00")
    returned += [plan, *(pipeline.ingest(plan, source) for source in pipeline.sources)]
    returned += [pipeline.inspect(plan, shard) for shard in range(4)]
    returned += [pipeline.filter(plan), pipeline.balance(plan), pipeline.audit(plan), pipeline.publish(plan)]
    returned += [pipeline.verify(returned[-1]["version"])]

    sent = " ".join(value for request in sample.simulator.requests for value in request.headers.values())
    assert SECRETS["github_token"] in sent, "the token is used"
    assert_no_secrets(caplog.text, "the log")
    assert_no_secrets(json.dumps(returned), "returned values")
    assert_no_secrets(repr(pipeline.settings), "the settings' text")
    names = guarded.list("")
    assert len(names) > 100
    for name in names:
        body = guarded.get(name)
        assert_no_secrets(body.decode(errors="replace"), name)
        if name.endswith(".parquet"):
            assert_no_secrets(guarded.get_table(name).to_csv(), name)
    for file in (tmp_path / "scratch").rglob("*"):
        if file.is_file():
            assert_no_secrets(file.read_text(errors="replace"), str(file))


@pytest.mark.parametrize(("kind", "path"), [("401", "/commits/"), ("429", "/git/trees/"), ("401", "/GetDataset")])
def test_nowhere_in_an_error(
    sample: ServedUpstream, guarded: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, path: str
) -> None:
    given = {name: SECRETS[name] for name in ("github_token", "kaggle_key")} | {"kaggle_username": "somebody"}
    pipeline = sample.pipeline(guarded, tmp_path, http_attempts=1, **given)
    caplog.set_level(logging.DEBUG, logger="cxr_snapshot")
    sample.simulator.faults.add(Fault(kind, path=path, times=1000))
    with pytest.raises(SnapshotError) as caught:
        plan = pipeline.poll("run", "2026-11-23T03:00:00+00:00")
        pipeline.ingest(plan, "covid")
    assert_no_secrets("".join(traceback.format_exception(caught.value)), "the error")
    assert_no_secrets(caplog.text, "the log")


def test_nowhere_in_an_error_of_the_store(guarded: Store) -> None:
    lost = Store(guarded.client, "nowhere-to-be-found", "")
    with pytest.raises(SnapshotError) as caught:
        lost.put("a", b"")
    assert_no_secrets("".join(traceback.format_exception(caught.value)), "the error")
