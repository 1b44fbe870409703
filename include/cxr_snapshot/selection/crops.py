"""Proposes pictures that may be crops of one another, since many small places in them look alike.

Two places are compared when one of the eight words of their descriptions is equal, so that the time is for what is
alike, and not for all pairs of pictures. Memory hardly grows with the pictures, in three steps:

1. All places lie on disk. Those that share a word are read and sorted by it, a part at a time.
2. Two places that look alike count for the pair of their pictures, up to what is enough. Where there are very many
   pairs, some share a counter (a count-min sketch of one row; Cormode and Muthukrishnan, J. Algorithms 55, 2005): a
   pair may seem to have enough, and one that has is not missed.
3. Pairs that count enough are looked at by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cxr_snapshot.inspection.features import DESCRIPTOR_BYTES, Features
from cxr_snapshot.progress import Progress
from cxr_snapshot.spill import Spill

Pair = tuple[int, int]
Numbers = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]  # of ``_PLACE``

_MOVED = 1 << 14  # of 65,536, the side: how far a place may lie from its like, at most
_ALIKE = 40  # bits of 256 in which the descriptions of two places differ, at most
_PLACES = 12  # of 256 that look alike, at least, in each of two pictures that are proposed
_NEIGHBOURS = 32  # where more places share a word, each is compared with this many on either side of it

_WORDS = DESCRIPTOR_BYTES // 4
_PLACE = np.dtype([("words", "<u4", _WORDS), ("x", "<u2"), ("y", "<u2"), ("picture", "<u4")])
_AT_ONCE = 1 << 18  # places; 10 MB
_COMPARED = 1 << 16  # pairs of places at a time
_COUNTERS = 1 << 26  # of a byte each, at most
_BUCKET_BITS = 22


def similar_pairs(pictures: Iterable[Features], new: Sequence[bool]) -> set[Pair]:
    """Return the pairs that share so many places that one may be a crop of the other.

    A pair is proposed or not whatever the other pictures are, unless over thirty places share a word.

    Args:
        pictures: descriptions of different pictures; taken one by one, and once.
        new: for each, whether it was never compared with the others; pairs of two that are not new are left out.

    Returns:
        Positions in ``pictures``, the lower one first.

    Raises:
        SpillError: the disk has no room for the places, 10 KB a picture.
    """
    is_new, places = np.asarray(new, dtype=bool), _Places(pictures)
    return {pair for pair in _candidates(places, is_new) if _share_places(*map(places.of, pair))}


class _Places:
    """The places of all pictures, on disk, one picture after the other."""

    def __init__(self, pictures: Iterable[Features]) -> None:
        self._file, self._begins = Spill(), [0]
        for number, features in enumerate(pictures):
            rows = np.empty(len(features.descriptors) // DESCRIPTOR_BYTES, dtype=_PLACE)
            rows["words"] = np.frombuffer(features.descriptors, dtype="<u4").reshape(-1, _WORDS)
            rows["x"], rows["y"] = np.frombuffer(features.places, dtype="<u2").reshape(-1, 2).T
            rows["picture"] = number
            self._file.append(rows.tobytes())
            self._begins.append(self._file.size)

    def of(self, picture: int) -> Rows:
        begin, end = self._begins[picture : picture + 2]
        return np.frombuffer(self._file.read(begin, end - begin), dtype=_PLACE)

    def pieces(self) -> Iterator[Rows]:
        step = _COMPARED * _PLACE.itemsize
        for begin in range(0, self._file.size, step):
            yield np.frombuffer(self._file.read(begin, step), dtype=_PLACE)


def _candidates(places: _Places, is_new: npt.NDArray[np.bool_]) -> Iterator[Pair]:
    """Yield, in order, all pairs of pictures that share enough places, and some that do not."""
    count = len(is_new)
    counters = np.zeros(min(count * count, _COUNTERS), dtype=np.uint8)
    enough = [np.empty(0, dtype=np.int64)]
    for one, other in _alike(places, is_new):
        pairs = np.minimum(one, other) * count + np.maximum(one, other)
        spots = (pairs % len(counters)).astype(np.uint32)
        hit, times = np.unique(spots, return_counts=True)
        counters[hit] = np.minimum(counters[hit] + times, _PLACES)
        enough.append(np.unique(pairs[counters[spots] == _PLACES]))
    one, other = np.divmod(np.unique(np.concatenate(enough)), count)
    yield from zip(one.tolist(), other.tolist(), strict=True)


def _alike(places: _Places, is_new: npt.NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the two pictures of each two places that share a word and look alike, once for each word."""
    progress = Progress("search for crops: eighths done", _WORDS)
    for word in range(_WORDS):
        for part in _parts(places, word, is_new):
            yield from _neighbours(part, is_new)
            del part  # before the next one is made
        progress.advance()


