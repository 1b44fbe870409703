"""Whether a store honours conditional writes, found out by trying."""

from __future__ import annotations

from cxr_snapshot import shown
from cxr_snapshot.errors import StorageError
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store

log = shown.logger(__name__)

PROBE = "_work/conditional-write-probe"

_TEXT = b"Conditional writes of this object must fail.\n"
_WRONG = f'"{"0" * 32}"'
_TRIES = 20  # of a right If-Match; another publisher's probe may write in between
_REMEDY = (
    "Use a store with conditional writes (Amazon S3, Cloudflare R2, Ceph 20 or later, SeaweedFS 4.44 or later), or set "
    "CXR_CONDITIONAL_WRITES=unavailable and let only one run work at a time."
)


def require_conditional_writes(store: Store) -> None:
    """Check that the store carries out ``If-None-Match`` and ``If-Match`` where they hold, and only there.

    Some stores overwrite whatever the condition. Others, such as Ceph RGW 18, compare ETags without quotes with the
    quoted ones that they gave, and so refuse every ``If-Match``. Any number of publishers may check at once.

    Raises:
        StorageError: it does not.
    """
    if not store.conditional_writes:
        log.warning(
            "CXR_CONDITIONAL_WRITES is unavailable, so the store cannot keep two publishers apart: if two runs publish "
            "at once, one may overwrite files of the other, and latest.json may move backwards. Let only one run work."
        )
        return
    # The first may create the object; the second finds it there.
    if not (_refuses(store, only_if_absent=True) or _refuses(store, only_if_absent=True)):
        raise StorageError(_ignored(store, "If-None-Match"))
    if not _refuses(store, only_if_etag=_WRONG):
        raise StorageError(_ignored(store, "If-Match"))
    if not _accepts_right_etag(store):
        raise StorageError(
            f"the store refused If-Match with the ETag that it had given for {store.uri(PROBE)}, so nothing could be "
            f"written over safely. {_REMEDY}"
        )


def _refuses(store: Store, *, only_if_absent: bool = False, only_if_etag: str | None = None) -> bool:
    try:
        store.put(PROBE, _TEXT, only_if_absent=only_if_absent, only_if_etag=only_if_etag)
    except PreconditionFailedError:
        return True
    return False


def _accepts_right_etag(store: Store) -> bool:
    """Say whether ``If-Match`` lets a write pass; a refused ETag counts only if it is still the object's own."""
    etag = store.fetch(PROBE).etag
    for _ in range(_TRIES):
        if not _refuses(store, only_if_etag=etag):
            return True
        refused, etag = etag, store.fetch(PROBE).etag
        if refused == etag:
            return False
    return False


def _ignored(store: Store, header: str) -> str:
    return f"the store ignored {header} on {store.uri(PROBE)}, so two runs could overwrite each other. {_REMEDY}"
