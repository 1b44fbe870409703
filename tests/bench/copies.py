"""Which copies of a picture are found, by how it was changed, which pairs are wrongly taken for copies, at what cost.

``python tests/bench/copies.py FOLDER ...`` measures the images in those folders. Without a folder it takes the real
collections in ``../shared`` where they are there, else generated pictures. Needs nothing but the two modules and a
perceptual hash.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise, product
from operator import attrgetter
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image, ImageOps
from scipy.cluster.hierarchy import DisjointSet

from cxr_snapshot.inspection.features import describe
from cxr_snapshot.selection.copies import PROPOSED_BITS, Picture, confirm, decide
from cxr_snapshot.selection.crops import Pair, similar_pairs
from cxr_snapshot.selection.linking import close_pairs
from upstream_simulator.phantom import draw

SHARED = Path(__file__).parents[3] / "shared"
GENERATED = 150
SIZES = (950, 5_856)  # pictures: the COVID collection, and Kaggle's
NEW = 10  # pictures of one night


def resized(gray: np.ndarray, width: float, height: float) -> np.ndarray:
    size = (max(round(width), 1), max(round(height), 1))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def cropped(gray: np.ndarray, *, left: float, others: float) -> np.ndarray:
    height, width = gray.shape
    top, right = round(others * height), round(others * width)
    return gray[top : height - top, round(left * width) : width - right]


def saved(gray: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def lettered(gray: np.ndarray) -> np.ndarray:
    gray, size = gray.copy(), gray.shape[1] / 600
    for text, x, y in (("R", 0.05, 0.12), ("AP PORTABLE", 0.55, 0.08), ("12:45 SUPINE", 0.05, 0.95)):
        place = (round(x * gray.shape[1]), round(y * gray.shape[0]))
        cv2.putText(gray, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(1, round(2 * size)))
    return gray


def turned(gray: np.ndarray, degrees: float) -> np.ndarray:
    height, width = gray.shape
    return cv2.warpAffine(gray, cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1), (width, height))


def framed(gray: np.ndarray) -> np.ndarray:
    height, width = gray.shape[0] // 20, gray.shape[1] // 10
    return cv2.copyMakeBorder(gray, height, height, width, width, cv2.BORDER_CONSTANT, value=0)


def stronger(gray: np.ndarray) -> np.ndarray:
    return np.clip((gray.astype(np.float64) - 128) * 1.4 + 148, 0, 255).astype(np.uint8)


def crop_10(gray: np.ndarray) -> np.ndarray:
    return cropped(gray, left=0.1, others=0.1)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "half the size": lambda gray: resized(gray, gray.shape[1] / 2, gray.shape[0] / 2),
    "stretched to 224 x 224": lambda gray: resized(gray, 224, 224),
    "JPEG, quality 30": lambda gray: saved(gray, 30),
    "2 % cropped off each side": lambda gray: cropped(gray, left=0.02, others=0.02),
    "5 % cropped off each side": lambda gray: cropped(gray, left=0.05, others=0.05),
    "10 % cropped off each side": crop_10,
    "15 % cropped off each side": lambda gray: cropped(gray, left=0.15, others=0.15),
    "20 % cropped off one side": lambda gray: cropped(gray, left=0.2, others=0),
    "10 % cropped, half the size, JPEG 30": lambda gray: saved(
        resized(crop_10(gray), gray.shape[1] * 0.4, gray.shape[0] * 0.4), 30
    ),
    "black border of 5 to 10 %": framed,
    "letters in three places": lettered,
    "turned by 2°": lambda gray: turned(gray, 2),
    "brighter, more contrast": stronger,
    "gamma 0.6": lambda gray: np.round(255 * (gray / 255) ** 0.6).astype(np.uint8),
    "histogram equalised": cv2.equalizeHist,
    "contrast equalised by region": lambda gray: cv2.createCLAHE(2, (8, 8)).apply(gray),
    "mirrored": lambda gray: gray[:, ::-1],
    "negative": lambda gray: 255 - gray,
}


def described(gray: np.ndarray) -> Picture:
    gray = np.ascontiguousarray(gray)
    return Picture(str(imagehash.phash(Image.fromarray(gray), hash_size=16)), describe(gray))


def decoded(body: bytes) -> np.ndarray:
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(body)))
    return np.asarray(image.convert("L"))


def all_files() -> Iterator[bytes]:
    """Yield the images to measure, each once."""
    with tempfile.TemporaryDirectory() as unpacked:
        folders = [Path(each) for each in sys.argv[1:] if Path(each).is_dir()]
        if not folders and SHARED.is_dir():
            unpack(Path(unpacked))
            folders = [Path(unpacked), SHARED / "lookalikes/images", SHARED / "real-data-adult/ieee8023-copies"]
        files = sorted(file for folder in folders for file in folder.rglob("*"))
        bodies = {file.read_bytes() for file in files if file.suffix.lower() in (".jpg", ".jpeg", ".png")}
    if not bodies:
        for number in range(GENERATED):
            file = io.BytesIO()
            kind = ("covid", "normal", "pneumonia")[number % 3]
            Image.fromarray(draw(kind, np.random.default_rng(number))).save(file, "PNG")
            bodies.add(file.getvalue())
    yield from sorted(bodies)


def unpack(folder: Path) -> None:
    """Write the real images into a folder, but not those of NIH, most of which have 16 gray levels only."""
    for git in ("real-data/covid-chestxray-dataset.git", "real-data-adult/covid-19-image-repository.git"):
        (to := folder / Path(git).stem).mkdir()
        packed = subprocess.run(
            ["git", f"--git-dir={SHARED / git}", "archive", "master"], check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", to], input=packed.stdout, check=True)
    with zipfile.ZipFile(SHARED / "real-data/chest-xray-pneumonia.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("chest_xray/") and name.count("/") == 3]
        archive.extractall(folder, [name for name in names if "/._" not in name])


def propose(pictures: Sequence[Picture], new: Sequence[bool]) -> set[Pair]:
    return close_hashes(pictures, new) | similar_pairs([each.features for each in pictures], new)


def close_hashes(pictures: Sequence[Picture], new: Sequence[bool]) -> set[Pair]:
    found = close_pairs([each.phash for each in pictures], PROPOSED_BITS, new)
    return {pair for one, other in found for pair in zip(one.tolist(), other.tolist(), strict=True)}


def measure(files: Sequence[bytes], originals: Sequence[Picture]) -> None:
    """Print how many copies are found, by change, and all wrong pairs."""
    count = len(originals)
    pairs = propose(originals, [True] * count)
    same = confirm(dict(enumerate(originals)), pairs, DisjointSet(range(count)))
    group = grouped(count, same)
    others = [verdict for pair in pairs if not (verdict := decide(*(originals[each] for each in pair))).copy]
    print(
        f"{count} pictures; of {len(pairs)} pairs proposed {len(pairs) - len(others)} are copies. Closest to the line:"
    )
    for title, verdicts in (("a copy", same.values()), ("no copy", others)):
        for name in ("agreeing", "detail"):
            ordered = sorted(verdicts, key=attrgetter(name), reverse=title == "no copy")
            print(f"- {title}: {ordered[0].evidence() if ordered else 'none'}")
    print()
    print("| changed | found | not proposed | least agreeing places | least detail | most bits | wrong pairs |")
    print("|---|---|---|---|---|---|---|")
    for name, change in CHANGES.items():
        pictures = [*originals, *(described(change(decoded(body))) for body in files)]
        pairs = propose(pictures, [False] * count + [True] * count)
        verdicts = [decide(pictures[number], pictures[number + count]) for number in range(count)]
        found = sum(verdict.copy and (number, number + count) in pairs for number, verdict in enumerate(verdicts))
        missing = sum((number, number + count) not in pairs for number in range(count))
        wrong = {
            (one, other)
            for one, other in pairs
            if group[one % count] != group[other % count] and decide(pictures[one], pictures[other]).copy
        }
        agreeing, detail = (min(getattr(verdict, each) for verdict in verdicts) for each in ("agreeing", "detail"))
        bits = max(verdict.bits for verdict in verdicts)
        print(
            f"| {name} | {found} of {count} | {missing} | {agreeing} | {detail:.2f} | {bits} | {len(wrong)} |",
            flush=True,
        )


def grouped(count: int, links: Iterable[Pair]) -> list[int]:
    """Return a number for each picture; those that are linked get the same."""
    group = list(range(count))
    for one, other in links:
        group = [group[other] if each == group[one] else each for each in group]
    return group


def time_them(files: Sequence[bytes]) -> None:
    """Print what describing and comparing cost."""
    features, pixels, decoding, describing = [], 0, 0.0, 0.0
    for body in files:
        started = time.process_time()
        gray = decoded(body)
        between = time.process_time()
        features.append(describe(gray))
        decoding, describing = decoding + between - started, describing + time.process_time() - between
        pixels += gray.size
    size = sum(len(part) for each in features for part in each) / len(features)
    print(f"\nAn image of {pixels / len(files) / 1e6:.1f} million pixels on average; milliseconds of processor time:")
    decoding, describing = (1000 * seconds / len(files) for seconds in (decoding, describing))
    print(f"decoding {decoding:.1f}, describing {describing:.1f}. The description has {size:,.0f} bytes.\n")
    print("| pictures | new | pairs by hash | seconds | pairs by places | seconds | deciding, seconds |")
    print("|---|---|---|---|---|---|---|")
    for total in SIZES:
        pictures = many(files, total)
        for new in (len(pictures), NEW):
            print(f"| {len(pictures):,} | {new:,} | {' | '.join(spent(pictures, new))} |", flush=True)


def many(files: Sequence[bytes], total: int) -> list[Picture]:
    """Return as many different pictures: each one, then its quarters, turned and mirrored in all eight ways."""
    return [described(gray) for gray in islice(different(files), total)]


def different(files: Sequence[bytes]) -> Iterator[np.ndarray]:
    for part in ((0, 0, 1), (0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)):  # row and column, of so many
        for turns, step in product(range(4), (1, -1)):
            for gray in map(decoded, files):
                height, width = gray.shape[0] // part[2], gray.shape[1] // part[2]
                top, left = part[0] * height, part[1] * width
                yield np.rot90(gray[top : top + height, left : left + width][:, ::step], turns)


def spent(pictures: Sequence[Picture], new: int) -> list[str]:
    is_new = [False] * (len(pictures) - new) + [True] * new
    times = [time.process_time()]
    close = close_hashes(pictures, is_new)
    times.append(time.process_time())
    similar = similar_pairs([each.features for each in pictures], is_new)
    times.append(time.process_time())
    confirm(dict(enumerate(pictures)), close | similar, DisjointSet(range(len(pictures))))
    times.append(time.process_time())
    hashing, voting, deciding = (f"{after - before:.1f}" for before, after in pairwise(times))
    return [f"{len(close):,}", hashing, f"{len(similar):,}", voting, deciding]


def main() -> None:
    """Print both tables."""
    files = list(all_files())
    measure(files, [described(decoded(body)) for body in files])
    time_them(files)


if __name__ == "__main__":
    main()
