"""The local S3 server: who may use it, and that it never says it has what it could not keep."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

from cxr_snapshot.store.client import sending_at_once
from local_stack import s3_server, stack
from local_stack.processes import StackError, free_port
from local_stack.stack import s3_server as running_server
from support.paths import ROOT
from support.waiting import PATIENCE, eventually

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = {"AWS_ACCESS_KEY_ID": "a-key", "AWS_SECRET_ACCESS_KEY": "its-secret"}
BUCKET = "snapshots"
NAME = "a name/with 100%+signs~ü.txt"


def client(address: str, key: str = "a-key", secret: str = "its-secret", **config: Any) -> S3Client:
    once = Config(**{"retries": {"max_attempts": 1, "mode": "standard"}, "signature_version": "s3v4", **config})
    session = boto3.Session(key, secret, region_name="us-east-1")
    return session.client("s3", endpoint_url=address, config=once)


def ask(url: str, method: str = "GET", **headers: str) -> int:
    """Return the status of an answer to a request of a web page or another program."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, method=method, headers=headers), timeout=PATIENCE
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with running_server(ROOT, folder / "data", folder / "log", KEYS) as (address, _):
        yield address


@pytest.fixture
def owner(server: str) -> Iterator[S3Client]:
    """A client with the keys of a server that has an empty bucket."""
    owner = client(server)
    owner.create_bucket(Bucket=BUCKET)
    yield owner
    for entry in owner.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
        owner.delete_object(Bucket=BUCKET, Key=entry["Key"])
    owner.delete_bucket(Bucket=BUCKET)


def test_the_owner_of_the_keys_can_do_all(owner: S3Client) -> None:
    owner.put_object(Bucket=BUCKET, Key=NAME, Body=b"first", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        owner.put_object(Bucket=BUCKET, Key=NAME, Body=b"second", IfNoneMatch="*")
    owner.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": NAME})
    owner.upload_fileobj(io.BytesIO(bytes(20_000_000)), BUCKET, "in parts")
    listed = owner.list_objects_v2(Bucket=BUCKET, Prefix="a name/", Delimiter="/", StartAfter="")
    assert [entry["Key"] for entry in listed["Contents"]] == [NAME]
    link = owner.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": NAME})
    with urllib.request.urlopen(link, timeout=PATIENCE) as answer:
        assert answer.read() == b"first"
    owner.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": NAME}, {"Key": "copy"}]})
    assert [entry["Key"] for entry in owner.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["in parts"]


@pytest.mark.parametrize(
    "who",
    [
        {"secret": "another"},
        {"key": "local", "secret": "local"},
        {"signature_version": UNSIGNED},
        {"signature_version": "s3"},
    ],
    ids=["another secret", "another key", "unsigned", "an old signature"],
)
def test_nobody_else_can_do_anything(server: str, owner: S3Client, who: dict[str, Any]) -> None:
    stranger = client(server, **who)
    owner.put_object(Bucket=BUCKET, Key="mine", Body=b"mine")
    for attempt in (
        lambda: stranger.get_object(Bucket=BUCKET, Key="mine"),
        lambda: stranger.put_object(Bucket=BUCKET, Key="mine", Body=b"theirs"),
        lambda: stranger.copy_object(Bucket=BUCKET, Key="copy", CopySource=f"{BUCKET}/mine"),
        lambda: stranger.list_objects_v2(Bucket=BUCKET),
        stranger.list_buckets,
        lambda: stranger.delete_object(Bucket=BUCKET, Key="mine"),
        lambda: stranger.delete_bucket(Bucket=BUCKET),
    ):
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            attempt()
    assert owner.get_object(Bucket=BUCKET, Key="mine")["Body"].read() == b"mine"
    assert [entry["Key"] for entry in owner.list_objects_v2(Bucket=BUCKET)["Contents"]] == ["mine"]


@pytest.mark.parametrize("size", [1, 100_000, 2 * 1024**2 - 1])
def test_a_refusal_is_heard_by_who_did_not_ask_before_sending(server: str, owner: S3Client, size: int) -> None:
    stranger = sending_at_once(client(server, secret="another"))
    for _ in range(3):
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            stranger.put_object(Bucket=BUCKET, Key="theirs", Body=bytes(size))


def test_a_link_opens_what_it_names_and_nothing_else(server: str, owner: S3Client) -> None:
    for name in ("one", "other"):
        owner.put_object(Bucket=BUCKET, Key=name, Body=name.encode())
    link = owner.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "one"})
    assert ask(link) == 200
    assert ask(link.replace("/one?", "/other?")) == 403
    assert ask(link, "DELETE") == 403
    assert ask(link.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999")) == 403
    assert ask(f"{server}/_ministack/reset?{link.partition('?')[2]}", "POST") == 403
    assert ask(link) == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_a_web_page_can_do_nothing(server: str, owner: S3Client, method: str) -> None:
    owner.put_object(Bucket=BUCKET, Key="mine", Body=b"mine")
    for path in ("/_ministack/reset", "/", f"/{BUCKET}", f"/{BUCKET}/mine", "/_localstack/health"):
        assert ask(f"{server}{path}", method) == 403
        assert ask(f"{server}{path}", method, Origin="https://example.org") == 403
    assert ask(f"{server}/_ministack/health", Origin="https://example.org") == 403
    assert owner.get_object(Bucket=BUCKET, Key="mine")["Body"].read() == b"mine"


def test_a_page_that_has_a_link_may_not_read_it_from_a_script(owner: S3Client) -> None:
    owner.put_object(Bucket=BUCKET, Key="one", Body=b"one")
    link = owner.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "one"})
    assert ask(link, Origin="https://example.org") == 403


