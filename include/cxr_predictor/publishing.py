"""How a model is published: the snapshots' protocol in small.

Nothing is ever written over, ``SHA256SUMS`` names every file, and ``_SUCCESS``, which names that one, comes last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from cxr_snapshot.errors import PublishConflictError
from cxr_snapshot.publication.checksums import SUCCESS, SUMS, sums_bytes
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store


def publish(models: Store, version: str, files: Mapping[str, bytes]) -> None:
    """Write a model's files, ``_SUCCESS`` last; those that are there with the same bytes stay.

    Raises:
        PublishConflictError: one is there with other bytes.
    """
    for name, body in with_sums(files).items():
        try:
            models.put(f"{version}/{name}", body, only_if_absent=True)
        except PreconditionFailedError:
            if models.sha256(f"{version}/{name}") != hashlib.sha256(body).hexdigest():
                raise PublishConflictError(
                    f"{models.uri(f'{version}/{name}')} is there with other bytes: another run publishes a model of "
                    f"this snapshot, or one broke off on another machine. If none is at work and {SUCCESS} is not "
                    f"there, delete {models.uri(f'{version}/')} and train again."
                ) from None


def with_sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files, and after them those that say that they are whole, in the order in which they are written."""
    sums = sums_bytes({name: hashlib.sha256(body).hexdigest() for name, body in files.items()})
    mark = f"{hashlib.sha256(sums).hexdigest()}\n".encode()
    return dict(sorted(files.items())) | {SUMS: sums, SUCCESS: mark}
