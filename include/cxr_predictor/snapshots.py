"""A snapshot as arrays: its shards' pictures, and what its manifest says of each."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxr_predictor.errors import TooFewPatientsError
from cxr_predictor.pictures import SIDE, from_shard
from cxr_predictor.published import Published
from cxr_snapshot.tables import CLASSES

SPLITS = ("train", "validation", "test")
# Groups of patients of each class that each split must have: fewer teach nothing, and with none there is no figure.
FEWEST = {"train": 5, "validation": 1, "test": 1}

_COLUMNS = ["sha256", "class", "source", "patient_id", "age", "pixel_sha256", "group", "split"]
_ROWS = 100  # that are decoded at a time


@dataclass(frozen=True)
class Snapshot:
    """A snapshot.

    Attributes:
        facts: its ``snapshot.json``.
        rows: a row for each image, with the columns of the manifest that are needed here, and its ``label``.
        pictures: the same images, gray levels of ``SIDE`` x ``SIDE`` pixels each.
    """

    facts: Mapping[str, Any]
    rows: pd.DataFrame
    pictures: npt.NDArray[np.uint8]

    def part(self, mask: pd.Series) -> Snapshot:
        """Return those images for which ``mask`` holds."""
        kept = mask.to_numpy(dtype=bool)
        return Snapshot(self.facts, self.rows[kept].reset_index(drop=True), self.pictures[kept])

    def split(self, name: str) -> Snapshot:
        """Return the images of a split."""
        return self.part(self.rows["split"].eq(name))


def read_snapshot(published: Published) -> Snapshot:
    """Read a snapshot's shards, in the order of their names; errors as :meth:`Published.get`."""
    rows, pictures = [], []
    for name in sorted(name for name in published.sums if name.startswith("data/")):
        for batch in pq.ParquetFile(io.BytesIO(published.get(name))).iter_batches(_ROWS):
            rows.append(_rows(batch))
            pictures += [from_shard(image["bytes"]) for image in batch.column("image").to_pylist()]
    facts = published.get_json("snapshot.json")
    if not rows:
        raise TooFewPatientsError(f"{published.address} holds no pictures.")
    return Snapshot(facts, pd.concat(rows, ignore_index=True), np.array(pictures).reshape(-1, SIDE, SIDE))


def _rows(batch: pa.RecordBatch) -> pd.DataFrame:
    """Return the columns that are needed, and the SHA-256 of the upstream's file, which older snapshots do not name."""
    named = "source_sha256" if "source_sha256" in batch.schema.names else "sha256"
    rows: pd.DataFrame = batch.select([*_COLUMNS, "label"]).to_pandas()
    return rows.assign(upstream_sha256=batch.column(named).to_pandas())


def check_size(snapshot: Snapshot) -> None:
    """Refuse a snapshot that is too small.

    Raises:
        TooFewPatientsError: a class has fewer groups of patients in a split than ``FEWEST`` says.
    """
    for split, fewest in FEWEST.items():
        groups = groups_by_class(snapshot.split(split).rows)
        if min(groups.values()) < fewest:
            counts = ", ".join(f"{name} {count}" for name, count in groups.items())
            raise TooFewPatientsError(
                f"too few patients to train and to measure: the split {split} of {snapshot.facts['version']} has "
                f"{counts}, and {fewest} of each class are needed. Train on a larger snapshot."
            )


def groups_by_class(rows: pd.DataFrame) -> dict[str, int]:
    """Count the groups, of patients and pictures that belong together, of each class."""
    counts = rows.groupby("class")["group"].nunique()
    return {name: int(counts.get(name, 0)) for name in CLASSES}
