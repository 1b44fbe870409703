"""All settings, in one place.

Read inside tasks, never at import. Each comes, in this order, from the mapping of overrides (an Airflow variable, the
trigger form), from the environment variable ``CXR_<NAME>``, or from its default. Credentials come from Airflow
connections or from the environment variables that GitHub's, Kaggle's and AWS's own tools read.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from cxr_snapshot import shown
from cxr_snapshot.errors import SettingsError

VIEW_CHOICES = ("frontal", "frontal+lateral")
ANY_LICENCE, NO_NODERIVATIVES, KNOWN_LICENCES = LICENCE_CHOICES = ("any", "no-NoDerivatives", "known-only")
KAGGLE_ONLY, PREFER_UPSTREAM = CONTROL_CHOICES = ("kaggle", "prefer-upstream")
CONDITIONAL_WRITES_CHOICES = ("required", "unavailable")
VERIFY_CHOICES = ("sample", "all")
APPROVAL_CHOICES = ("off", "on")
NO_ARCHIVE, ZIP_ARCHIVE = ARCHIVE_CHOICES = ("none", "zip")
SUBTYPE_CHOICES = ("any", "balanced")
ANY_AGE, ADULTS_ONLY = AGE_CHOICES = ("any", "adults")
ORIGINAL_FILES, UNIFORM_FILES = FILE_CHOICES = ("original", "uniform")
PICTURE_SIZES = (224, 512)  # pixels
DEFAULT_SOURCES = "covid,pneumonia"
# What decides which images a snapshot holds.
SELECTION = ("views", "licences", "controls", "subtypes", "max_per_class", "salt")
# The same, of settings that came later: on record only where they are not the default, so that what was published
# before they came is still that of the default.
LATER_SELECTION = ("ages", "files", "picture_size")
DEFAULT_EDITION = "default"
EDITION_NAME = r"[a-z0-9][a-z0-9-]{0,30}"
INSPECT_SHARDS = 4  # tasks over which the stage ``inspect`` is spread; at most 16


@dataclass(frozen=True)
class Settings:
    """Validated settings of one run.

    Attributes:
        bucket: S3 bucket; 3 to 63 characters. The endpoint and keys are boto3's own (``AWS_ENDPOINT_URL_S3``, ...).
        prefix: key prefix inside the bucket, without slashes at its ends; may be empty.
        sources: names of the collections to ingest, in that order, separated by commas; which there are, and which one
            has to be among them, :mod:`cxr_snapshot.sources` says.
        judges: names of more collections, likewise, or ``None``. They are ingested and inspected, but nothing of them
            is published: the audit lets a model that was trained on the snapshot name their images.
        github_repo: ``owner/name`` of the COVID image collection.
        github_branch: branch that is watched.
        github_api_url: base URL of GitHub's REST API.
        github_raw_url: base URL of raw files.
        github_codeload_url: base URL of archive downloads.
        github_token: token, or ``None`` for 60 requests an hour.
        kaggle_dataset: ``owner/slug`` of the pneumonia X-rays.
        kaggle_api_url: base URL of Kaggle's API.
        kaggle_username: user of a legacy API key, or ``None``.
        kaggle_key: legacy API key, or ``None``.
        kaggle_token: API token, or ``None``.
        scratch_dir: local folder for partial downloads; its loss costs only time.
        http_timeout: seconds to wait for a connection, and between two bytes.
        http_attempts: how often a request is tried before the task fails.
        http_max_wait: longest sleep between two tries, in seconds; a rate limit that lasts longer fails the task.
        views: ``frontal``, or ``frontal+lateral``.
        licences: ``any``; ``no-NoDerivatives`` leaves out images whose licence forbids derivatives; ``known-only``
            leaves out these and all whose row names no licence.
        controls: where PNEUMONIA and NORMAL come from. ``kaggle``; or ``prefer-upstream``: the COVID collection's own
            images of other viral and bacterial pneumonias and of no finding come first, and Kaggle's fill up.
        subtypes: ``any``; or ``balanced``: bacterial and viral pneumonias are drawn by turns, equally many of each
            until one is used up.
        ages: ``any``; or ``adults``, which leaves out whoever is known to be younger than 18 years.
        max_per_class: upper limit of images in each class, or ``None``.
        salt: text that seeds the choice of images; a new one draws a new sample.
        files: ``original``: the upstreams' files as they are; or ``uniform``: all made anew in one form, so that no
            file tells by format, size or shape where it is from.
        picture_size: width and height of the pictures in the shards, in pixels.
        max_shrink: largest fraction by which a class may shrink against the snapshot before.
        max_unknown: largest fraction of the rows of ``metadata.csv`` that may be left out for unknown words.
        approval: ``on`` lets a person decide in Airflow when one of these two is exceeded; ``off`` fails the run.
        conditional_writes: ``required``; or ``unavailable`` for a store that ignores or refuses them, where two runs at
            once may overwrite each other's snapshot.
        verify: which published images are read back: a ``sample``, or ``all``.
        archive: ``none``; or ``zip``: each snapshot also holds all its files in one zip, which doubles its size.
        notify: Airflow connection that receives messages, of type SMTP or HTTP; ``None`` for no messages.
        notify_to: e-mail addresses, separated by commas; needed where ``notify`` is an SMTP connection.
        quiet_days: a message says that nothing was new for this many days, and again after as many more.
        heartbeat_url: address of a watchdog such as healthchecks.io, which is called when a run starts (``/start``),
            ended well, or failed (``/fail``), so that a scheduler that died is noticed; ``None`` for none.
    """

    bucket: str
    prefix: str = "covid-cxr"
    sources: str = DEFAULT_SOURCES
    judges: str | None = None
    github_repo: str = "ieee8023/covid-chestxray-dataset"
    github_branch: str = "master"
    github_api_url: str = "https://api.github.com"
    github_raw_url: str = "https://raw.githubusercontent.com"
    github_codeload_url: str = "https://codeload.github.com"
    github_token: str | None = field(default=None, repr=False)
    kaggle_dataset: str = "paultimothymooney/chest-xray-pneumonia"
    kaggle_api_url: str = "https://api.kaggle.com"
    kaggle_username: str | None = None
    kaggle_key: str | None = field(default=None, repr=False)
    kaggle_token: str | None = field(default=None, repr=False)
    scratch_dir: Path = field(default_factory=lambda: _user_cache() / "cxr_snapshot")
    http_timeout: float = 30.0
    http_attempts: int = 5
    http_max_wait: float = 120.0
    views: str = "frontal"
    licences: str = ANY_LICENCE
    controls: str = KAGGLE_ONLY
    subtypes: str = "any"
    ages: str = ANY_AGE
    max_per_class: int | None = None
    salt: str = "covid-cxr-snapshot"
    files: str = ORIGINAL_FILES
    picture_size: int = PICTURE_SIZES[0]
    max_shrink: float = 0.10
    max_unknown: float = 0.10
    approval: str = "off"
    conditional_writes: str = "required"
    verify: str = "sample"
    archive: str = NO_ARCHIVE
    notify: str | None = None
    notify_to: str | None = None
    quiet_days: int = 30
    heartbeat_url: str | None = field(default=None, repr=False)  # whoever has it can call it

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by name and with the remedy."""
        _require(
            re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", self.bucket) is not None,
            "bucket",
            self.bucket,
            "an S3 bucket name of 3 to 63 lower-case letters, digits, dots and hyphens",
        )
        _require(
            not re.search(r"^/|/$|//|^_|[^A-Za-z0-9._/=-]", self.prefix),
            "prefix",
            self.prefix,
            "letters, digits and . _ = - with single slashes inside, none at the ends",
        )
        for name in ("github_repo", "kaggle_dataset"):
            value = getattr(self, name)
            _require(re.fullmatch(r"[\w.-]+/[\w.-]+", value) is not None, name, value, "the form owner/name")
        for name in ("github_api_url", "github_raw_url", "github_codeload_url", "kaggle_api_url"):
            address = getattr(self, name)
            if "@" in address:
                where = f"setting {name} ({_variable(name)})"
                raise SettingsError(f"{where} holds a user or a password. Take it out; {_LOGIN}")
            _require(_is_http(address), name, address, "an http(s) URL")
        for name in ("github_token", "kaggle_key", "kaggle_token"):
            secret = getattr(self, name)
            if secret is not None and not re.fullmatch(r"[\x21-\x7e]+", secret):  # what can stand in a header
                where = f"setting {name} ({_variable(name)})"
                raise SettingsError(f"{where} holds characters that no such key has. Copy it from where it was made.")
        if self.heartbeat_url is not None and not _is_http(self.heartbeat_url):
            raise SettingsError(
                "setting heartbeat_url (CXR_HEARTBEAT_URL) is no http(s) URL. Copy it from the watchdog."
            )
        _require(self.http_timeout > 0, "http_timeout", self.http_timeout, "seconds above 0")
        _require(self.http_attempts >= 1, "http_attempts", self.http_attempts, "a whole number of at least 1")
        _require(self.http_max_wait >= 0, "http_max_wait", self.http_max_wait, "seconds of at least 0")
        _require(
            self.max_per_class is None or self.max_per_class >= 1,
            "max_per_class",
            self.max_per_class,
            "a whole number of at least 1, or nothing for no limit",
        )
        for name in ("max_shrink", "max_unknown"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "a fraction from 0 to 1")
        _require(self.quiet_days >= 1, "quiet_days", self.quiet_days, "a whole number of at least 1")
        for name, choices in (
            ("views", VIEW_CHOICES),
            ("licences", LICENCE_CHOICES),
            ("controls", CONTROL_CHOICES),
            ("subtypes", SUBTYPE_CHOICES),
            ("ages", AGE_CHOICES),
            ("conditional_writes", CONDITIONAL_WRITES_CHOICES),
            ("verify", VERIFY_CHOICES),
            ("approval", APPROVAL_CHOICES),
            ("archive", ARCHIVE_CHOICES),
            ("files", FILE_CHOICES),
            ("picture_size", PICTURE_SIZES),
        ):
            _require(
                getattr(self, name) in choices, name, getattr(self, name), f"one of {', '.join(map(str, choices))}"
            )

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Build the settings from ``overrides`` and the environment.

        Args:
            overrides: values by setting name; wins over the environment. ``None`` values count as not given.
            environ: the environment; ``os.environ`` when not given.

        Raises:
            SettingsError: an unknown name, a missing bucket, or a value of the wrong type or out of range.
        """
        environ = os.environ if environ is None else environ
        overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
        known = {item.name: item for item in fields(cls)}
        refuse_unknown("setting", overrides, known)
        variables = [_variable(name) for name in known]
        refuse_unknown("variable", [name for name in environ if name.startswith("CXR_")], [*variables, *_OF_THE_DAG])
        values: dict[str, Any] = {}
        for name, item in known.items():
            text = overrides.get(name, environ.get(_variable(name)) or None)
            if name in _STANDARD_VARIABLES and isinstance(text, str):
                text = text.strip() or None  # a file that is read into a variable ends in a line break
            if text is not None:
                values[name] = _convert(name, str(item.type), text)
        if "bucket" not in values:
            raise SettingsError("no bucket: set CXR_BUCKET to the S3 bucket that receives the snapshots")
        return cls(**values)

    def selection(self) -> dict[str, Any]:
        """Return the settings that decide which images a snapshot holds, for its fingerprint and its record.

        ``sources`` is among them where it is not the default, sorted: snapshots of other collections are not to be
        compared when a class shrinks, and those of the default are what they were before there was a choice. So are
        those of ``LATER_SELECTION``.
        """
        found, names = {name: getattr(self, name) for name in SELECTION}, sorted(source_names(self.sources))
        later = {name: getattr(self, name) for name in LATER_SELECTION}
        found |= {name: value for name, value in later.items() if value != getattr(type(self), name)}
        return found if names == sorted(source_names(DEFAULT_SOURCES)) else found | {"sources": ",".join(names)}


def source_names(sources: str) -> list[str]:
    """Return the names in a setting ``sources``."""
    return [name.strip() for name in sources.split(",")]


def is_edition_name(name: str) -> bool:
    """Say whether an edition can have this name."""
    return re.fullmatch(EDITION_NAME, name) is not None


def require_edition_name(name: str) -> str:
    """Return the name of an edition.

    Raises:
        SettingsError: no edition can have this name.
    """
    if not is_edition_name(name):
        wanted = "up to 31 lower-case letters, digits and hyphens, such as adults; a hyphen is not the first"
        raise SettingsError(f"{_quoted(name)} is no name of an edition. Give {wanted}.")
    return name


# Read where the DAG files are parsed.
_OF_THE_DAG = ("CXR_SCHEDULE", "CXR_TIMEZONE", "CXR_PREDICTOR_PYTHON", "CXR_PREDICTOR_JUDGES")
_LOGIN = "logins come from Airflow connections, or from GITHUB_TOKEN and KAGGLE_*."

_STANDARD_VARIABLES = {
    "github_token": "GITHUB_TOKEN",
    "kaggle_username": "KAGGLE_USERNAME",
    "kaggle_key": "KAGGLE_KEY",
    "kaggle_token": "KAGGLE_API_TOKEN",
}


def _variable(name: str) -> str:
    return _STANDARD_VARIABLES.get(name, f"CXR_{name.upper()}")


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.port != 0
    except ValueError:  # such as a bracket that is not closed, or a port beyond 65535
        return False


def _user_cache() -> Path:
    """Return the folder in which the user's programs keep what they can do without; nobody else can write there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that are not known, each with the known one that is nearest: a slip must not go unnoticed."""
    known = sorted(known)
    for name in sorted(set(given) - set(known)):
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
        raise SettingsError(f"unknown {what} {name}; {hint}")


def _convert(name: str, kind: str, value: Any) -> Any:
    """Turn ``value`` into the type named ``kind`` (an annotation, as text)."""
    converters: dict[str, Callable[[Any], Any]] = {"int": _whole_number, "float": float, "Path": Path}
    converter = converters.get(kind.removesuffix(" | None"), str)
    try:
        return converter(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"setting {name} ({_variable(name)}) is {_quoted(value)}, but must be a {kind}") from None


def _whole_number(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or number != float(value):  # int() would cut 2.5 down to 2
        raise ValueError(f"{value!r} is no whole number")
    return number


def _require(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise SettingsError(f"setting {name} ({_variable(name)}) is {_quoted(value)}, but must be {wanted}")


def _quoted(value: object) -> str:
    """Quote a value that may be an address by mistake, with a password in it."""
    return repr(shown.without_login(value) if isinstance(value, str) else value)
