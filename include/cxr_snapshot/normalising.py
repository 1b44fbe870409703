"""Makes small uniform pictures for training and preview out of the original files, once for each blob.

A picture is kept in the store and used again by every later snapshot, so that its bytes stay the same there even if
another machine's image library would compress it differently.
"""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageOps

from cxr_snapshot.inspection import FORMATS
from cxr_snapshot.progress import Progress
from cxr_snapshot.storage import Store, blob_name, bounded_map

SIDE = 224  # pixels; what most pretrained image models take
# Part of the pictures' names in the store: a change of how they are made must give a new one.
RECIPE = f"{SIDE}.2"
DESCRIPTION = {
    "width": SIDE,
    "height": SIDE,
    "mode": "8-bit gray",
    "format": "PNG",
    "aspect_ratio": "kept; black borders fill the square",
    "resampling": "Lanczos, from a JPEG decoded at 1/2, 1/4 or 1/8 where both sides stay twice as long as wanted",
    "colour": "ITU-R 601 luma; what is transparent becomes black",
    "deeper_than_8_bits": "stretched linearly from the picture's darkest to its brightest value",
    "orientation": "turned upright where EXIF says how",
}
_AT_ONCE = 4  # a decoded original can take 300 MB


def normalise(body: bytes) -> bytes:
    """Turn an image file into an 8-bit gray PNG of ``SIDE`` x ``SIDE`` pixels, as ``DESCRIPTION`` says.

    Args:
        body: bytes of a file that passed :func:`cxr_snapshot.inspection.inspect_image`.
    """
    image = Image.open(io.BytesIO(body), formats=FORMATS)
    image.draft("L", (2 * SIDE, 2 * SIDE))  # leaves a smaller JPEG, and all other formats, as they are
    ImageOps.exif_transpose(image, in_place=True)
    square = ImageOps.pad(to_gray(image), (SIDE, SIDE), method=Image.Resampling.LANCZOS, color=0)
    png = io.BytesIO()
    # In a filtered radiograph there is nothing to find for zlib but runs: a quarter of the time, and 1 % smaller files.
    square.save(png, "PNG", compress_type=zlib.Z_RLE)
    return png.getvalue()


def to_gray(image: Image.Image) -> Image.Image:
    """Return the image in 8-bit gray, as ``DESCRIPTION`` says."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        spread = values.max() - values.min()
        scaled = (values - values.min()) * (255 / spread) if spread else np.zeros_like(values)
        return Image.fromarray(scaled.round().astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image if image.mode == "L" else image.convert("L")


class Pictures:
    """The pictures of some blobs. Those that have none yet get one when it is first asked for.

    Args:
        store: holds the blobs and the pictures.
        sha256s: of all blobs whose pictures may be asked for.
    """

    def __init__(self, store: Store, sha256s: Iterable[str]) -> None:
        self._store = store
        present = store.list(f"_work/normalised/{RECIPE}/")
        self._missing = {sha256 for sha256 in sha256s if normalised_name(sha256) not in present}
        self._progress = Progress("images normalised", len(self._missing))
        self._decoding = threading.Semaphore(_AT_ONCE)

    def load(self, sha256s: Iterable[str], known: Mapping[str, bytes] = MappingProxyType({})) -> Iterator[bytes]:
        """Yield pictures in the order of ``sha256s``; of those that the store has, the ``known`` ones are not read."""
        for sha256, body in bounded_map(lambda sha256: self._load(sha256, known), sha256s):
            if sha256 in self._missing:
                self._progress.advance()
            yield body

    def _load(self, sha256: str, known: Mapping[str, bytes]) -> bytes:
        if sha256 not in self._missing:
            return known.get(sha256) or self._store.get(normalised_name(sha256))
        original = self._store.get(blob_name(sha256))
        with self._decoding:
            body = normalise(original)
        self._store.put(normalised_name(sha256), body)
        return body


def load_normalised(store: Store, sha256s: Iterable[str]) -> Iterator[bytes]:
    """Yield the pictures of blobs that were normalised, in order.

    Raises:
        MissingObjectError: one was not.
    """
    for _, body in bounded_map(lambda sha256: store.get(normalised_name(sha256)), sha256s):
        yield body


def normalised_name(sha256: str) -> str:
    """Return the name in the store of the picture made from the blob with these bytes."""
    return f"_work/normalised/{RECIPE}/{sha256[:2]}/{sha256}.png"
