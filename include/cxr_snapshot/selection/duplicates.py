"""Decides what becomes of pictures that are there more than once.

A *cluster* is all pictures that a chain of copies links. What a copy is, :mod:`cxr_snapshot.selection.copies` decides
by a look at the pixels (docs/decisions/0007-lookalikes.md); where a collection republishes the files of another one
under their names, the name says so too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

import pandas as pd

from cxr_snapshot.selection.copies import Picture, decide
from cxr_snapshot.selection.linking import connected_rows
from cxr_snapshot.selection.rules import NOT_ADULT, with_reasons
from cxr_snapshot.sources.words import CLASS_OF_FINDING
from cxr_snapshot.store.withdrawals import WITHDRAWN
from cxr_snapshot.tables import LEDGER_SCHEMA, conform

MAX_CLUSTER = 20  # different pictures; more are a blank or a template, not one film
MAX_NAMED = 10  # partners that the evidence lists

# What a finding that belongs to no class of the snapshot says of the picture; unknown words say nothing.
_LABELS = {**CLASS_OF_FINDING, "other": "another finding"}
_NO_LABEL = "no label"

_SAME, _NAMED = "same pixels as", "linked by a file name to"
_COPY, _THROUGH = "copy of", "linked by another copy to"
_PARTNER = re.compile(
    rf"(?:^|; )(?:{_SAME}|{_NAMED}|{_COPY}|{_THROUGH}) (\w+):(.+?) "
    rf"\((?:{'|'.join(sorted({*_LABELS.values(), _NO_LABEL}))})(?:, \w+)?\)(?=[:;]|$)"
)

# Which of several copies stays: the largest picture, the largest file, then anything that does not depend on order.
_BEST_FIRST = {"pixels": False, "bytes": False, "sha256": True, "source": True, "path": True}


class _Verdict(NamedTuple):
    """That the record in one row of the ledger leaves, by which rule and on what evidence."""

    row: Hashable  # its index
    rule: str
    evidence: str


def clusters_of(
    ledger: pd.DataFrame, numbers: Mapping[str, int], republished: Mapping[str, Collection[str]]
) -> pd.Series:
    """Return a number for each row that has a picture; equal ones for those that show the same film.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``.
        numbers: by ``pixel_sha256``, equal ones for pictures that a chain of copies links.
        republished: by source, the sources whose files it has too, under the same name without its ending.
    """
    shown = ledger[ledger["pixel_sha256"].notna()]
    links = {"copy": shown["pixel_sha256"].map(numbers)}
    for origin in sorted({origin for origins in republished.values() for origin in origins}):
        among = [origin, *(source for source, origins in republished.items() if origin in origins)]
        rows = shown[shown["source"].isin(among)]
        stems = rows["path"].map(lambda path: PurePosixPath(path).stem)
        links[origin] = stems.where(stems.isin(stems[rows["source"].eq(origin)])).reindex(shown.index)
    return connected_rows(pd.DataFrame(links))


def resolve_duplicates(
    ledger: pd.DataFrame,
    numbers: Mapping[str, int],
    pictures: Mapping[str, Picture],
    republished: Mapping[str, Collection[str]],
) -> pd.DataFrame:
    """Let each picture be in at most once, and not at all where upstream contradicts itself about it.

    Every decoded picture takes part, also those excluded before, but only records that are still in change:

    - A cluster of more than ``MAX_CLUSTER`` different pictures: all leave as ``too_many_lookalikes``.
    - A cluster with a picture that was withdrawn: all leave as ``withdrawn``.
    - A cluster that does not agree on class or subtype (any other finding counts as another class), or that holds a
      picture with contradictory rows: all leave as ``duplicate_across_classes``.
    - A cluster with a picture that is out because it shows a child: all leave as ``not_adult``.
    - Else one stays and the others leave, as ``duplicate_image`` where the pixels are equal, as
      ``near_duplicate_image`` where not. It is the one with the most pixels; among equals the one with the most
      bytes, then the lowest SHA-256, then the first source and path.

    Args:
        ledger: columns of ``LEDGER_SCHEMA``, filtered.
        numbers: by ``pixel_sha256``, equal ones for pictures that a chain of copies links.
        pictures: by ``pixel_sha256``, what is known of those that have copies.
        republished: as for :func:`clusters_of`.

    Returns:
        The ledger with the same rows; ``cluster`` is filled, and evidence names partners and what was measured.
    """
    shown = ledger[ledger["pixel_sha256"].notna()]
    clusters = clusters_of(ledger, numbers, republished)
    different = shown["pixel_sha256"].groupby(clusters).transform("nunique")
    lowest = shown["pixel_sha256"].sort_values().groupby(clusters, sort=False).head(1)
    names = clusters.map(dict(zip(clusters[lowest.index], lowest, strict=True))).astype("string")
    # A cluster that is too large must not tie all its patients to one split: there, only equal pixels are a link.
    ledger = ledger.assign(cluster=names.where(different <= MAX_CLUSTER, shown["pixel_sha256"]))
    repeated = shown[clusters.duplicated(keep=False)]
    repeated = repeated.assign(
        copy=repeated["pixel_sha256"].map(numbers),
        pixels=repeated["width"] * repeated["height"],
        label=repeated["class"].fillna(repeated["finding_kind"].map(_LABELS)),
    ).sort_values(list(_BEST_FIRST), ascending=list(_BEST_FIRST.values()))
    verdicts = [verdict for _, cluster in repeated.groupby(clusters) for verdict in _judge(cluster, pictures)]
    for name in ("rule", "evidence"):
        found = pd.Series({verdict.row: getattr(verdict, name) for verdict in verdicts}, dtype="string")
        ledger[name] = found.reindex(ledger.index).fillna(ledger[name])
    return conform(with_reasons(ledger), LEDGER_SCHEMA)


def partners_in(evidence: str) -> list[tuple[str, str]]:
    """Return source and path of each image that the evidence of a record names as one that shows the same film."""
    return _PARTNER.findall(evidence)


def _judge(cluster: pd.DataFrame, pictures: Mapping[str, Picture]) -> Iterator[_Verdict]:
    """Yield which records leave. ``cluster`` holds all that are copies, the best first."""
    inside = cluster[cluster["rule"].isna()]
    different = cluster["pixel_sha256"].nunique()
    if different > MAX_CLUSTER:
        for index in inside.index:
            yield _Verdict(index, "too_many_lookalikes", f"one of {different} different pictures that look alike")
    elif len(withdrawn := cluster[cluster["rule"].eq(WITHDRAWN)]):
        for index, row in inside.iterrows():
            yield _Verdict(index, WITHDRAWN, _relation(row, withdrawn.iloc[0], pictures))
    elif _contradictory(cluster):
        first = [(index, partner) for index, partner in cluster.head(MAX_NAMED + 1).iterrows()]
        more = [f"{len(cluster) - 1 - MAX_NAMED} more"] if len(cluster) - 1 > MAX_NAMED else []
        for index, row in inside.iterrows():
            partners = [partner for other, partner in first if other != index][:MAX_NAMED]
            named = [_relation(row, partner, pictures) for partner in partners]
            yield _Verdict(index, "duplicate_across_classes", "; ".join(named + more))
    elif len(children := cluster[cluster["rule"].eq(NOT_ADULT)]):
        for index, row in inside.iterrows():
            yield _Verdict(index, NOT_ADULT, _relation(row, children.iloc[0], pictures))
    elif len(inside):
        best = inside.iloc[0]
        for index, row in inside.iloc[1:].iterrows():
            equal = row["pixel_sha256"] == best["pixel_sha256"]
            rule = "duplicate_image" if equal else "near_duplicate_image"
            yield _Verdict(index, rule, _relation(row, best, pictures))


def _contradictory(cluster: pd.DataFrame) -> bool:
    """Return whether the records of ``cluster`` cannot all be right; what upstream leaves open contradicts nothing."""
    disputed = cluster["rule"].eq("contradictory_rows").any()
    return bool(disputed or cluster["label"].nunique() > 1 or cluster["subtype"].nunique() > 1)


def _relation(row: pd.Series, partner: pd.Series, pictures: Mapping[str, Picture]) -> str:
    """Say in which way ``row`` is the picture of ``partner``."""
    label = _NO_LABEL if pd.isna(partner["label"]) else partner["label"]
    excluded = "" if pd.isna(partner["rule"]) else f", {partner['rule']}"
    named = f"{partner['source']}:{partner['path']} ({label}{excluded})"
    if row["pixel_sha256"] == partner["pixel_sha256"]:
        return f"{_SAME} {named}"
    if row["copy"] != partner["copy"]:
        return f"{_NAMED} {named}"
    verdict = decide(pictures[row["pixel_sha256"]], pictures[partner["pixel_sha256"]])
    how = _COPY if verdict.copy else _THROUGH
    return f"{how} {named}: {verdict.evidence()}"
