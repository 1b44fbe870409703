"""The NIH collection: what the rows of its table and the files of its zip mean, and what people must know of it.

A sample of NIH ChestX-ray14: radiographs of one hospital, mostly of adults, with labels that were mined from reports.
The zip holds its images twice, and its table, ``sample_labels.csv``, three times.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import About
from cxr_snapshot.sources.http import Sleep
from cxr_snapshot.sources.identities import padded_patient
from cxr_snapshot.sources.joining import join_rows
from cxr_snapshot.sources.kaggle import KaggleDataset
from cxr_snapshot.sources.sheets import COMMON_LOOKS, MAX_AGE, Form, read_sheet
from cxr_snapshot.sources.words import (
    CLASS_OF_FINDING,
    NOT_LABELLED,
    PLACEHOLDERS,
    FindingKind,
    plain,
    remember,
    view_kind,
)

DATASET = "nih-chest-xrays/sample"
METADATA = "sample_labels.csv"

_IMAGES = "images"  # the folder, whatever is above it

_ADDRESS = "https://nihcc.app.box.com/v/ChestXray-NIHCC"  # NIH asks that this be named, not Kaggle's
_TERMS = "NIH Clinical Center: use is unrestricted; link to the download site, acknowledge it and cite Wang et al. 2017"

ABOUT = About(
    title="NIH ChestX-ray14, 5 % sample",
    url=_ADDRESS,
    shows="patients of the NIH Clinical Center, mostly adults",
    licence="Use of the NIH collection is unrestricted; its users link to the original download site, acknowledge the "
    "NIH Clinical Center and cite Wang et al. (2017).",
    limit="Labels of the NIH collection were mined from reports by a program.",
    citation="""\
@inproceedings{wang2017chestxray8,
  title     = {ChestX-ray8: Hospital-Scale Chest X-Ray Database and Benchmarks on Weakly-Supervised Classification
               and Localization of Common Thorax Diseases},
  author    = {Wang, Xiaosong and Peng, Yifan and Lu, Le and Lu, Zhiyong and Bagheri, Mohammadhadi
               and Summers, Ronald M.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {3462--3471},
  year      = {2017},
  doi       = {10.1109/CVPR.2017.369}
}""",
    columns={
        "class": "from `Finding Labels`",
        "revision": "version number",
        "metadata_line": "the row that names the file",
        "patient_id": "`Patient ID`",
        "finding": "`Finding Labels`, joined by a vertical bar",
        "view": "`View Position`",
        "age": "`Patient Age`, where `013M` is 1.083 and `412Y` is left empty",
        "sex": "`Patient Gender`",
        "license": "what the NIH Clinical Center asks for",
        "url": "NIH's download site",
        "doi": "DOI of the collection",
    },
)

_NORMAL, _PNEUMONIA = "no finding", "pneumonia"
_OTHER = {
    *("atelectasis", "cardiomegaly", "consolidation", "edema", "effusion", "emphysema", "fibrosis", "hernia"),
    *("infiltration", "mass", "nodule", "pleural thickening", "pneumothorax"),
}

_AGE = re.compile(r"([0-9]{1,3})([YMD])", re.IGNORECASE)
_IN_A_YEAR = {"Y": 1, "M": 12, "D": 365.25}


@remember
def finding_kind(finding: str | None) -> FindingKind | None:
    """Return what a cell of labels, joined by ``|``, says; ``None`` where it has one that is not known.

    ``normal`` is ``No Finding`` alone; beside another label it contradicts itself and is not guessed. ``pneumonia`` is
    where any of the labels is, and ``other`` is all else.
    """
    labels = {plain(label.replace("_", " ")) for label in (finding or "").split("|")}
    if labels <= PLACEHOLDERS:
        return NOT_LABELLED
    if labels == {_NORMAL}:
        return "normal"
    if not labels <= _OTHER | {_PNEUMONIA}:
        return None
    return "pneumonia" if _PNEUMONIA in labels else "other"


def age(text: str) -> float | None:
    """Return a plausible age in years of ``060Y``, ``013M`` or ``001D``, else ``None``."""
    if not (found := _AGE.fullmatch(text)):
        return None
    years = round(int(found[1]) / _IN_A_YEAR[found[2].upper()], 3)
    return years if years <= MAX_AGE else None


FORM = Form(
    columns={
        "imageindex": "filename",
        "findinglabels": "finding",
        "patientid": "patient_id",
        "patientage": "age",
        "patientgender": "sex",
        "viewposition": "view",
    },
    required=("filename", "finding", "patient_id", "view"),
    needed_with={},
    looks={**COMMON_LOOKS, "finding": finding_kind, "age": age},
    expected={"filename": {"file"}, "finding": {"finding"}, "view": {"view"}},
    age=age,
    patient=partial(padded_patient, digits=8),
    remedy="Nothing was published. Report it upstream, or take nih out of CXR_SOURCES or CXR_JUDGES.",
)


class NihCollection(KaggleDataset):
    """All files of the sample's zip."""

    name = "nih"
    about = ABOUT
    metadata_path = METADATA
    search_crops = False
    republishes = ()

    def __init__(self, settings: Settings, *, sleep: Sleep = time.sleep) -> None:
        super().__init__(settings, DATASET, named_in=f"{__name__}.DATASET", sleep=sleep)

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        """Join the images with the rows of ``sample_labels.csv``; see ``Source``.

        Raises:
            MetadataError: there is no ``sample_labels.csv``, or none that can be read.
        """
        if not inventory["path"].eq(METADATA).any():
            raise MetadataError(f"The zip of {DATASET} holds no {METADATA} at its top. {FORM.remedy}")
        return nih_records(inventory, read_sheet(read(METADATA), FORM, METADATA).rows)


def nih_records(inventory: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Join the images of the NIH collection with the rows of its ``sample_labels.csv``.

    Args:
        inventory: members of the zip, columns of ``INVENTORY_SCHEMA``.
        table: the zip's ``sample_labels.csv``, columns of ``FORM.schema``.

    Returns:
        Ledger rows, as :func:`cxr_snapshot.sources.joining.join_rows`. Other copies of the table are excluded as
        ``nested_copy``, other files outside the folder of images as ``unexpected_path``.
    """
    is_table = inventory["path"].eq(METADATA)
    files, folder = inventory[~is_table], _image_folder(inventory)
    kinds = table["finding"].fillna("").map(finding_kind)
    rows = table.assign(
        path=folder + "/" + table["filename"],
        finding_kind=kinds,
        view_kind=table["view"].fillna("").map(view_kind),
        modality="X-ray",
        modality_kind="X-ray",
        patient_id="nih:" + table["patient_id"],
        license=_TERMS,
        url=_ADDRESS,
        doi="10.1109/CVPR.2017.369",
        **{"class": kinds.map(CLASS_OF_FINDING)},
    )
    is_copy = files["sha256"].isin(inventory.loc[is_table, "sha256"])
    is_outside = files["path"].map(_folder).ne(folder)
    ignored = files["ignored"].mask(files["ignored"].isna() & is_outside, "unexpected_path")
    return join_rows(files.assign(ignored=ignored.mask(is_copy, "nested_copy")), rows, "nih")


def _image_folder(inventory: pd.DataFrame) -> str:
    """Return the folder called ``images`` that holds most files; copies of the zip have another one above it."""
    folders = inventory.loc[inventory["ignored"].isna(), "path"].map(_folder).astype("string")
    counts = folders[folders.map(lambda folder: PurePosixPath(folder).name == _IMAGES)].value_counts()
    return min(counts.index, key=lambda folder: (-counts[folder], folder), default=_IMAGES)


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)