def test_nothing_is_acknowledged_that_is_not_on_the_disk(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_server(ROOT, data, tmp_path / "log", KEYS) as (address, process):
        owner = client(address)
        owner.create_bucket(Bucket=BUCKET)
        owner.put_object(Bucket=BUCKET, Key="kept", Body=b"kept")
        next(data.rglob("kept")).with_name("lost.tmp").mkdir()  # where the file would be written first
        with pytest.raises(BotoCoreError):
            owner.put_object(Bucket=BUCKET, Key="lost", Body=b"lost")
        assert eventually(process.status, "the end of the server") == 1
        assert "Failed to persist S3 object snapshots/lost" in process.quote()
    with running_server(ROOT, data, tmp_path / "log", KEYS) as (again, _):
        names = [entry["Key"] for entry in client(again).list_objects_v2(Bucket=BUCKET)["Contents"]]
        assert "kept" in names
        assert "lost" not in names


def test_a_server_that_another_one_has_the_port_of_is_not_taken_for_it(server: str, tmp_path: Path) -> None:
    port = int(server.rpartition(":")[2])
    refused = pytest.raises(StackError, match="ended with exit status")
    with refused, running_server(ROOT, tmp_path / "data", tmp_path / "log", KEYS, port):
        pass


def test_a_port_that_another_checkout_took_at_the_same_moment_is_given_up(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(server.rpartition(":")[2])
    monkeypatch.setattr(stack, "free_port", lambda preferred=0: taken if preferred else free_port())
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local/ministack-venv").symlink_to(ROOT / ".local/ministack-venv")
    with stack.local_store(tmp_path, {"HOME": str(tmp_path)}) as (address, process):
        assert address != server
        assert process.status() is None


@pytest.mark.parametrize(("free", "status"), [(0, 507), (s3_server.SPARE + 99, 507), (s3_server.SPARE + 100, None)])
@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "DELETE"])
def test_a_full_disk_is_noticed_before_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: int | None, method: str
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    monkeypatch.setattr(s3_server, "is_signed", lambda *_: True)
    guard = s3_server.Guard(None, Credentials("a", "b"), tmp_path)  # type: ignore[arg-type]
    refusal = guard.refusal({"method": method, "path": "/b/k", "headers": [(b"Content-Length", b"100")]})
    assert (refusal[0] if refusal else None) == (status if method in ("PUT", "POST") else None)
    assert refusal is None or "The disk is full" in refusal[2]
