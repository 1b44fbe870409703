r"""Text from outside, made harmless for where it is shown: one function for each place.

Cells, paths, licences and answers are written by strangers. They may hold markup, line breaks that forge a log line,
sequences that a terminal obeys, and marks that turn the order of letters around. What cannot be seen is spelt out, such
as ``\x1b`` or ``\u202e``, so that a reader sees that it is there. Tables and JSON files hold every text as it is.
"""

from __future__ import annotations

import json
import locale
import logging
import re
import sys
import unicodedata
from typing import Any

from markupsafe import Markup

# Control characters, those that only tell how others are to be shown, lone surrogates, breaks of lines.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# What means something to CommonMark or to GitHub's dialect within a line: not `_` within a word; `:`, `.` and `@` where
# they make a link of an address.
_MARKS = re.compile(r"[\\`*\[\]<>|#~&$@]|(?<![a-z0-9])_|_(?![a-z0-9])|:(?=//)|(?<=www)\.", re.IGNORECASE)


def line(text: object) -> str:
    """Return text as one line without anything unseen: for log lines, errors, and cells on a terminal."""
    plain = str(text)
    return plain if plain.isprintable() else "".join(map(_spelt, plain))


def lines(text: object) -> str:
    """Return text that may have several lines, without anything else that is unseen: for terminals and mails."""
    return "\n".join(map(line, str(text).split("\n")))


def on_any_terminal() -> None:
    """Let this process print in the terminal's encoding, in UTF-8 mode too, and spell out what that encoding lacks."""
    for stream, own in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        if own and stream is own:  # not what a test has put in its place
            own.reconfigure(encoding=locale.getencoding(), errors="backslashreplace")


def html(value: Any) -> Any:
    """Return a value for Jinja2's ``finalize``, which escapes it afterwards; markup of our own stays as it is."""
    return lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def markdown(text: object) -> str:
    """Return text so that Markdown shows it as it is, within a line or a cell of a table."""
    return _MARKS.sub(r"\\\g<0>", line(" ".join(str(text).split())))


def slack(text: object) -> str:
    """Return text for Slack's ``text``: https://docs.slack.dev/messaging/formatting-message-text#escaping."""
    return lines(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def json_text(value: Any) -> str:
    """Return JSON for a terminal: equal to the value, with what is unseen in JSON's own spelling."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(each if each.isprintable() else "".join(map(_json_spelt, each)) for each in text.split("\n"))


def without_login(address: str) -> str:
    """Return an address without the user and the password that may stand in it, however badly it is written."""
    before, at, host = address.rpartition("@")
    scheme = re.match(r"[a-z][a-z0-9+.-]*://", before, re.IGNORECASE)
    return f"{scheme[0] if scheme else ''}{host}" if at else address


def short_hashes(text: str) -> str:
    """Return text with the hashes in it, of 40 to 64 hexadecimal digits, cut to ten: for terminals."""
    return re.sub(r"\b([0-9a-f]{10})[0-9a-f]{30,54}\b", r"\1", text)


def logger(name: str) -> logging.Logger:
    """Return the logger of this name, each record of which is one line."""
    found = logging.getLogger(name)
    found.addFilter(_one_line)
    return found


def _one_line(record: logging.LogRecord) -> bool:
    record.msg, record.args = line(record.getMessage()), None
    return True


def _spelt(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii") if unicodedata.category(sign) in _UNSEEN else sign


def _json_spelt(sign: str) -> str:
    return json.dumps(sign)[1:-1] if unicodedata.category(sign) in _UNSEEN else sign
