"""Answers of GitHub and Kaggle that are damaged, odd or hostile, for the clients."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from fuzz import mutations
from fuzz.upstreams import ask_github, ask_kaggle
from support.wire import Answer

SECONDS = 20.0  # of processor time, the most that the clients may take with one answer

_STATUSES = (
    *("200", "201", "203", "204", "206", "300", "301", "302", "304", "307", "308", "400", "401", "403", "404", "408"),
    *(
        "409",
        "410",
        "416",
        "422",
        "429",
        "451",
        "500",
        "502",
        "503",
        "504",
        "520",
        "999",
        "99",
        "1000",
        "abc",
        "",
        "-1",
    ),
)
_HEADERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Content-Length", ("0", "1", "-1", "abc", "99999999999999999999", "10, 10", "10, 20", "", "1e3")),
    ("Transfer-Encoding", ("chunked", "gzip", "gzip, chunked", "x", "")),
    ("Content-Encoding", ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x", "identity", ",")),
    ("Content-Type", ("text/html", "application/json; charset=nonsense", "application/json; charset=utf-16", ";;", "")),
    ("Retry-After", ("0", "59", "61", "-5", "9" * 30, "Fri, 32 Foo 2026 9:9:99", "Fri, 27 Nov 9999 00:00:00 GMT", "é")),
    ("X-RateLimit-Remaining", ("0", "-1", "x", "1")),
    ("X-RateLimit-Reset", ("0", "9" * 30, "-1", "x", "1e9", "٣")),
    ("Location", ("/", "//", "", "http://[", "http://x:99999/", "file:///etc/passwd", "\xff\xfe", "https://é.example/",
                  "https://" + "a" * 70 + ".example/", "javascript:alert(1)", "https://me:pw@storage.example.org/any.zip",
                  "?", "https://storage.example.org/" + "a" * 9000, "http://\x00/", "https://api.github.com/")),
    ("ETag", ('"', 'W/"a"', "", '"\xff"', '"' + "a" * 5000 + '"')),
    ("X-Goog-Hash", ("md5=", "md5=AAAA", "md5=é", ",,,", "crc32c=x", "md5=AAAAAAAAAAAAAAAAAAAAAA==")),
    ("Content-Range", ("bytes 0-1/2", "bytes */*", "x", "bytes 5-1/0")),
    ("Set-Cookie", ("a=b; Max-Age=x; Expires=never", "=;;", "a" * 5000)),
    ("Link", ('<https://example.org>; rel="next"', "<")),
    ("X-Odd", ("a" * 70_000, "a\nb", "\x00")),
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, float("inf"), float("nan"), "", "x", "\ud800", "\x00", "\u202e", [], {}),
    *(["x"], {"x": 1}, "a" * 5000, "../../x", "images/\x1b]52;c;x\x07.jpg", "0" * 40, "1", "metadata.csv", "blob"),
)
_DEEP = "deep" * 5


def check(random: Random) -> str:
    """Damage one kind of answer of one upstream, and maybe a second; return what the client made of it."""
    if random.random() < 0.6:
        names = random.choice(
            (["commit"], ["tree"], ["tree"], ["raw"], ["archive"], ["archive", "raw"], ["tree", "raw"])
        )
        return f"github {ask_github(random, {name: _Damage(random) for name in names})}"
    name = random.choice(("description", "link", "zip"))
    damaged = _Damage(random)
    outcome = ask_kaggle({name: damaged}, announced=not damaged.lies)
    return f"kaggle {outcome}"


class _Damage:
    """Damages answers: each in its own way, or the first alone, so that the second try gets the right one.

    Attributes:
        lies: whether hashes that go with the body may have been changed, too.
    """

    def __init__(self, random: Random) -> None:
        self.random, self.once, self.calls = random, random.random() < 0.3, 0
        self.ways: list[Callable[[Random, Answer], Answer]] = random.choices(
            (_status, _header, _header, _body, _body, _json, _json, _packed, _chunked, _page, _raw),
            k=random.choice((1, 1, 2, 3)),
        )
        self.seed = random.random()
        self.lies = bool({_header, _raw, _json} & set(self.ways))

    def __call__(self, answer: Answer) -> Answer:
        self.calls += 1
        if self.once and self.calls > 1:
            return answer
        random = Random(f"{self.seed}:{self.calls}:{len(answer.body)}")  # threads ask in any order
        for way in self.ways:
            answer = way(random, answer)
        return answer


_BODY = (mutations.cut, mutations.flip, mutations.insert, mutations.delete, mutations.repeat, mutations.zero)


def _status(random: Random, answer: Answer) -> Answer:
    message = random.choice(
        (b"", b"API rate limit exceeded", b'{"message": "Not Found"}', b"<Error><Code>ExpiredToken")
    )
    return replace(answer, status=random.choice(_STATUSES), body=random.choice((answer.body, message)))


def _header(random: Random, answer: Answer) -> Answer:
    name, values = random.choice(_HEADERS)
    changed = [] if random.random() < 0.2 else [(name, random.choice(values))]
    kept = list(answer.headers) if random.random() < 0.2 else [each for each in answer.headers if each[0] != name]
    return replace(answer, headers=[*kept, *changed])


def _body(random: Random, answer: Answer) -> Answer:
    """Damage the body; announce its old length sometimes."""
    told = [("Content-Length", str(len(answer.body)))] if random.random() < 0.3 else []
    body = random.choice(
        (b"", mutations.apply(random, answer.body, _BODY), mutations.apply(random, answer.body, _BODY))
    )
    return replace(answer, body=body, headers=[*answer.headers, *told])


def _json(random: Random, answer: Answer) -> Answer:
    """Put odd values in the place of others."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return replace(answer, body=json.dumps(random.choice(_VALUES)).encode())
    for _ in range(random.choice((1, 1, 2))):
        value = _odd(random, value)
    text = json.dumps(value)
    return replace(answer, body=text.replace(f'"{_DEEP}"', "[" * 3000 + "]" * 3000).encode())


