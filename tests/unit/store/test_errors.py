from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
)

from cxr_snapshot.errors import MissingObjectError, SettingsError, SnapshotError, StorageError, StorageUnavailableError
from cxr_snapshot.store.errors import ATTEMPTS, HiccupError, PreconditionFailedError, again, translated

URI = "s3://bucket/prefix/name"


def answer(status: int, code: str, message: str | None = "because") -> ClientError:
    """Return what boto3 raises on an answer of the store."""
    parsed: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(parsed, "PutObject")


@pytest.mark.parametrize(
    ("error", "kind", "words", "transient"),
    [
        (answer(404, "NoSuchKey"), MissingObjectError, f"{URI} does not exist", False),
        (answer(404, "404"), MissingObjectError, f"{URI} does not exist", False),
        (answer(404, "NoSuchBucket"), StorageError, "bucket bucket does not exist. Create it or set CXR_BUCKET", False),
        (answer(412, "PreconditionFailed"), PreconditionFailedError, "changed by somebody else", False),
        (answer(409, "ConditionalRequestConflict"), HiccupError, "is being written by somebody else", True),
        (answer(409, "ConcurrentModification", None), HiccupError, "is being written by somebody else", True),
        (answer(403, "AccessDenied"), StorageError, "AccessDenied: because. Check the keys and rights", False),
        (answer(403, "AccessDenied", "No."), StorageError, "AccessDenied: No. Check the keys and rights", False),
        (answer(403, "SignatureDoesNotMatch", None), StorageError, f"{URI}: SignatureDoesNotMatch. Check", False),
        (answer(403, "", ""), StorageError, f"{URI}: it gave no reason. Check", False),
        (answer(501, "NotImplemented"), StorageError, "set CXR_CONDITIONAL_WRITES=unavailable", False),
        (answer(503, "SlowDown"), StorageUnavailableError, "Try again later", True),
        (answer(400, "RequestTimeout"), StorageUnavailableError, "Try again later", True),
        (EndpointConnectionError(endpoint_url="x"), StorageUnavailableError, "Check that the store runs", True),
        (
            IncompleteReadError(actual_bytes=1, expected_bytes=2),
            StorageUnavailableError,
            "Check that the store runs",
            True,
        ),
        (NoCredentialsError(), SettingsError, "Set the Airflow connection cxr_s3, or AWS_ACCESS_KEY_ID", False),
        (ParamValidationError(report="wrong"), StorageError, "Check the settings of the store", False),
    ],
)
def test_errors_say_what_and_what_to_do(
    error: ClientError | BotoCoreError, kind: type[SnapshotError], words: str, transient: bool
) -> None:
    with pytest.raises(SnapshotError) as caught, translated("write", URI, "bucket"):
        raise error
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert caught.value.transient is transient
    assert caught.value.__cause__ is error


def test_hiccups_are_tried_again_and_nothing_else_is() -> None:
    calls: list[int] = []

    def fails_twice() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise HiccupError("once more")
        return "done"

    assert again(fails_twice) == "done"
    assert len(calls) == 3

    def fails(error: Exception) -> None:
        calls.append(1)
        raise error

    for error, tries in ((StorageError("no"), 1), (HiccupError("always"), ATTEMPTS)):
        calls.clear()
        with pytest.raises(type(error), match=str(error)):
            again(lambda error=error: fails(error))
        assert len(calls) == tries
