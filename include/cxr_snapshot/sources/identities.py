"""Names of patients and files in one spelling each, so that what is the same is found to be the same.

Tables that are typed by hand pass through spreadsheets, which make ``5.0`` of ``5``, drop zeros in front and take
``3-1`` for a day; and through keyboards and web pages, which put in spaces that nobody sees and write one accent in two
ways.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

MAX_FILE = 64 * 1024**2  # bytes; a full-size digital radiograph has about 15 million pixels, of 2 bytes at most
MAX_PATH = 1024  # bytes of a path; what is longer is no name that anybody gave
_SHOWN = 200  # characters of one that is longer

# Characters without a picture that belong to no category of such: fillers, selectors of a glyph's form, blanks.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")
_UNUSABLE = {"Cc", "Cs", "Zl", "Zp"}
_UNSEEN = {"Cc", "Cf"}  # control characters, and those that only tell how others are to be shown

_DIGITS = re.compile(r"([0-9]+)(?:\.0*|,00?)?")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.0*)?")
_SCIENTIFIC = re.compile(r"([0-9])(?:\.([0-9]+))?e\+([0-9]{1,2})")  # as spreadsheets write it
_AS_TEXT = re.compile(r"""'(.+)|="(.+)\"""", re.DOTALL)  # how one tells a spreadsheet that a number is text

_DAMAGE = re.compile(
    r"#+|#\S+[!?]|#n/a"  # an error, or a column that was too narrow
    r"|[0-9]+(?:\.[0-9]+)?e[+-]?[0-9]+"  # a number that lost its digits
    r"|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}-[a-z]{3}|[a-z]{3}-[0-9]{2}"  # a day
    r"|.*\ufffd.*",  # a character that could not be decoded
    re.DOTALL,
)


def visible(text: str) -> str:
    """Return what can be seen of ``text``: accents written in one way, without invisible characters, single spaces."""
    # To sort many accents on one letter takes time that grows with the square of their number.
    composed = unicodedata.normalize("NFC", text) if len(text) <= MAX_PATH else text
    spaced = " ".join(composed.split())
    if spaced.isascii() and spaced.isprintable():
        return spaced
    seen = (sign for sign in _BLANK.sub("", spaced) if unicodedata.category(sign) not in _UNSEEN)
    return " ".join("".join(seen).split())


def patient(text: str) -> str:
    """Return the one spelling of a patient's name within a collection; empty where nothing can be seen of it.

    A whole number is the same in every way in which a spreadsheet writes it: ``5``, ``5.0``, ``05``, ``1,005``,
    ``1.5E+03``. Other names differ in what is seen of them: ``311a`` and ``311b`` are two people, ``311A`` is ``311a``.
    """
    name = visible(unicodedata.normalize("NFKC", text) if len(text) <= MAX_PATH else text).casefold()
    if quoted := _AS_TEXT.fullmatch(name):
        name = (quoted[1] or quoted[2]).strip()
    if _THOUSANDS.fullmatch(name):
        name = name.replace(",", "")
    if (power := _SCIENTIFIC.fullmatch(name)) and len(power[2] or "") <= int(power[3]):
        return (power[1] + (power[2] or "").ljust(int(power[3]), "0")).lstrip("0") or "0"
    if number := _DIGITS.fullmatch(name):
        return number[1].lstrip("0") or "0"
    return name


def padded_patient(text: str, digits: int) -> str:
    """Return :func:`patient`, a number with the zeros in front that make it ``digits`` long."""
    name = patient(text)
    return name.zfill(digits) if name.isdecimal() else name


def looks_damaged(text: str) -> bool:
    """Say whether a patient's name looks like what a program made of another one: ``#REF!``, ``1E+05``, ``3-Jan``."""
    return _DAMAGE.fullmatch(visible(text).casefold()) is not None


def is_usable(path: str) -> bool:
    """Say whether a file of this path can be stored, listed in tables, and named to people and programs.

    Not so for control characters and breaks of lines, for lone surrogates (which stand for bytes that are no UTF-8),
    for a backslash (which some take for a slash), and for more than ``MAX_PATH`` bytes.
    """
    if "\\" in path or any(unicodedata.category(sign) in _UNUSABLE for sign in path):
        return False
    return len(path.encode()) <= MAX_PATH


def rule_of_file(path: str, size: int) -> str | None:
    """Return the rule by which a file is left out without a look at its bytes, if any.

    Args:
        path: within the upstream.
        size: bytes.
    """
    if not is_usable(path):
        return "unusable_name"
    return "too_large" if size > MAX_FILE else None


def spelt_out(path: str) -> str:
    """Return a usable path as it is, another one in letters that are; no two paths give the same."""
    if is_usable(path):
        return path
    text = path.encode("unicode_escape").decode("ascii")
    if len(text) <= MAX_PATH:
        return text
    return f"{text[:_SHOWN]}\\...{hashlib.sha256(text.encode()).hexdigest()[:16]}"
