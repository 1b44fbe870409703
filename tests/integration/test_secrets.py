"""Keys and tokens are in no log, no returned value, no error and no object of the store."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from cxr_snapshot.errors import SettingsError, SnapshotError, StorageUnavailableError, UpstreamUnavailableError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.covid import CovidCollection
from cxr_snapshot.store.client import CLIENT_CONFIG, open_store
from cxr_snapshot.store.objects import Store
from local_stack import environment
from local_stack.processes import StackError, free_port
from local_stack.stack import s3_server
from support.paths import ROOT
from support.stores import new_store
from support.upstreams import ServedUpstream
from upstream_simulator.faults import Fault

SECRETS = {
    "github_token": "ghp-SECRET-github-token",
    "kaggle_key": "SECRET-kaggle-key",
    "kaggle_token": "KGAT-SECRET-kaggle-token",
    "aws_secret_access_key": "SECRET-aws-secret-key",
    "aws_session_token": "SECRET-aws-session-token",
}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a store of its own, which takes requests with recognisable keys only."""
    folder = tmp_path_factory.mktemp("s3")
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": SECRETS["aws_secret_access_key"]}
    with s3_server(ROOT, folder / "data", folder / "log", keys) as (address, _):
        yield address


@pytest.fixture
def guarded(endpoint: str) -> Store:
    """An empty bucket, opened with recognisable keys."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        config=CLIENT_CONFIG,
        **{name: SECRETS[name] for name in ("aws_secret_access_key", "aws_session_token")},
    )
    return new_store(client)


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


PASSWORD = "SECRET-password"
LOGIN = f"somebody:{PASSWORD}"
NAMES = ("bucket", "prefix", "github_repo", "kaggle_dataset", "views", "http_timeout", "max_per_class", "approval")
ADDRESSES = ("github_api_url", "github_raw_url", "github_codeload_url", "kaggle_api_url")


def text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("address", ["https://{}@host", "{}@host", "https:/{}@host/x", "https://{}/#?@host:99999"])
@pytest.mark.parametrize("name", [*ADDRESSES, *NAMES])
def test_nowhere_in_the_refusal_of_a_setting_that_holds_a_login(name: str, address: str) -> None:
    given = {"bucket": "any", name: address.format(LOGIN)}
    with pytest.raises(SettingsError, match=f"setting {name} ") as caught:
        Settings.load(given, environ={})
    assert PASSWORD not in text_of(caught.value)


@pytest.mark.parametrize("name", ["github_token", "kaggle_key", "kaggle_token"])
@pytest.mark.parametrize("sign", ["\n", "é", "\x1b", "\u202e", " "])
def test_nowhere_in_the_refusal_of_a_token_that_cannot_be_one(name: str, sign: str) -> None:
    with pytest.raises(SettingsError, match=f"setting {name} ") as caught:
        Settings.load({"bucket": "any", name: LOGIN + sign + LOGIN}, environ={})
    assert PASSWORD not in text_of(caught.value)


@pytest.mark.parametrize("address", ["http://{}@127.0.0.1:9", "{}@127.0.0.1:9", "http://{}/x@127.0.0.1:9"])
def test_nowhere_in_the_refusal_of_a_store_whose_address_holds_a_login(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address.format(LOGIN))
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with pytest.raises(SettingsError, match="the address of the store") as caught:
        open_store(Settings(bucket="any"))
    assert PASSWORD not in text_of(caught.value)
    with pytest.raises(StackError, match="holds a user or a password") as refused:
        environment.uses_local_store(
            {"AWS_ENDPOINT_URL_S3": address.format(LOGIN), "CXR_BUCKET": "any"}, has_keys=lambda: True
        )
    assert PASSWORD not in text_of(refused.value)


def test_nowhere_where_a_proxy_with_a_login_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{LOGIN}@127.0.0.1:{free_port()}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings(bucket="any", http_attempts=1)
    with pytest.raises(UpstreamUnavailableError) as caught:
        CovidCollection(settings).resolve()
    assert PASSWORD not in text_of(caught.value)
    client = boto3.client(
        "s3",
        endpoint_url="http://store.example.org",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=CLIENT_CONFIG.merge(Config(retries={"total_max_attempts": 1})),
    )
    with pytest.raises(StorageUnavailableError) as unavailable:
        Store(client, "any", "").get("a")
    assert PASSWORD not in str(unavailable.value)
    assert PASSWORD not in caplog.text
