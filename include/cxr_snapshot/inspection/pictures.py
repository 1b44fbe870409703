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
from cxr_snapshot.store.blobs import Fetcher
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
        self._kept = {sha256: item.size for sha256, item in list_pictures(store, form).items()}  # bytes by SHA-256
        self._damaged: set[str] = set()

    def load(self, sha256s: Iterable[str]) -> Iterator[bytes]:
        """Yield the pictures of blobs, in order.

        Raises:
            LostBlobError: a blob is missing or damaged.
        """
        for _, picture in self._load(sha256s, keep=False):
            yield picture

    def load_kept(self, sha256s: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield blobs with their pictures; those that were not kept are from now on. Errors as :meth:`load`."""
        return self._load(sha256s, keep=True)

    def keep(self, sha256: str, image: Image.Image) -> bytes:
        """Return the picture of one blob, whose pixels are ``image``; if it was not kept yet, it is from now on."""
        if (kept := self._find(sha256)) is not None:
            return kept
        picture = self.form.make(image)
        put_sealed(self.store, picture_name(sha256, self.form), picture)
        self._kept[sha256] = len(picture)
        return picture

    def is_kept(self, sha256: str) -> bool:
        """Say whether the picture of a blob was kept, by the store's listing."""
        return sha256 in self._kept

    def _load(self, sha256s: Iterable[str], *, keep: bool) -> Iterator[tuple[str, bytes]]:
        """Read in many threads those that were kept, and make the others in few."""
        blobs = Fetcher(self.store)

        def make(found: tuple[str, bytes | None]) -> bytes:
            sha256, kept = found
            if kept is not None:
                return kept
            with decoded(blobs.get(sha256)) as image:
                return self.keep(sha256, image) if keep or sha256 in self._damaged else self.form.make(image)

        def held(found: tuple[str, bytes | None], picture: bytes | None) -> int:
            return blobs.held(found[0], picture or found[1])

        read = bounded_map(self._find, sha256s, held=lambda sha256, _: self._kept.get(sha256, 0))
        for (sha256, _), picture in bounded_map(make, read, threads=_THREADS, held=held):
            yield sha256, picture

    def _find(self, sha256: str) -> bytes | None:
        """Return a picture that was kept; one that is damaged is not any more."""
        if sha256 not in self._kept:
            return None
        picture, _ = find_sealed(self.store, picture_name(sha256, self.form))
        if picture is None:
            self._kept.pop(sha256, None)
            self._damaged.add(sha256)
        return picture


def list_pictures(store: Store, form: Form) -> dict[str, StoredObject]:
    """Return what the store's listing says of each picture that was kept, by SHA-256 of its blob."""
    return {PurePosixPath(name).stem: item for name, item in store.scan(f"_work/normalised/{form.recipe}/")}


def picture_name(sha256: str, form: Form = SMALL) -> str:
    """Return the name in the store of the picture made from the blob with these bytes."""
    return f"_work/normalised/{form.recipe}/{sha256[:2]}/{sha256}.png"
