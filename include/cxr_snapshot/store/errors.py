"""What boto3 raises, in our words; and what is worth another try.

boto3 itself tries a request again that got no answer, or one of overload. It does not when an answer's body breaks off,
when a store says for a moment that it lacks what it was just given, and when it asks to repeat a conditional write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random

from cxr_snapshot.errors import MissingObjectError, SettingsError, StorageError, StorageUnavailableError

ATTEMPTS = 6  # the pauses between them add up to about 4 s

_CONFLICTS = ("ConditionalRequestConflict", "ConcurrentModification")  # two writes at once; the latter is Ceph's word

Result = TypeVar("Result")


class PreconditionFailedError(StorageError):
    """A conditional write lost: the object is not in the state that the caller named."""


class HiccupError(StorageUnavailableError):
    """The same call is worth another try at once."""


def again(call: Callable[[], Result]) -> Result:
    """Return ``call()``, tried again while it raises ``HiccupError``."""
    tries = Retrying(
        retry=retry_if_exception_type(HiccupError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.1, max=2) + wait_random(0, 0.1),
        reraise=True,
    )
    return tries(call)


def words(error: Mapping[str, object]) -> str:
    """Return code and message of a store's answer, without a full stop. Ceph RGW sends empty messages."""
    said = ": ".join(str(error[name]) for name in ("Code", "Message") if error.get(name))
    return said.rstrip(".") or "it gave no reason"


@contextmanager
def translated(doing: str, uri: str, bucket: str) -> Iterator[None]:
    """Turn boto3's errors into ours, with the address and a remedy.

    Args:
        doing: the verb for the error's text, such as ``read``.
        uri: address of the object or folder.
        bucket: name of the bucket.

    Raises:
        MissingObjectError: there is no such object.
        PreconditionFailedError: a conditional write lost.
        StorageUnavailableError: the store did not answer after every retry, or a body broke off.
        StorageError: it refused.
        SettingsError: there are no keys.
    """
    try:
        yield
    except ClientError as error:
        code, said = error.response["Error"].get("Code"), words(error.response["Error"])
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if code in _CONFLICTS:
            raise HiccupError(f"{uri} is being written by somebody else. Try again later.") from error
        if code == "PreconditionFailed" or status == 412:
            raise PreconditionFailedError(f"{uri} was changed by somebody else.") from error
        if code == "NoSuchBucket":
            raise StorageError(f"bucket {bucket} does not exist. Create it or set CXR_BUCKET.") from error
        if code in ("NoSuchKey", "404", "NotFound"):
            raise MissingObjectError(f"{uri} does not exist.") from error
        if status == 501:
            raise StorageError(
                f"could not {doing} {uri}: the store cannot do that ({said}). If it has no conditional "
                "writes, set CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time."
            ) from error
        if status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling"):
            raise StorageUnavailableError(f"could not {doing} {uri}: {said}. Try again later.") from error
        raise StorageError(
            f"could not {doing} {uri}: {said}. Check the keys and rights of the store's connection."
        ) from error
    except (NoCredentialsError, NoRegionError) as error:
        raise SettingsError(
            f"could not {doing} {uri}: {error}. Set the Airflow connection cxr_s3, or AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION."
        ) from error
    except (NoConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise StorageUnavailableError(
            f"could not {doing} {uri}: {error}. Check that the store runs and AWS_ENDPOINT_URL_S3 names it."
        ) from error
    except BotoCoreError as error:
        raise StorageError(f"could not {doing} {uri}: {error}. Check the settings of the store.") from error
