"""Makes small uniform pictures for training and preview out of the original files, once for each blob.

A picture is kept in the store and used again by every later snapshot, so that its bytes stay the same there even if
another machine's image library would compress it differently.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageOps

from cxr_snapshot.errors import MissingObjectError
from cxr_snapshot.inspection import FORMATS
from cxr_snapshot.progress import Progress
from cxr_snapshot.storage import Store, blob_name, bounded_map

SIDE = 224  # pixels; what most pretrained image models take
# Part of the pictures' names in the store: a change of how they are made must give a new one.
RECIPE = f"{SIDE}.2"
DESCRIPTION = {
    "recipe": RECIPE,
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
_THREADS = 4  # a decoded original can take 300 MB


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


def ensure_normalised(store: Store, sha256s: Iterable[str]) -> int:
    """Make the pictures of those blobs that have none yet.

    Returns:
        How many were made now.
    """
    names = {normalised_name(sha256): sha256 for sha256 in sha256s}
    for name, _ in store.scan(f"_work/normalised/{RECIPE}/") if names else ():
        names.pop(name, None)
    missing = sorted(names.values())
    progress = Progress("images normalised", len(missing))
    for _ in bounded_map(lambda sha256: _make(store, sha256), missing, threads=_THREADS):
        progress.advance()
    return len(missing)


def load_normalised(store: Store, sha256s: Iterable[str]) -> Iterator[bytes]:
    """Yield the pictures of blobs, in order; see :func:`load_picture`."""
    for _, body in bounded_map(lambda sha256: load_picture(store, sha256), sha256s):
        yield body


def load_picture(store: Store, sha256: str) -> bytes:
    """Return the picture of a blob; one that was not made, or got lost, is made.

    Raises:
        MissingObjectError: there is neither the picture nor the blob.
    """
    try:
        return store.get(normalised_name(sha256))
    except MissingObjectError:
        return _make(store, sha256)


def normalised_name(sha256: str) -> str:
    """Return the name in the store of the picture made from the blob with these bytes."""
    return f"_work/normalised/{RECIPE}/{sha256[:2]}/{sha256}.png"


def _make(store: Store, sha256: str) -> bytes:
    body = normalise(store.get(blob_name(sha256)))
    store.put(normalised_name(sha256), body)
    return body
