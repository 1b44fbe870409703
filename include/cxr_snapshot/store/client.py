"""The S3 client: how it is set up, and how a store is opened over it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import determine_content_length, parse_timestamp

from cxr_snapshot import __version__
from cxr_snapshot.errors import SettingsError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import THREADS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from cxr_snapshot.settings import Settings

# Standard mode retries connection errors, 5xx and throttling with backoff. Checksums only where we give one: the
# default CRC would be computed a second time beside our SHA-256, and some third-party stores refuse it.
CLIENT_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 6},
    connect_timeout=15,
    read_timeout=60,
    max_pool_connections=2 * THREADS,
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    user_agent=f"cxr-snapshot/{__version__}",  # botocore makes its own twice a request, in a tenth of the time
)


# boto3 announces each body with `Expect: 100-continue` and waits for the store's word: a write takes a round trip more.
# A store that refuses a large body is spared it, so there it stays. AWS's SDK for Go draws the same line.
_ASK_FIRST = 2 * 1024**2  # bytes


def connect(config: Config = CLIENT_CONFIG) -> S3Client:
    """Return an S3 client from the environment, by boto3's own rules (``AWS_ENDPOINT_URL_S3``, ``AWS_PROFILE``).

    Raises:
        SettingsError: as :func:`checked`.
    """
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_time)
    return checked(lambda: boto3.Session(botocore_session=session).client("s3", config=config))


def checked(make: Callable[[], S3Client]) -> S3Client:
    """Return the client that ``make`` returns, which then sends small bodies without asking first.

    Raises:
        SettingsError: the address of its store is none, or holds a login, which would be shown on pages and in links.
    """
    where = "the address of the store (AWS_ENDPOINT_URL_S3, or endpoint_url of the Airflow connection cxr_s3)"
    try:
        client = make()
    except ValueError as error:
        if "Invalid endpoint" not in str(error):
            raise
        raise SettingsError(f"{where} is no http(s) URL") from None  # boto3's text quotes it
    if "@" in client.meta.endpoint_url:
        raise SettingsError(f"{where} holds a user or a password. Take it out; keys belong into the connection.")
    return sending_at_once(client)


def sending_at_once(client: S3Client) -> S3Client:
    """Let a client send small bodies without asking first whether it may; return it."""
    client.meta.events.register_last("before-call.s3", _send_at_once, unique_id="cxr-send-at-once")
    return client


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    size = determine_content_length(params["body"])
    if size is not None and size < _ASK_FIRST:
        params["headers"].pop("Expect", None)


def read_time(value: Any) -> datetime:
    """Read a time as S3 writes it in listings and in headers.

    botocore's own reader tries any form that people ever used and so takes most of the time that a listing takes.
    """
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = read(value)
        except (TypeError, ValueError):
            continue
        if time.tzinfo:
            return time
    return parse_timestamp(value)


def open_store(settings: Settings, client: S3Client | None = None) -> Store:
    """Return the store that ``settings`` name, over ``client`` or a client from the environment."""
    conditional = settings.conditional_writes == "required"
    return Store(client or connect(), settings.bucket, settings.prefix, conditional_writes=conditional)
