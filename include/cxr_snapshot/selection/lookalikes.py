"""Finds out which pictures are copies, and remembers it, so that a night compares its new ones with all others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from cxr_snapshot.inspection.descriptions import Descriptions
from cxr_snapshot.inspection.features import RECIPE
from cxr_snapshot.selection.copies import PROPOSED_BITS, RULES, Picture, confirm
from cxr_snapshot.selection.crops import Pair, similar_pairs
from cxr_snapshot.selection.duplicates import MAX_CLUSTER
from cxr_snapshot.selection.linking import close_pairs
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import find_sealed_table, put_sealed_table

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

NUMBERS = "numbers"
_SCHEMA = pa.schema([("pixel_sha256", pa.string()), ("searched", pa.bool_()), ("number", pa.int64())])

_AT_ONCE = 5_000  # pairs that are decided on together; their descriptions take 130 MB at most
_DESCRIBED = 500  # pictures whose descriptions are in memory while crops are searched for


def find_copies(
    store: Store,
    ledger: pd.DataFrame,
    searched: Collection[str],
    descriptions: Descriptions,
    *,
    table: str = NUMBERS,
) -> dict[str, int]:
    """Return a number for each picture, by ``pixel_sha256``; those that a chain of copies links get the same.

    All pictures whose hashes are close are compared. In collections that are *searched*, so are all that could be crops
    of one another.

    What was found is kept in the store. If two runs do so at once, the last one's table stays; each is right for the
    pictures that are in it.

    Args:
        store: holds what earlier runs found.
        ledger: columns of ``LEDGER_SCHEMA``; every row with a picture takes part, whatever its rule.
        searched: names of the sources to search for crops.
        descriptions: of the pictures.
        table: what was found is kept under this name; ledgers of other collections keep theirs under another, so that
            no night compares anew what the other one forgot.

    Raises:
        LostBlobError: a file is missing or damaged.
        StorageError: the store refused or did not answer.
    """
    pictures = _pictures(ledger, searched)
    # The rules are part of the name: what was found by others says nothing.
    name = _name(table)
    known = find_sealed_table(store, name)
    linked, new = _earlier(pictures, pd.DataFrame(columns=_SCHEMA.names) if known is None else known)
    if not new.any() and known is not None:
        return _numbers(pictures, linked)
    names = pictures.index
    for pairs in _proposed(pictures, new, descriptions):
        unlinked = [pair for pair in pairs if not linked.connected(*pair)]
        places = sorted({place for pair in unlinked for place in pair})
        found = descriptions.of(pictures.iloc[places], keep=False)
        described = {n: Picture(pictures["phash"].iloc[n], found[names[n]]) for n in places}
        confirm(described, unlinked, linked)
    numbers = _numbers(pictures, linked)
    descriptions.of(pictures.loc[_several(numbers)], keep=True)
    found_now = {"pixel_sha256": names, "searched": pictures["searched"].array, "number": numbers.values()}
    put_sealed_table(store, name, pd.DataFrame(found_now), _SCHEMA)
    return numbers


def known_copies(store: Store) -> dict[str, int]:
    """Return what earlier runs of an edition found, as :func:`find_copies` does; nothing is compared."""
    table = find_sealed_table(store, _name(NUMBERS))
    return {} if table is None else dict(zip(table["pixel_sha256"], table["number"], strict=True))


def load_copies(ledger: pd.DataFrame, numbers: Mapping[str, int], descriptions: Descriptions) -> dict[str, Picture]:
    """Return what is known of the pictures that are copies of others, by ``pixel_sha256``.

    Args:
        ledger: as for :func:`find_copies`.
        numbers: from :func:`find_copies`.
        descriptions: of the pictures.
    """
    pictures = _pictures(ledger[ledger["pixel_sha256"].isin(_several(numbers))], ())
    found = descriptions.of(pictures, keep=False)
    return {name: Picture(pictures["phash"][name], features) for name, features in found.items()}


def _name(table: str) -> str:
    return f"_work/lookalikes/{RECIPE}/{table}-{RULES}.parquet"  # what was found by other rules says nothing


def _pictures(ledger: pd.DataFrame, searched: Collection[str]) -> pd.DataFrame:
    """Return each picture once: ``phash``, ``sha256`` and ``bytes`` of a file, ``searched``; by ``pixel_sha256``."""
    rows = ledger.loc[ledger["phash"].notna(), ["pixel_sha256", "phash", "sha256", "bytes", "source"]]
    rows = rows.assign(searched=rows["source"].isin(list(searched))).sort_values(["pixel_sha256", "sha256"])
    groups = rows.groupby("pixel_sha256")
    return groups[["phash", "sha256", "bytes"]].first().assign(searched=groups["searched"].any())


def _earlier(pictures: pd.DataFrame, known: pd.DataFrame) -> tuple[DisjointSet[int], npt.NDArray[np.bool_]]:
    """Return the positions that earlier runs linked, and which pictures have yet to be compared.

    Copies of which one is gone may have lost what linked the others, so that these are compared anew.
    """
    from scipy.cluster.hierarchy import DisjointSet  # takes 0.2 s

    known = known.set_index("pixel_sha256")
    number = known["number"].reindex(pictures.index)
    sizes, left = known["number"].value_counts(), number.value_counts()
    whole = number.map(left).eq(number.map(sizes)) & number.notna()
    linked = DisjointSet(range(len(pictures)))
    places = pd.Series(range(len(pictures)), index=pictures.index)[whole]
    first = places.groupby(number[whole]).transform("first")
    for one, other in zip(first[first != places], places[first != places], strict=True):
        linked.merge(int(one), int(other))
    was_searched = known["searched"].reindex(pictures.index).eq(other=True)
    return linked, ~(whole & (was_searched | ~pictures["searched"])).to_numpy(dtype=bool)


def _proposed(
    pictures: pd.DataFrame, new: npt.NDArray[np.bool_], descriptions: Descriptions
) -> Iterator[Collection[Pair]]:
    """Yield pairs of positions that may be copies, so many at a time that their descriptions fit into memory."""
    searched = np.flatnonzero(pictures["searched"])
    parts = [searched[start : start + _DESCRIBED] for start in range(0, len(searched), _DESCRIBED)]
    found = (each for part in parts for each in descriptions.of(pictures.iloc[part], keep=True).values())
    similar = np.array(sorted(similar_pairs(found, new[searched].tolist())), dtype=np.int64).reshape(-1, 2)
    crops = searched[similar[:, 0]], searched[similar[:, 1]]
    close = close_pairs(list(pictures["phash"]), PROPOSED_BITS, new.tolist())
    pairs: list[Pair] = []
    for one, other in chain(close, [crops]):
        pairs += zip(one.tolist(), other.tolist(), strict=True)
        while len(pairs) > _AT_ONCE:
            yield pairs[:_AT_ONCE]
            pairs = pairs[_AT_ONCE:]
    yield pairs


def _numbers(pictures: pd.DataFrame, linked: DisjointSet[int]) -> dict[str, int]:
    roots = [linked[place] for place in range(len(pictures))]
    return dict(zip(pictures.index, pd.factorize(np.array(roots, dtype=np.int64))[0].tolist(), strict=True))


def _several(numbers: Mapping[str, int]) -> list[str]:
    """Return the pictures that have copies, but not too many to be copies."""
    sizes = pd.Series(numbers, dtype=np.int64)
    counts = sizes.map(sizes.value_counts())
    return list(counts.index[(counts > 1) & (counts <= MAX_CLUSTER)])