def _odd(random: Random, value: Any) -> Any:
    """Return JSON with one odd value in it."""
    if isinstance(value, list | dict) and value and random.random() < 0.9:
        place = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        changed: Any = dict(value) if isinstance(value, dict) else list(value)
        if random.random() < 0.15:
            del changed[place]
        elif random.random() < 0.1 and isinstance(value, list):
            changed.append(value[place])
        else:
            changed[place] = _odd(random, value[place])
        return changed
    return _DEEP if random.random() < 0.05 else random.choice(_VALUES)


def _packed(random: Random, answer: Answer) -> Answer:
    """Pack the body, as servers may; cut it or let it unpack to far too much."""
    body = random.choice((answer.body, answer.body, bytes(10_000_000)))
    packed = random.choice((gzip.compress(body, 1), zlib.compress(body, 1)))
    if random.random() < 0.4:
        packed = mutations.apply(random, packed, _BODY)
    return replace(
        answer, body=packed, headers=[*answer.headers, ("Content-Encoding", random.choice(("gzip", "deflate")))]
    )


def _chunked(random: Random, answer: Answer) -> Answer:
    """Send the body in chunks, damaged ones at times."""
    parts = [answer.body[place : place + 100] for place in range(0, len(answer.body), 100)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    if random.random() < 0.5:
        body = mutations.apply(random, body, _BODY)
    return replace(answer, body=body, headers=[*answer.headers, ("Transfer-Encoding", "chunked")])


def _page(random: Random, answer: Answer) -> Answer:
    """Send a page of some proxy, with the status of success."""
    return replace(
        answer, body=b"<!doctype html><title>\x1b[2J Please log in</title>", headers=[("Content-Type", "text/html")]
    )


def _raw(random: Random, answer: Answer) -> Answer:
    """Damage the whole answer, its first line and its headers included."""
    whole = answer.as_bytes()
    changed = random.choice((mutations.flip_start, mutations.cut, mutations.insert, mutations.delete))
    return replace(answer, raw=changed(random, whole))
