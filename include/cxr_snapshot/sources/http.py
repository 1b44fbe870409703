"""HTTP for the sources: sessions that always time out, and one place that decides what is worth another try.

Texts of errors and log lines hold the URL as the caller wrote it, never one that the upstream answered with (signed
download links carry credentials), never a header, and never the text of a library's exception (which may hold both).
"""

from __future__ import annotations

import io
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from cxr_snapshot import __version__, shown
from cxr_snapshot.errors import (
    RateLimitedError,
    SourceError,
    UpstreamCorruptError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from cxr_snapshot.settings import Settings

T = TypeVar("T")
Sleep = Callable[[float], None]

_log = shown.logger(__name__)

_YEAR = 365 * 86400.0  # seconds

# GitHub asks to stay away for a minute at least where a rate limit names no time:
# https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
UNNAMED_PAUSE = 60.0  # seconds

MIN_SPEED = 1000  # bytes a second, on average over an answer that takes longer than a minute
_START = 60.0  # seconds in which an answer may be slower
CHUNK = 64 * 1024  # bytes
_MESSAGE = 4096  # bytes of a refusal that are read

_UNAVAILABLE_REMEDY = "Try again later; if it lasts, check the network, the proxy and the upstream's status page."
_CORRUPT_REMEDY = "Run again; if it lasts, the upstream is damaged or something on the way to it alters the data."
_CERTIFICATE_REMEDY = (
    "Check the address and this machine's clock; behind a proxy that opens TLS, name its certificate in "
    "REQUESTS_CA_BUNDLE."
)
_REFUSED_REMEDY = "Check the settings that name this upstream."

# What requests raises where the connection fails or the body is cut, and what urllib3 itself raises where
# the raw stream is read.
_BROKEN_TRANSFER = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
)
_BROKEN_PACKING = (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError)


class BadAnswerError(Exception):
    """The answer cannot be used; another try may bring a better one.

    Attributes:
        problem: what is wrong with it, in words for the error's text.
        final: the error to raise when every try has ended like this.
    """

    def __init__(self, problem: str, final: type[SourceError] = UpstreamCorruptError) -> None:
        super().__init__(problem)
        self.problem, self.final = problem, final


class StatusError(requests.HTTPError):
    """The answer has a status of 400 or more.

    Attributes:
        message: the beginning of its body.
    """

    def __init__(self, response: requests.Response, message: str) -> None:
        super().__init__(response=response)
        self.message = message


def check_status(response: requests.Response, **_: object) -> None:
    """Raise ``StatusError`` for a refusal, of which only the beginning is read. Serves as a session's hook too."""
    if response.status_code >= 400:
        raise StatusError(response, next(response.iter_content(_MESSAGE), b"").decode(errors="replace"))


