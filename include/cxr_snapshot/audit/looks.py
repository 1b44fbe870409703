"""Small pictures and figures that the probes look at, made once for each image and kept in the store.

They are made of the same pixels as the picture of the shards, so that is made here too, and packed for them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from PIL import Image
from scipy import ndimage

from cxr_snapshot.inspection.decoding import decoded
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.inspection.packs import pack_name, put_pack
from cxr_snapshot.inspection.pixels import to_gray
from cxr_snapshot.inspection.results import PARTITIONS
from cxr_snapshot.inspection.uniform import UniformFiles
from cxr_snapshot.progress import Progress
from cxr_snapshot.store.blobs import map_blobs
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.parallel import bounded_map
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table
from cxr_snapshot.tables import conform, empty_frame

SIDE = 32  # pixels of the small pictures
RECIPE = "3"  # part of the tables' names: a change of what is recorded must give a new one

LOOK_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("raw", pa.binary()),  # SIDE x SIDE x 3 bytes: the file as it is published, squeezed into a square
        ("normalised", pa.binary()),  # SIDE x SIDE bytes: the picture of the shards
        ("normalised_bytes", pa.int64()),  # size of the shards' picture as a file
        ("text_score", pa.int64()),  # number of bright marks that stand in a row as letters do
    ]
)

_THREADS = 3  # each keeps some of the memory in which it has decoded; on two cores a fourth saved no time
_TEXT_SIDE = 512  # pixels; letters are looked for in a picture of at most that size
_ENOUGH = 448  # pixels of the longer side that are left, at least, where a large image is averaged in whole boxes


def load_looks(
    store: Store, form: Form, run: str, sizes: Mapping[str, int], files: UniformFiles | None = None
) -> pd.DataFrame:
    """Return the looks of some blobs, sorted by SHA-256; new ones are made and kept, and their pictures packed.

    Args:
        store: holds the blobs and the looks of earlier runs.
        form: of the pictures.
        run: folder of the run, for the packs.
        sizes: bytes of the blobs by SHA-256, which say how many can be fetched ahead.
        files: keeps the files that are published in place of the blobs; ``None`` where the blobs are.

    Returns:
        Columns of ``LOOK_SCHEMA``.

    Raises:
        LostBlobError: a blob is missing or damaged.
    """
    wanted, folder = pd.Index(sorted(sizes)), _folder(form, files)
    known = _load_tables(store, folder)
    missing = wanted.difference(list(known["sha256"]))
    progress = Progress("images looked at", len(missing))
    rows = []
    looks = map_blobs(
        lambda sha256, body: _look(body, form, files, sha256),
        store,
        {sha256: sizes[sha256] for sha256 in missing},
        threads=_THREADS,
    )
    for name, made in groupby(looks, key=lambda each: pack_name(run, form, each[0])):
        pictures = {}
        for sha256, (found, picture) in made:
            rows.append({"sha256": sha256} | found)
            pictures[sha256] = picture
            progress.advance()
        if files is None or files.form != form:  # else each is kept by itself
            put_pack(store, name, form, pictures)
    table = pd.concat([known, conform(pd.DataFrame(rows), LOOK_SCHEMA)]) if rows else known
    # Another run may do the same at the same time and its looks get lost here; they are only made again.
    changed = sorted({sha256[0] for sha256 in missing})
    for _ in bounded_map(lambda partition: _keep(store, folder, partition, table), changed, threads=_THREADS):
        pass
    return table.set_index("sha256").loc[wanted].rename_axis("sha256").reset_index()


def describe_picture(image: Image.Image, drawn: Image.Image, size: int, file: bytes | None = None) -> dict[str, Any]:
    """Return the columns of ``LOOK_SCHEMA`` without ``sha256``.

    Args:
        image: what :func:`cxr_snapshot.inspection.decoding.decoded` yields of the original.
        drawn: the picture of the shards that was made of it.
        size: bytes of that one's file.
        file: those of the file that is published in place of the original, if it is not.
    """
    less = image.reduce(max(max(image.size) // _ENOUGH, 1))
    published = less if file is None else Image.open(io.BytesIO(file))
    gray = to_gray(less).copy()
    gray.thumbnail((_TEXT_SIDE, _TEXT_SIDE), Image.Resampling.BOX, reducing_gap=None)
    return {
        "raw": _small(published).convert("RGB").tobytes(),
        "normalised": _small(drawn).tobytes(),
        "normalised_bytes": size,
        "text_score": text_score(np.asarray(gray)),
    }


def text_score(gray: npt.NDArray[np.uint8]) -> int:
    """Count what may be letters burnt into a picture. Experimental: bones and wires can look alike.

    A letter is a bright mark on a darker ground, 1.2 to 8 % of the picture high, not much wider than high, and it has
    another one of about its height beside it.

    Args:
        gray: rows and columns of gray levels.
    """
    marks, _ = ndimage.label(gray >= 225)  # what scanners and viewers print is white or nearly so
    low, high = 0.012 * min(gray.shape), 0.08 * min(gray.shape)
    letters = []
    for number, place in enumerate(ndimage.find_objects(marks), start=1):
        top, left = place[0].start, place[1].start
        height, width = place[0].stop - top, place[1].stop - left
        if not (max(low, 5) <= height <= high and 0.1 * height <= width <= 1.5 * height):
            continue
        around = gray[max(top - 2, 0) : top + height + 2, max(left - 2, 0) : left + width + 2]
        inside = marks[place] == number
        if np.percentile(around, 20) <= 150 and 0.15 <= inside.mean() <= 0.95:
            letters.append((top, left, height, width))
    return sum(any(_beside(one, other) for other in letters if other != one) for one in letters)


def _beside(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    (top, left, height, width), (other_top, other_left, other_height, other_width) = one, other
    gap = max(left, other_left) - min(left + width, other_left + other_width)
    return (
        abs(height - other_height) <= 0.2 * max(height, other_height)
        and abs(top + height - other_top - other_height) <= 0.2 * height  # they stand on one line
        and -1 <= gap <= height
    )


def _look(blob: bytes, form: Form, files: UniformFiles | None, sha256: str) -> tuple[dict[str, Any], bytes]:
    """Return how a blob looks, and its picture."""
    with decoded(blob) as image:
        file = files.keep(sha256, image) if files else None
        picture = form.encode(drawn := form.draw(image))
        return describe_picture(image, drawn, len(picture), file), picture


def _small(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


def _keep(store: Store, folder: str, partition: str, table: pd.DataFrame) -> None:
    part = table[table["sha256"].str.startswith(partition)].sort_values("sha256")
    put_sealed_table(store, f"{folder}{partition}.parquet", part, LOOK_SCHEMA)


def _load_tables(store: Store, folder: str) -> pd.DataFrame:
    present = store.list(folder)
    names = [name for partition in PARTITIONS if (name := f"{folder}{partition}.parquet") in present]
    found = [table for _, table in bounded_map(lambda name: find_sealed_table(store, name), names)]
    tables = [table for table in found if table is not None]
    return pd.concat(tables, ignore_index=True) if tables else empty_frame(LOOK_SCHEMA)


def _folder(form: Form, files: UniformFiles | None) -> str:
    """Return where looks at such pictures and files are kept."""
    if files is None and form == SMALL:
        return f"_work/looks/{RECIPE}/"
    return f"_work/looks/{RECIPE}-{files.form.recipe if files else 'original'}-{form.recipe}/"
