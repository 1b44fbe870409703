"""The files of a snapshot that say what is in it and that it is whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from cxr_snapshot.errors import MissingObjectError, VerificationError
from cxr_snapshot.store.encoding import parse_parquet
from cxr_snapshot.store.objects import Store

SUMS = "SHA256SUMS"
SUCCESS = "_SUCCESS"
REPAIR = (
    "Do not use this snapshot. Delete its _SUCCESS, so that nobody does. If it is the newest, run the DAG with force "
    "then: its content is published anew."
)


def sums_bytes(sums: Mapping[str, str]) -> bytes:
    """Return what ``sha256sum -c`` reads.

    Args:
        sums: SHA-256 in hex by name.
    """
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def read_sums(store: Store, version: str, folder: str = "") -> dict[str, str]:
    """Return the SHA-256 of each file of a snapshot, or of a folder of it, in hex, by its name, from ``SHA256SUMS``.

    Raises:
        VerificationError: ``SHA256SUMS`` is missing, or is not what ``_SUCCESS`` says.
    """
    name = f"{version}/{SUMS}"
    body = _get(store, name)
    if _get(store, f"{version}/{SUCCESS}").decode(errors="replace").strip() != hashlib.sha256(body).hexdigest():
        raise VerificationError(f"{store.uri(name)} is not what {SUCCESS} says. {REPAIR}")
    return parse_sums(body, folder)


def parse_sums(body: bytes, folder: str = "") -> dict[str, str]:
    """Return what the bytes of a ``SHA256SUMS`` say, as :func:`read_sums` without looking whether they are right."""
    line = rf"^([0-9a-f]{{64}})  ({re.escape(folder)}.+)\n"
    found = re.findall(line, body.decode(errors="replace"), re.MULTILINE)
    return {path: sha256 for sha256, path in found}


def read_file(store: Store, version: str, path: str, sums: Mapping[str, str]) -> bytes:
    """Return the bytes of a file of a snapshot.

    Args:
        store: where it is.
        version: the snapshot's name.
        path: the file's name within the snapshot.
        sums: from :func:`read_sums`.

    Raises:
        VerificationError: it is missing, or is not what ``SHA256SUMS`` says.
    """
    name = f"{version}/{path}"
    body = _get(store, name)
    if hashlib.sha256(body).hexdigest() != sums.get(path):
        raise VerificationError(f"{store.uri(name)} is not what {SUMS} says. {REPAIR}")
    return body


def read_table(
    store: Store, version: str, path: str, sums: Mapping[str, str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return a Parquet file of a snapshot as a table, or only some of its columns; errors as :func:`read_file`."""
    body = read_file(store, version, path, read_sums(store, version) if sums is None else sums)
    return parse_parquet(body, store.uri(f"{version}/{path}"), columns)


def _get(store: Store, name: str) -> bytes:
    try:
        return store.get(name)
    except MissingObjectError as error:
        raise VerificationError(f"{error} {REPAIR}") from error
