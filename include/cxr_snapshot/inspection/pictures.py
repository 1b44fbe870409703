"""Makes pictures of one form out of the upstreams' files: for training, and for people to look at.

A snapshot takes the pictures that the one before has out of its shards, so that their bytes stay the same even if
another machine's image library would compress them differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.packs import take_packed
from cxr_snapshot.store.blobs import Fetcher
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map

_THREADS = 4  # each keeps some of the memory in which it has decoded


class Pictures:
    """The pictures of blobs, made as they are asked for.

    Args:
        store: holds the blobs.
        form: of the pictures.
        folder: of a run whose packs are looked into first; for who asks for many and in order, since a pack is read as
            a whole.
    """

    def __init__(self, store: Store, form: Form = SMALL, folder: str | None = None) -> None:
        self.store, self.form, self.folder = store, form, folder
        self._blobs = Fetcher(store)

    def load(self, sha256s: Iterable[str]) -> Iterator[bytes]:
        """Yield the pictures of blobs, in order.

        Raises:
            LostBlobError: a blob is missing or damaged.
        """
        blobs: Iterable[tuple[str, bytes | None]] = ((sha256, None) for sha256 in sha256s)
        if self.folder is not None:
            blobs = take_packed(self.store, self.folder, self.form, list(sha256s))
        for _, picture in bounded_map(
            lambda blob: blob[1] or self._make(blob[0]),
            blobs,
            threads=_THREADS,
            held=lambda blob, made: self._blobs.held(blob[0], made or blob[1]),
        ):
            yield picture

    def _make(self, sha256: str) -> bytes:
        with decoded(self._blobs.get(sha256)) as image:
            return self.form.make(image)
