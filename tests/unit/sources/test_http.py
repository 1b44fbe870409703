"""What is tried again, for how long, and what the errors say; without a network."""

from __future__ import annotations

import gzip
import logging
import ssl
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import urllib3

from cxr_snapshot.errors import (
    RateLimitedError,
    SourceError,
    UpstreamCorruptError,
    UpstreamRefusedError,
    UpstreamUnavailableError,
)
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.http import (
    MIN_SPEED,
    BadAnswerError,
    Meter,
    Retrier,
    StatusError,
    TokenAuth,
    new_session,
    pause_asked_for,
)
from support.wire import Answer, answering

NOW = 1_600_000_000.0  # 2020-09-13 12:26:40 UTC
URL = "https://api.example.invalid/thing"
REMEDIES = {404: "Check the name.", 429: "Set a token."}


def http_error(status: int, **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError(f"{status} for url: https://storage.example.invalid/?Signature=SECRET", response=response)


class Flaky:
    """Raises the given errors, one a call, then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.fixture
def sleeps() -> list[float]:
    return []


@pytest.fixture
def retrier(sleeps: list[float]) -> Retrier:
    settings = Settings(bucket="abc", http_attempts=3, http_max_wait=60)
    return Retrier("covid", settings, REMEDIES, sleep=sleeps.append, now=lambda: NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Sun, 13 Sep 2020 12:27:10 GMT"}, 30),
        ({"Retry-After": "Sun, 13 Sep 2020 12:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1600000010"}, 11),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1500000000"}, 1),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "1600000010"}, None),
        ({"x-ratelimit-remaining": "0"}, None),
        ({"Retry-After": "3", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1600000010"}, 3),
    ],
)
def test_pause_asked_for(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_asked_for(headers, NOW) == seconds


@pytest.mark.parametrize(
    "error",
    [
        http_error(500),
        http_error(503),
        requests.ConnectionError(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        urllib3.exceptions.ProtocolError("cut"),
        BadAnswerError("wrong hash"),
    ],
    ids=repr,
)
def test_passing_failures_are_tried_again_with_growing_pauses(
    retrier: Retrier, sleeps: list[float], error: Exception
) -> None:
    operation = Flaky(error, error)
    assert retrier.call(URL, operation) == "done"
    assert operation.calls == 3
    assert 1 <= sleeps[0] <= 2 <= sleeps[1] <= 3


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (http_error(502), UpstreamUnavailableError, "the server failed (HTTP 502)"),
        (requests.ConnectionError(), UpstreamUnavailableError, "no complete answer (ConnectionError)"),
        (http_error(429), RateLimitedError, "rate limit reached (HTTP 429) until 2020-09-13 12:27:40 UTC"),
        (BadAnswerError("wrong hash"), UpstreamCorruptError, "wrong hash"),
        (requests.exceptions.ContentDecodingError(), UpstreamCorruptError, "the answer cannot be unpacked"),
        (urllib3.exceptions.DecodeError(), UpstreamCorruptError, "the answer cannot be unpacked"),
        (BadAnswerError("link expired", UpstreamUnavailableError), UpstreamUnavailableError, "link expired"),
    ],
)
def test_lasting_failures_end_in_an_error_that_names_source_url_and_remedy(
    retrier: Retrier, error: Exception, kind: type[SourceError], text: str
) -> None:
    operation = Flaky(*[error] * 9)
    with pytest.raises(kind) as caught:
        retrier.call(URL, operation)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"covid: {text} ({URL}). ")
    assert len(str(caught.value).partition(f"({URL}). ")[2]) > 10  # the remedy
    assert operation.calls == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(retrier: Retrier, sleeps: list[float], status: int) -> None:
    operation = Flaky(http_error(status))
    with pytest.raises(UpstreamRefusedError, match=f"refused with HTTP {status}") as caught:
        retrier.call(URL, operation)
    assert caught.value.status == status
    assert (operation.calls, sleeps) == (1, [])


def test_a_bearable_rate_limit_is_slept_through(retrier: Retrier, sleeps: list[float]) -> None:
    limited = http_error(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) + 20))
    assert retrier.call(URL, Flaky(http_error(429, retry_after="5"), limited)) == "done"
    assert sleeps == [5, 21]


@pytest.mark.parametrize(
    "error",
    [
        http_error(429, retry_after="3600"),
        http_error(403, retry_after="3600"),
        http_error(403, x_ratelimit_remaining="0", x_ratelimit_reset=str(int(NOW) + 3599)),
    ],
)
def test_a_long_rate_limit_fails_at_once_and_tells_its_end(
    retrier: Retrier, sleeps: list[float], error: Exception
) -> None:
    with pytest.raises(RateLimitedError, match=r"until 2020-09-13 13:26:40 UTC \(https.*\)\. Set a token\.") as caught:
        retrier.call(URL, Flaky(error))
    assert (sleeps, caught.value.transient) == ([], True)


@pytest.mark.parametrize(
    "error",
    [
        http_error(429),
        StatusError(http_error(403).response, '{"message": "You have exceeded a secondary rate limit."}'),
        StatusError(http_error(403).response, "API rate limit exceeded"),
    ],
)
def test_a_rate_limit_that_names_no_time_is_waited_out_for_a_minute(
    retrier: Retrier, sleeps: list[float], error: Exception
) -> None:
    assert retrier.call(URL, Flaky(error)) == "done"
    assert sleeps == [60]


@pytest.mark.parametrize(("headers", "calls"), [({}, 1), ({"Retry_After": "7"}, 2)])
def test_the_impatient_wait_only_for_a_limit_that_says_when_it_ends(
    sleeps: list[float], headers: dict[str, str], calls: int
) -> None:
    settings = Settings(bucket="abc", http_attempts=2, http_max_wait=60)
    impatient = Retrier("covid", settings, REMEDIES, sleep=sleeps.append, now=lambda: NOW, impatient=True)
    operation = Flaky(*[http_error(429, **headers)] * 2)
    with pytest.raises(RateLimitedError):
        impatient.call(URL, operation)
    assert operation.calls == calls
    assert sleeps[:1] == [7.0][: calls - 1]


def test_a_pause_that_one_is_asked_for_is_made_by_all() -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:  # while the first request waits, another one begins
            assert limited.call(URL, Flaky()) == "done"

    limited = Retrier("covid", Settings(bucket="abc"), REMEDIES, sleep=sleep, now=lambda: NOW)
    assert limited.call(URL, Flaky(http_error(429, retry_after="30"))) == "done"
    assert slept == [30, 30]


def test_the_error_of_a_long_rate_limit_says_for_how_long(retrier: Retrier) -> None:
    with pytest.raises(RateLimitedError) as caught:
        retrier.call(URL, Flaky(http_error(429, retry_after="1800")))
    assert caught.value.seconds == 1800


def test_a_refused_certificate_is_final(retrier: Retrier, sleeps: list[float]) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    error = requests.exceptions.SSLError("a library's text")
    error.__cause__ = refused
    with pytest.raises(UpstreamRefusedError, match=r"certificate is refused.*REQUESTS_CA_BUNDLE"):
        retrier.call(URL, Flaky(error))
    assert sleeps == []


def test_too_many_bytes_are_given_up() -> None:
    meter = Meter(limit=10, clock=lambda: 0.0)
    meter.add(10)
    with pytest.raises(BadAnswerError, match="more than 10 bytes came"):
        meter.add(1)


def test_an_answer_that_trickles_is_given_up_after_a_minute() -> None:
    now = [0.0]
    meter = Meter(limit=10**9, clock=lambda: now[0])
    for _ in range(60):
        now[0] += 1
        meter.add(1)
    now[0] += 1
    with pytest.raises(BadAnswerError, match=r"61 bytes came in 61 s, less than 1,000 a second"):
        meter.add(1)


def test_an_answer_at_the_slowest_speed_is_taken() -> None:
    now = [0.0]
    meter = Meter(limit=10**9, clock=lambda: now[0])
    for _ in range(600):
        now[0] += 1
        meter.add(MIN_SPEED)


def test_no_password_is_taken_from_netrc_on_a_redirect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine other.example.invalid login ann password SECRET\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = new_session(Settings(bucket="abc"), TokenAuth("TOKEN", "https://api.example.invalid"))
    first = session.prepare_request(requests.Request("GET", URL))
    assert first.headers["Authorization"] == "Bearer TOKEN"
    response = requests.Response()
    response.request = first
    for url, kept in ((f"{URL}/there", True), ("https://other.example.invalid/", False)):
        following = first.copy()
        following.url = url
        session.rebuild_auth(following, response)
        assert following.headers.get("Authorization") == ("Bearer TOKEN" if kept else None)


def test_an_absurd_pause_is_still_a_rate_limit(retrier: Retrier) -> None:
    with pytest.raises(RateLimitedError):
        retrier.call(URL, Flaky(http_error(429, retry_after="9" * 30)))


def test_other_errors_pass_through(retrier: Retrier) -> None:
    operation = Flaky(KeyError("a mistake of ours"))
    with pytest.raises(KeyError, match="a mistake of ours"):
        retrier.call(URL, operation)
    assert operation.calls == 1


def test_neither_errors_nor_logs_quote_the_library(retrier: Retrier, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UpstreamUnavailableError) as caught:
        retrier.call(URL, Flaky(*[http_error(500)] * 3))
    assert len(caplog.records) == 2  # two pauses
    assert "SECRET" not in caplog.text + str(caught.value)
    assert caught.value.__suppress_context__


def test_a_generator_that_is_left_early_is_not_tried_again(retrier: Retrier, sleeps: list[float]) -> None:
    opened: list[int] = []

    def numbers():
        with retrier.explained(URL):
            for attempt in retrier.attempts(URL):
                with attempt:
                    opened.append(1)
                    yield from (1, 2, 3)

    stream = numbers()
    assert next(stream) == 1
    stream.close()
    assert (opened, sleeps) == ([1], [])


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.example.invalid/repos", True),
        ("https://api.example.invalid.evil.invalid/repos", False),
        ("https://raw.example.invalid/repos", False),
        ("http://api.example.invalid/repos", False),
    ],
)
def test_a_token_goes_to_its_own_server_only(url: str, sent: bool) -> None:
    request = requests.Request("GET", url, auth=TokenAuth("SECRET", "https://api.example.invalid")).prepare()
    assert ("Authorization" in request.headers) is sent


def redirecting(location: str, body: bytes = b"", **headers: str) -> Callable[[requests.PreparedRequest], Answer]:
    """Return what answers the first address by a redirect and any other by ``there``."""
    moved = Answer(body, "302", [("Location", location)]).with_headers(**headers)
    return lambda request: moved if request.url == URL else Answer(b"there")


def get(answer: Callable[[requests.PreparedRequest], Answer]) -> bytes:
    with answering(answer):
        session = new_session(Settings(bucket="abc"), TokenAuth(None, URL))
        return session.get(URL, stream=True).content


@pytest.mark.parametrize("location", ["https://\xff\xfe", "/\xe9\x28"])
def test_a_redirect_to_bytes_that_are_no_text_is_an_error_of_the_request(location: str) -> None:
    with pytest.raises(requests.RequestException, match="leads to no address"):
        get(redirecting(location))


def test_what_comes_with_a_redirect_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(50_000_000), 1)
    tracemalloc.start()
    try:
        assert get(redirecting("https://there.example.invalid/", bomb, content_encoding="gzip")) == b"there"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"a" * 10_000)[:-9]])
def test_a_damaged_body_of_a_redirect_does_not_matter(body: bytes) -> None:
    assert get(redirecting("https://there.example.invalid/", body, content_encoding="gzip")) == b"there"
