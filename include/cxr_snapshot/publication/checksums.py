"""The files of a snapshot that say what is in it and that it is whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from cxr_snapshot.errors import VerificationError
from cxr_snapshot.store.objects import Store

SUMS = "SHA256SUMS"
SUCCESS = "_SUCCESS"
REPAIR = "Do not use this snapshot. Delete its folder and its claim in _work/claims, and run the DAG with force."


def sums_bytes(sums: Mapping[str, str]) -> bytes:
    """Return what ``sha256sum -c`` reads.

    Args:
        sums: SHA-256 in hex by name.
    """
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def read_sums(store: Store, version: str, folder: str = "") -> dict[str, str]:
    """Return the SHA-256 of each file of a snapshot, or of a folder of it, in hex, by its name, from ``SHA256SUMS``.

    Raises:
        VerificationError: ``SHA256SUMS`` is not what ``_SUCCESS`` says, or is no list of checksums.
    """
    name = f"{version}/{SUMS}"
    body = store.get(name)
    if store.get(f"{version}/{SUCCESS}").decode(errors="replace").strip() != hashlib.sha256(body).hexdigest():
        raise VerificationError(f"{store.uri(name)} is not what {SUCCESS} says. {REPAIR}")
    line = rf"^([0-9a-f]{{64}})  ({re.escape(folder)}.+)\n"
    found = re.findall(line, body.decode(errors="replace"), re.MULTILINE)
    return {path: sha256 for sha256, path in found}
