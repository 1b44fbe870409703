"""What one request costs by one way to talk S3: ``one_request.py WAY S3_URL``, with keys in the environment.

Prints as JSON the milliseconds of this process's processor time for each request, by what is asked. Each way imports
its own client when it is asked for, since obstore is in another environment than the others.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

BUCKET, KEY, COPY = "bench", "bench/object", "bench/copy"
BODY, REQUESTS = b"x" * 80_000, 300

Ways = dict[str, Callable[[], object]]


def store(url: str) -> Ways:
    """Return what the pipeline calls."""
    from cxr_snapshot.store.client import connect
    from cxr_snapshot.store.objects import Store

    place = Store(connect(), BUCKET, "bench")
    return {
        "read": lambda: place.get("object"),
        "write": lambda: place.put("object", BODY),
        "copy": lambda: place.copy("object", "copy"),
    }


def boto3(url: str) -> Ways:
    """Return the plain calls of boto3 with its own settings."""
    import boto3

    client = boto3.client("s3", endpoint_url=url)
    origin = {"Bucket": BUCKET, "Key": KEY}

    def read() -> bytes:
        body: bytes = client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        return body

    return {
        "read": read,
        "write": lambda: client.put_object(Bucket=BUCKET, Key=KEY, Body=BODY),
        "copy": lambda: client.copy_object(Bucket=BUCKET, Key=COPY, CopySource=origin),
    }


def urllib3(url: str) -> Ways:
    """Return requests that nobody signs; the server here does not mind."""
    import urllib3

    pool = urllib3.PoolManager()
    return {
        "read": lambda: pool.request("GET", f"{url}/{BUCKET}/{KEY}").data,
        "write": lambda: pool.request("PUT", f"{url}/{BUCKET}/{KEY}", body=BODY).data,
    }


def http_client(url: str) -> Ways:
    """Return the same by Python's own module."""
    import http.client

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def ask(method: str, body: bytes | None = None) -> bytes:
        connection.request(method, f"/{BUCKET}/{KEY}", body)
        return connection.getresponse().read()

    return {"read": lambda: ask("GET"), "write": lambda: ask("PUT", BODY)}


def obstore(url: str) -> Ways:
    """Return the calls of the Rust client, with a SHA-256 for each body as the pipeline has one."""
    from obstore.store import S3Store

    options = {"allow_http": True}
    place = S3Store(BUCKET, endpoint=url, client_options=options, checksum_algorithm="SHA256")
    return {
        "read": lambda: bytes(place.get(KEY).bytes()),
        "write": lambda: place.put(KEY, BODY, use_multipart=False),
        "copy": lambda: place.copy(KEY, COPY),
    }


def milliseconds(call: Callable[[], object]) -> float:
    """Return what a call takes of this process's processor time."""
    for _ in range(10):  # connections, caches
        call()
    started = time.process_time()
    for _ in range(REQUESTS):
        call()
    return (time.process_time() - started) / REQUESTS * 1000


if __name__ == "__main__":
    way, url = sys.argv[1:]
    calls = globals()[way](url)
    calls["write"]()
    print(json.dumps({name: milliseconds(call) for name, call in calls.items()}))
