"""What is published, a snapshot or a model, read out of a folder or the store; each file is checked first."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cxr_predictor.errors import DamagedModelError, PredictorError
from cxr_snapshot.catalog.reading import resolve
from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.publication.checksums import SUCCESS, SUMS
from cxr_snapshot.publication.marks import MARK, parse_mark
from cxr_snapshot.publication.versions import versions
from cxr_snapshot.settings import DEFAULT_EDITION, Settings, require_edition_name
from cxr_snapshot.store.client import connect, open_store
from cxr_snapshot.store.encoding import parse_json
from cxr_snapshot.store.objects import MODELS, Store


@dataclass(frozen=True)
class Published:
    """A finished folder.

    Attributes:
        address: where it is, for people.
        sums: SHA-256 in hex by name of file.
        read: returns a file's bytes, unchecked; raises an OSError where there is none.
    """

    address: str
    sums: Mapping[str, str]
    read: Callable[[str], bytes]

    def get(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            DamagedModelError: it is missing, or is not what was published.
        """
        body = _found(self.read, self.address, name)
        if hashlib.sha256(body).hexdigest() != self.sums.get(name):
            raise DamagedModelError(f"{self.address}/{name} is not what {SUMS} says. Do not use it; fetch it again.")
        return body

    def get_json(self, name: str) -> dict[str, Any]:
        """Return a file that holds a JSON object; errors as :meth:`get`."""
        return parse_json(self.get(name), f"{self.address}/{name}")


def store_of_settings() -> Store:
    """Return the store that the environment names.

    Raises:
        SettingsError: the settings are incomplete or wrong.
    """
    return open_store(Settings.load())


def find_snapshot(name: str, store: Callable[[], Store] = store_of_settings) -> Published:
    """Return a snapshot.

    Args:
        name: a folder, an ``s3://`` address, or ``[EDITION/]VERSION``, where ``latest`` is a version too.
        store: returns the store that has the version.

    Raises:
        PredictorError: there is none.
        SettingsError: the settings that name the store are incomplete.
    """
    return _find(name, store, snapshots_of)


def find_model(name: str, store: Callable[[], Store] = store_of_settings) -> Published:
    """Return a model; arguments and errors as of :func:`find_snapshot`.

    ``latest`` is that of the newest snapshot that has one.
    """
    return _find(name, store, models_of)


def edition_and_version(name: str) -> tuple[str, str] | None:
    """Take ``[EDITION/]VERSION`` apart; ``None`` if it is an address or a folder."""
    found = re.fullmatch(r"(?:([^/:]+)/)?(latest|\d{4}-\d{2}-\d{2}(?:\.\d+)?)", name)
    return None if found is None or Path(name).is_dir() else (found[1] or DEFAULT_EDITION, found[2])


def snapshots_of(store: Store, edition: str) -> Store:
    """Return the part of a store that holds the snapshots of an edition."""
    return store.edition(edition)


def models_of(store: Store, edition: str) -> Store:
    """Return the part of a store that holds the models of an edition, each named as its snapshot."""
    folder = store.key(f"{MODELS}{require_edition_name(edition)}")
    return Store(store.client, store.bucket, folder, conditional_writes=store.conditional_writes)


def stored(store: Store, version: str) -> Published:
    """Return a folder of a store; errors as :func:`find_snapshot`."""
    return _opened(store.uri(version), lambda name: store.get(f"{version}/{name}"))


def _find(name: str, store: Callable[[], Store], part: Callable[[Store, str], Store]) -> Published:
    if name.startswith("s3://"):
        address = urlsplit(name)
        prefix, _, version = address.path.strip("/").rpartition("/")
        if not (address.netloc and version):
            raise PredictorError(f"{name} names no folder of a bucket, such as s3://my-bucket/covid-cxr/2026-11-23.")
        return stored(Store(connect(), address.netloc, prefix), version)
    if (parts := edition_and_version(name)) is None:
        folder = Path(name)
        return _opened(str(folder), lambda file: (folder / file).read_bytes())
    edition, version = parts
    named = part(store(), edition)
    if part is models_of and version == "latest":
        found = versions(named)
        if not found:
            raise PredictorError(f"there is no model at {named.uri('')}. Run `make predictor`, or the DAG, first.")
        version = found[-1]
    return stored(named, resolve(named, version))


def _opened(address: str, read: Callable[[str], bytes]) -> Published:
    address = address.rstrip("/")
    body, mark = _found(read, address, SUMS), _found(read, address, SUCCESS)
    if mark.decode(errors="replace").strip() != hashlib.sha256(body).hexdigest():
        raise DamagedModelError(f"{address}/{SUMS} is not what {SUCCESS} says. Do not use it; fetch it again.")
    lines = re.findall(r"^([0-9a-f]{64})  (.+)\n", body.decode(errors="replace"), re.MULTILINE)
    sums = {name: sha256 for sha256, name in lines}
    try:
        withdrawn = parse_mark(read(MARK), f"{address}/{MARK}")
    except (MissingObjectError, FileNotFoundError):
        return Published(address, sums, read)
    return Published(address, withdrawn.now(sums), read)


def _found(read: Callable[[str], bytes], address: str, name: str) -> bytes:
    try:
        return read(name)
    except (MissingObjectError, FileNotFoundError):
        raise PredictorError(
            f"{address} is no finished snapshot or model, or not the whole of one: {name} is missing. Name a folder, "
            "an s3:// address, or [EDITION/]VERSION."
        ) from None
