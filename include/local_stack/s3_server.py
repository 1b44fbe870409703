"""The S3 server of `make run`, `make ui` and the tests: MiniStack behind a guard.

MiniStack by itself takes any signature, lets web pages read and write (`Access-Control-Allow-Origin: *`), is emptied
by whoever posts to /_ministack/reset, and acknowledges what it could not write to its disk. Its AUTH mode (1.5.33)
compares the name of the key only. So every request passes here first. This runs in MiniStack's own environment.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

HEALTH = "/_ministack/health"
SPARE = 128 * 1024**2  # bytes: more than the largest copy, whose size no header says

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Refusal = tuple[int, str, str]


class Guard:
    """Lets through what bears a signature by our keys, and writes for which there is room. An ASGI application.

    Args:
        app: what answers all others.
        keys: access key and secret.
        folder: where ``app`` keeps objects; its disk is watched.
    """

    def __init__(self, app: App, keys: Credentials, folder: Path) -> None:
        self._app, self._keys, self._folder = app, keys, folder

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it as S3 does."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "http" and (refusal := self.refusal(scope)):
            await _refuse(send, *refusal)
        else:
            await self._app(scope, receive, send)

    def refusal(self, scope: Message) -> Refusal | None:
        """Return status, code and words of a refusal, or ``None`` where a request may pass."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if "origin" in headers:
            return 403, "AccessDenied", "Web pages of other sites may not use this store."
        if scope["path"] == HEALTH and scope["method"] == "GET":
            return None
        if not is_signed(scope, headers, self._keys):
            return 403, "SignatureDoesNotMatch", "The request is not signed with the keys of this store."
        if scope["method"] not in ("PUT", "POST"):
            return None
        wanted, free = int(headers.get("content-length", "0")) + SPARE, shutil.disk_usage(self._folder).free
        if free >= wanted:
            return None
        where = f"{free:,} bytes are free where the local store lies ({self._folder}), {wanted:,} are needed"
        return 507, "InsufficientStorage", f"The disk is full: {where}."


def is_signed(scope: Message, headers: Mapping[str, str], keys: Credentials) -> bool:
    """Say whether a request bears a signature by ``keys``, in its headers or, as download links do, in its query.

    The signature is made again by botocore and compared: AWS Signature Version 4,
    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html. When a link expires and which
    bytes a body has is for the server behind to check.
    """
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    given = query.pop("X-Amz-Signature", "")
    if given:
        credential, signed, time = (query.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Date"))
        rest = re.sub(r"&?X-Amz-Signature=[^&]*", "", scope["query_string"].decode("latin-1"))
    else:
        pattern = r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
        match = re.fullmatch(pattern, headers.get("authorization", ""))
        if match is None:
            return False
        credential, signed, given = match.groups()
        time, rest = headers.get("x-amz-date", ""), scope["query_string"].decode("latin-1")
    key, _, scoped = credential.partition("/")
    parts = scoped.split("/")  # date, region, service, aws4_request
    names = signed.split(";")
    if key != keys.access_key or len(parts) != 4 or not time.startswith(parts[0]) or "host" not in names:
        return False
    auth = (S3SigV4QueryAuth if "X-Amz-Algorithm" in query else S3SigV4Auth)(keys, parts[2], parts[1])
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    request = AWSRequest(
        method=scope["method"],
        url=f"http://{headers.get('host', '')}{path}?{rest}",
        headers={name: headers.get(name, "") for name in names},
    )
    request.context["timestamp"] = time
    made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return hmac.compare_digest(made, given)


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


def end_on_loss(record: logging.LogRecord) -> bool:
    """End the process where MiniStack logs that its disk does not hold what it says: it would go on as if it did."""
    if record.msg.startswith("Failed to"):
        print(f"The local store ends, so that it acknowledges nothing that it lacks. {record.getMessage()}", flush=True)
        os._exit(1)
    return True


def main() -> None:
    """Serve ``S3_DATA_DIR`` at ``BIND_HOST``:``GATEWAY_PORT`` to whoever has the ``AWS_*`` keys of the environment."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack import app
    from ministack.services import s3

    folder = Path(os.environ["S3_DATA_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    s3.logger.addFilter(end_on_loss)
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    asyncio.run(serve(Guard(app.app, keys, folder), config))


if __name__ == "__main__":
    main()
