"""Makes pictures of one form out of the upstreams' files: for training, for preview, and for uniform files.

A snapshot takes the pictures that the one before has out of its shards, so that their bytes stay the same even if
another machine's image library would compress them differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from PIL import Image

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.store.blobs import get_blob, held
from cxr_snapshot.store.objects import Store, StoredObject
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed, put_sealed

_THREADS = 4  # each keeps some of the memory in which it has decoded


class Pictures:
    """The pictures of blobs: those that were kept, and the others made as they are asked for.

    What a snapshot holds in its shards need not be kept, since the next one takes it out of that one's shards.

    Args:
        store: holds the blobs and the pictures that were kept.
        form: of the pictures.
    """

    def __init__(self, store: Store, form: Form = SMALL) -> None:
        self.store, self.form = store, form
        self._kept = set(list_pictures(store, form))

    def load(self, sha256s: Iterable[str]) -> Iterator[bytes]:
        """Yield the pictures of blobs, in order.

        Raises:
            LostBlobError: a blob is missing or damaged.
        """
        for _, picture in bounded_map(self._load, sha256s, threads=_THREADS, held=held):
            yield picture

    def load_kept(self, sha256s: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield blobs with their pictures; those that were not kept are from now on. Errors as :meth:`load`."""
        return bounded_map(self._load_kept, sha256s, threads=_THREADS, held=held)

    def keep(self, sha256: str, image: Image.Image) -> bytes:
        """Return the picture of one blob, whose pixels are ``image``; if it was not kept yet, it is from now on."""
        if (kept := self._find(sha256)) is not None:
            return kept
        picture = self.form.make(image)
        put_sealed(self.store, picture_name(sha256, self.form), picture)
        self._kept.add(sha256)
        return picture

    def is_kept(self, sha256: str) -> bool:
        """Say whether the picture of a blob was kept, by the store's listing."""
        return sha256 in self._kept

    def _load(self, sha256: str) -> bytes:
        if sha256 in self._kept:
            return self._load_kept(sha256)
        with decoded(get_blob(self.store, sha256)) as image:
            return self.form.make(image)

    def _load_kept(self, sha256: str) -> bytes:
        if (kept := self._find(sha256)) is not None:
            return kept
        with decoded(get_blob(self.store, sha256)) as image:
            return self.keep(sha256, image)

    def _find(self, sha256: str) -> bytes | None:
        """Return a picture that was kept; one that is damaged is forgotten."""
        if sha256 not in self._kept:
            return None
        picture, _ = find_sealed(self.store, picture_name(sha256, self.form))
        if picture is None:
            self._kept.discard(sha256)
        return picture


def list_pictures(store: Store, form: Form) -> dict[str, StoredObject]:
    """Return what the store's listing says of each picture that was kept, by SHA-256 of its blob."""
    return {PurePosixPath(name).stem: item for name, item in store.scan(f"_work/normalised/{form.recipe}/")}


def picture_name(sha256: str, form: Form = SMALL) -> str:
    """Return the name in the store of the picture made from the blob with these bytes."""
    return f"_work/normalised/{form.recipe}/{sha256[:2]}/{sha256}.png"