class _Part(NamedTuple):
    """Places by word, and those with one word from left to right."""

    key: Numbers  # of two places with other words, these are further apart than places may be
    words: npt.NDArray[np.uint64]
    y: Numbers
    picture: Numbers


def _parts(places: _Places, word: int, is_new: npt.NDArray[np.bool_]) -> Iterator[_Part]:
    """Yield the places whose word a new place may have, so many at a time; equal words are never apart.

    Words are told apart by Knuth's multiplicative hash, of which places of one part have one range.
    """

    def buckets(rows: Rows) -> npt.NDArray[np.uint32]:
        return np.asarray(rows["words"][:, word] * np.uint32(2654435761) >> 32 - _BUCKET_BITS)

    wanted = np.zeros(1 << _BUCKET_BITS, dtype=bool)
    for rows in places.pieces():
        wanted[buckets(rows[is_new[rows["picture"]]])] = True
    count = sum(int(wanted[buckets(rows)].sum()) for rows in places.pieces())
    cuts = np.linspace(0, 1 << _BUCKET_BITS, -(-count // _AT_ONCE) + 1, dtype=np.uint32)

    def between(rows: Rows, low: np.uint32, high: np.uint32) -> Rows:
        bucket = buckets(rows)
        inside = np.flatnonzero((bucket >= low) & (bucket < high))
        return np.asarray(rows[inside[wanted[bucket[inside]]]])

    for cut in pairwise(cuts):
        yield _sorted(np.concatenate([between(rows, *cut) for rows in places.pieces()]), word)


def _sorted(rows: Rows, word: int) -> _Part:
    key = rows["words"][:, word].astype(np.int64) << 18 | rows["x"]
    order = np.argsort(key, kind="stable")
    y, picture = (rows[name][order].astype(np.int64) for name in ("y", "picture"))
    return _Part(key[order], _longer(rows["words"][order]), y, picture)


def _neighbours(part: _Part, is_new: npt.NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield what :func:`_alike` does of places that all lie in memory."""
    key, words, y, picture = part
    fresh = is_new[picture]
    for step in (1,) if fresh.all() else (1, -1):
        one = np.flatnonzero(fresh)
        for distance in range(step, step * (_NEIGHBOURS + 1), step):
            one = one[np.searchsorted(one, -distance) : np.searchsorted(one, len(key) - distance)]
            one = one[np.abs(key[one] - key[one + distance]) <= _MOVED]
            for start in range(0, len(one), _COMPARED):
                like = one[start : start + _COMPARED]
                if step < 0:
                    like = like[~fresh[like + distance]]  # two new ones have met already
                like = like[np.abs(y[like] - y[like + distance]) <= _MOVED]
                like = like[_differing(words[like], words[like + distance]) <= _ALIKE]
                pair = picture[like], picture[like + distance]
                apart = pair[0] != pair[1]
                yield pair[0][apart], pair[1][apart]


def _share_places(one: Rows, other: Rows) -> bool:
    """Say whether enough places of each of two pictures share a word with a place of the other and look like it."""
    equal = np.zeros((len(one), len(other)), dtype=bool)
    for word, other_word in zip(one["words"].T.copy(), other["words"].T.copy(), strict=True):
        equal |= word[:, None] == other_word
    row, column = np.divmod(np.flatnonzero(equal), len(other))
    alike = _differing(_longer(one["words"][row]), _longer(other["words"][column])) <= _ALIKE
    for axis in ("x", "y"):
        alike &= np.abs(one[axis][row].astype(np.int64) - other[axis][column]) <= _MOVED
    return min(len(np.unique(row[alike])), len(np.unique(column[alike]))) >= _PLACES


def _longer(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Return words of twice the length, half as many, which are compared in half the time."""
    return np.ascontiguousarray(words).view(np.uint64)


def _differing(words: npt.NDArray[np.uint64], others: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """Return in how many bits two rows of words differ."""
    return np.asarray(np.bitwise_count(words ^ others).sum(axis=1, dtype=np.uint16))
