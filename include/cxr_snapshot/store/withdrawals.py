"""What a patient or a publisher took back: a note for each withdrawal, and which records it is about.

Notes are never changed and never deleted: every later build of every edition reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from cxr_snapshot.errors import DamagedObjectError, StorageUnavailableError
from cxr_snapshot.store.encoding import json_bytes, json_sha256, parse_json
from cxr_snapshot.store.errors import PreconditionFailedError
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import get_sealed, put_sealed

WITHDRAWALS = "_work/withdrawals/"
WITHDRAWN = "withdrawn"  # the rule by which records are left out

IMAGE, PATIENT, SOURCE_PATH = "image", "patient", "source-path"

_WRITES = 20  # tries to get a number; each lost one means that somebody else got it
_REMEDY = (
    "Nothing is built without it, since what was taken back could be published again. Put it back from a copy of the "
    "bucket; if there is none, delete it and withdraw the same again."
)


@dataclass(frozen=True)
class Withdrawal:
    """One withdrawal.

    Attributes:
        kind: by what it was asked for: ``image``, ``patient`` or ``source-path``.
        value: which one: a SHA-256 or the name of a published file; a ``patient_id``; ``<source>:<path>``.
        reason: why. It is published.
        erase: whether the bytes are to go as well.
        time: ISO 8601 time at which it was asked for.
        by: who asked for it, as far as that is known. It is not published.
        sha256s: of the upstreams' files that it was about then, copies among them.
        pixels: ``pixel_sha256`` of these, so that the same picture stays out in another file.
        number: counted from 1; 0 before it is written.
    """

    kind: str
    value: str
    reason: str
    erase: bool
    time: str
    by: str
    sha256s: tuple[str, ...]
    pixels: tuple[str, ...]
    number: int = 0

    def covers(self, other: Withdrawal) -> bool:
        """Say whether the other one asks for nothing more, whoever asked when."""
        asked = [(each.kind, each.value, each.reason, each.erase) for each in (self, other)]
        more = {*other.sha256s} - {*self.sha256s} or {*other.pixels} - {*self.pixels}
        return asked[0] == asked[1] and not more

    @property
    def told(self) -> str:
        """What people are told of it."""
        return f"withdrawal {self.number} of {self.time[:10]}: {self.reason}"


def load_withdrawals(store: Store) -> tuple[Withdrawal, ...]:
    """Return all withdrawals, the first one first. Where there are none, it takes one request.

    Raises:
        DamagedObjectError: a note is not what was written, or one is missing.
    """
    names = sorted(store.list(WITHDRAWALS))
    for number, name in enumerate(names, start=1):
        if name != _name(number):
            raise DamagedObjectError(f"{store.uri(_name(number))} is missing. {_REMEDY}")
    return tuple(_load(store, number) for number in range(1, len(names) + 1))


def add_withdrawal(store: Store, wanted: Withdrawal) -> Withdrawal:
    """Write the note of a withdrawal, unless one says the same or more; return it with its number.

    Raises:
        DamagedObjectError: as :func:`load_withdrawals`.
        StorageUnavailableError: others were faster again and again.
    """
    for _ in range(_WRITES):
        known = load_withdrawals(store)
        if twin := next((each for each in known if each.covers(wanted)), None):
            return twin
        numbered = replace(wanted, number=len(known) + 1)
        try:
            put_sealed(store, _name(numbered.number), json_bytes(asdict(numbered)), only_if_absent=True)
        except PreconditionFailedError:
            continue  # another one has the number, or an answer was lost
        return numbered
    raise StorageUnavailableError(f"{store.uri(WITHDRAWALS)} was written to by others {_WRITES} times in a row.")


def withdrawals_digest(withdrawals: Sequence[Withdrawal]) -> str | None:
    """Return a hash over all withdrawals, ``None`` where there are none: a build with others is another build."""
    return json_sha256({"withdrawals": [asdict(each) for each in withdrawals]}) if withdrawals else None


def erased_files(withdrawals: Sequence[Withdrawal]) -> set[str]:
    """Return the SHA-256 of the upstreams' files whose bytes are to be nowhere."""
    return {sha256 for each in withdrawals if each.erase for sha256 in each.sha256s}


def told_of(withdrawals: Sequence[Withdrawal], records: pd.DataFrame, sha256s: pd.Series) -> pd.Series:
    """Return for each record what people are told of the first withdrawal that is about it; null for most.

    Args:
        withdrawals: all there are.
        records: columns ``source``, ``path``, ``patient_id`` and ``pixel_sha256``.
        sha256s: of the upstream's file of each record.
    """
    told = pd.Series(pd.NA, index=records.index, dtype="string")
    places = records["source"] + ":" + records["path"]
    for each in withdrawals:
        hit = sha256s.isin(each.sha256s) | records["pixel_sha256"].isin(each.pixels)
        if each.kind == PATIENT:
            hit |= records["patient_id"].eq(each.value).fillna(value=False)
        elif each.kind == SOURCE_PATH:
            hit |= places.eq(each.value).fillna(value=False)
        told = told.mask(told.isna() & hit.astype(bool), each.told)
    return told


def _load(store: Store, number: int) -> Withdrawal:
    body = get_sealed(store, _name(number), _REMEDY)
    facts: dict[str, Any] = parse_json(body, store.uri(_name(number)))
    return Withdrawal(**facts | {"sha256s": tuple(facts["sha256s"]), "pixels": tuple(facts["pixels"])})


def _name(number: int) -> str:
    return f"{WITHDRAWALS}{number:06d}.json"