class Meter:
    """Counts the bytes of one answer, and gives it up where there are too many or they come too slowly.

    Args:
        limit: bytes at most; without one, only the speed counts.
        clock: seconds, from any start.
    """

    def __init__(self, limit: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._bytes, self._started = 0, clock()

    def add(self, size: int) -> None:
        """Count so many more.

        Raises:
            BadAnswerError: it is time to give up.
        """
        self._bytes += size
        if self._bytes > self._limit:
            raise BadAnswerError(f"more than {self._limit:,} bytes came")
        seconds = self._clock() - self._started
        if seconds > _START and self._bytes < seconds * MIN_SPEED:
            problem = f"{self._bytes:,} bytes came in {seconds:.0f} s, less than {MIN_SPEED:,} a second"
            raise BadAnswerError(problem, UpstreamUnavailableError)


def read_body(response: requests.Response, limit: int) -> bytes:
    """Return the body of an answer that was asked for with ``stream=True``, unpacked.

    Raises:
        BadAnswerError: it has more than ``limit`` bytes, or comes too slowly.
    """
    meter, body = Meter(limit), io.BytesIO()  # which gives its bytes away without a second copy
    for part in response.iter_content(CHUNK):
        meter.add(len(part))
        body.write(part)
    return body.getvalue()


class TokenAuth(AuthBase):
    """Sends a bearer token to URLs under ``base_url`` only.

    Also used without a token: a session that has some ``auth`` does not look for passwords in the user's ``.netrc``.
    """

    def __init__(self, token: str | None, base_url: str) -> None:
        self._token, self._base_url = token, base_url.rstrip("/") + "/"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header where it belongs."""
        if self._token and (request.url or "").startswith(self._base_url):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _TimeoutAdapter(HTTPAdapter):
    """Gives every request a timeout, because requests has none by default."""

    def __init__(self, timeout: float, connections: int) -> None:
        self._timeout = (timeout, timeout)
        super().__init__(pool_maxsize=connections)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout
        return super().send(request, *args, **kwargs)


class _Session(requests.Session):
    """Takes no password from the user's ``.netrc``: its ``auth`` prevents that at first, this on the way elsewhere."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Call the session's hooks also for requests that were prepared without it, as Kaggle's SDK does."""
        for hook in self.hooks["response"]:
            if hook not in request.hooks["response"]:
                request.register_hook("response", hook)  # type: ignore[no-untyped-call]
        return super().send(request, **kwargs)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Say where a redirect leads; of its body, which may be damaged or endless, only the beginning is read."""
        try:
            target = super().get_redirect_target(resp)
        except UnicodeError as error:
            raise requests.exceptions.InvalidURL("a redirect leads to no address") from error
        if target is not None:
            with suppress(urllib3.exceptions.HTTPError):
                resp.raw.read(_MESSAGE, decode_content=False)  # a short one whole, so that the connection stays
            resp.raw.close()
            resp._content = b""
        return target

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Leave credentials behind where a redirect leads to another host."""
        was, becomes = response.request.url, prepared_request.url
        if "Authorization" in prepared_request.headers and self.should_strip_auth(was, becomes):  # type: ignore[no-untyped-call]
            del prepared_request.headers["Authorization"]


def new_session(settings: Settings, auth: AuthBase, connections: int = 8) -> requests.Session:
    """Return a session whose requests wait at most ``settings.http_timeout`` seconds to connect and between two bytes.

    Args:
        settings: the run's settings.
        auth: adds credentials to requests.
        connections: how many connections to one host are kept open.
    """
    session = _Session()
    adapter = _TimeoutAdapter(settings.http_timeout, connections)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers["User-Agent"] = f"covid-cxr-snapshot/{__version__}"
    session.auth = auth
    return session


@dataclass(frozen=True)
class _Verdict:
    """What a failed try means: the error that tells of it, whether to try again, and when (seconds; ``None``: soon)."""

    error: SourceError
    again: bool
    wait: float | None = None


class Retrier:
    """Runs operations against one upstream until they succeed, are refused, or have failed too often.

    An operation includes reading and checking the whole body, so that a cut or corrupt body is fetched again. Where a
    rate limit asks for a pause, all threads make it.
    """

    def __init__(
        self,
        source: str,
        settings: Settings,
        remedies: Mapping[int, str],
        *,
        sleep: Sleep = time.sleep,
        now: Callable[[], float] = time.time,
        impatient: bool = False,
    ) -> None:
        """Prepare for one source.

        Args:
            source: its name, for errors.
            settings: gives the number of attempts and the longest sleep.
            remedies: what a person can do about a status code; 429 stands for every rate limit.
            sleep: waits so many seconds.
            now: the time, in seconds since 1970.
            impatient: whether a rate limit that does not say when it ends is not waited for: there is another way.
        """
        self._source, self._remedies, self._sleep, self._now = source, remedies, sleep, now
        self._impatient = impatient
        self._attempts, self._max_wait = settings.http_attempts, settings.http_max_wait
        self._lock, self._resume = threading.Lock(), 0.0  # seconds since 1970, before which nothing is asked for
        self._backoff = wait_exponential_jitter(initial=1, max=self._max_wait, jitter=1)

    def call(self, url: str, operation: Callable[[], T]) -> T:
        """Return what ``operation`` returns.

        Args:
            url: what it fetches, for errors and logs: without credentials.
            operation: raises the exceptions of requests and urllib3, or ``BadAnswerError``.

        Raises:
            SourceError: of the kind that fits, with the source, ``url`` and a remedy in its text.
        """
        with self.explained(url):
            return self.attempts(url)(operation)

    @contextmanager
    def explained(self, url: str) -> Iterator[None]:
        """Turn exceptions of the HTTP libraries into ``SourceError``; ``call`` does it by itself."""
        try:
            yield
        except Exception as error:
            if (verdict := self._judge(url, error)) is None:
                raise
            raise verdict.error from None  # the library's text may hold a signed URL

    def attempts(self, url: str) -> Retrying:
        """Return tenacity's loop, for operations that are generators: ``for attempt in ...: with attempt: ...``."""

        def verdict(state: RetryCallState) -> _Verdict | None:
            error = state.outcome.exception() if state.outcome else None
            return self._judge(url, error) if error else None

        def wait(state: RetryCallState) -> float:
            judged = verdict(state)
            return self._backoff(state) if judged is None or judged.wait is None else judged.wait

        own = 0.0  # the end of this operation's last pause

        def join_pause(_: RetryCallState) -> None:
            with self._lock:
                left = self._resume - max(self._now(), own)
            if left > 0:
                self._sleep(left)

        def log(state: RetryCallState) -> None:
            nonlocal own
            judged, pause = verdict(state), state.next_action.sleep if state.next_action else 0
            own = self._now() + pause
            if judged and isinstance(judged.error, RateLimitedError):
                with self._lock:
                    self._resume = max(self._resume, own)
            if judged:
                tries = f"try {state.attempt_number} of {self._attempts}"
                _log.warning("%s Next after %s: in %.1f s.", judged.error, tries, pause)

        def worth_it(error: BaseException) -> bool:
            judged = self._judge(url, error)
            return judged is not None and judged.again

        return Retrying(
            stop=stop_after_attempt(self._attempts),
            wait=wait,
            retry=retry_if_exception(worth_it),
            before=join_pause,
            before_sleep=log,
            sleep=self._sleep,
            reraise=True,
        )

    def _judge(self, url: str, error: BaseException) -> _Verdict | None:
        """Say what ``error`` means, or ``None`` where it is no matter of HTTP."""
        if isinstance(error, BadAnswerError):
            remedy = _CORRUPT_REMEDY if error.final is UpstreamCorruptError else _UNAVAILABLE_REMEDY
            return _Verdict(error.final(self._source, url, error.problem, remedy), again=True)
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return self._judge_status(url, error.response, error.message if isinstance(error, StatusError) else "")
        if isinstance(error, (requests.JSONDecodeError, *_BROKEN_PACKING)):
            what = "is no JSON" if isinstance(error, requests.JSONDecodeError) else "cannot be unpacked"
            return _Verdict(UpstreamCorruptError(self._source, url, f"the answer {what}", _CORRUPT_REMEDY), again=True)
        if isinstance(error, _BROKEN_TRANSFER):
            return self._judge_transfer(url, error)
        if isinstance(error, requests.RequestException):  # such as a malformed URL or redirects in a circle
            problem = f"the request cannot be made ({type(error).__name__})"
            return _Verdict(UpstreamRefusedError(self._source, url, problem, _REFUSED_REMEDY), again=False)
        return None

    def _judge_transfer(self, url: str, error: BaseException) -> _Verdict:
        if isinstance(_root(error), ssl.SSLCertVerificationError):
            problem = f"the server's certificate is refused ({_reason(error)})"
            return _Verdict(UpstreamRefusedError(self._source, url, problem, _CERTIFICATE_REMEDY), again=False)
        problem = f"no complete answer ({_reason(error)})"
        return _Verdict(UpstreamUnavailableError(self._source, url, problem, _UNAVAILABLE_REMEDY), again=True)

    def _judge_status(self, url: str, response: requests.Response, message: str) -> _Verdict:
        status = response.status_code
        wait = pause_asked_for(response.headers, self._now())
        limited = status == 429 or (status == 403 and (wait is not None or "rate limit" in message.lower()))
        unnamed = limited and wait is None
        if unnamed:
            wait = UNNAMED_PAUSE
        bearable = (wait is None or wait <= self._max_wait) and not (unnamed and self._impatient)
        until = _until(self._now(), wait)
        if limited:
            problem = f"rate limit reached (HTTP {status}){until}"
            error = RateLimitedError(self._source, url, problem, self._remedies.get(429, _UNAVAILABLE_REMEDY))
            error.seconds = wait
            return _Verdict(error, bearable, wait)
        if status >= 500 or status == 408:
            problem = f"the server failed (HTTP {status}){until}"
            return _Verdict(UpstreamUnavailableError(self._source, url, problem, _UNAVAILABLE_REMEDY), bearable, wait)
        remedy = self._remedies.get(status, _REFUSED_REMEDY)
        refusal = UpstreamRefusedError(self._source, url, f"refused with HTTP {status}", remedy)
        refusal.status = status
        return _Verdict(refusal, again=False)


def pause_asked_for(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds from ``now`` the answer asks us to stay away, or ``None`` where it does not.

    Reads ``Retry-After`` (seconds or a date) and, where ``x-ratelimit-remaining`` is 0, GitHub's ``x-ratelimit-reset``.
    """
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdigit():
        return float(after)
    if after:
        try:
            return max(0.0, parsedate_to_datetime(after).timestamp() - now)
        except ValueError:
            _log.warning("A Retry-After header of %r is neither seconds nor a date.", after[:40])
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, int(reset) - now) + 1  # whole seconds: one more, so as not to come too early
    return None


def _until(now: float, wait: float | None) -> str:
    if wait is None:
        return ""
    end = datetime.fromtimestamp(now + min(wait, _YEAR), UTC)  # a nonsensical pause must not overflow the calendar
    return f" until {end:%Y-%m-%d %H:%M:%S} UTC"


def _reason(error: BaseException) -> str:
    """Name what broke the connection in the first place, without quoting libraries, whose text holds the whole URL."""
    root = _root(error)
    detail = root.strerror if isinstance(root, OSError) else None
    return f"{type(root).__name__}: {detail}" if detail else type(root).__name__


def _root(error: BaseException) -> BaseException:
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error
