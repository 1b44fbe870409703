"""The Hannover collection: what its files, rows and words mean, and what people must know of it.

Radiographs of patients of one hospital who all had COVID-19, in a GitHub repository: small pictures under ``png/``, and
a table, ``data.csv``. The COVID collection republished most of them, cut square, under the same names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

import pandas as pd

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources import words
from cxr_snapshot.sources.base import About
from cxr_snapshot.sources.clinical import CELLS, DAYS
from cxr_snapshot.sources.github import GithubRepository
from cxr_snapshot.sources.http import Sleep
from cxr_snapshot.sources.identities import looks_damaged, padded_patient
from cxr_snapshot.sources.joining import join_rows
from cxr_snapshot.sources.sheets import COMMON_LOOKS, TEXT, Form, read_sheet
from cxr_snapshot.sources.words import plain, view_kind

REPO, BRANCH = "ml-workgroup/covid-19-image-repository", "master"
METADATA = "data.csv"
_IMAGES = "png/"

_LICENCE = "CC BY 3.0"
_ADDRESS = f"https://github.com/{REPO}"
_DOI = "10.6084/m9.figshare.12275009"

# Offsets are days from the image on: -4 is four days before it.
_CLINICAL = {
    "admission_offset": DAYS,
    "icu_admission_offset": DAYS,
    "icu_release_offset": DAYS,
    "death_offset": DAYS,
    "lymphocytes_offset": DAYS,
    "lymphocytes_val": CELLS,
    "neutrophils_offset": DAYS,
    "neutrophils_val": CELLS,
}

ABOUT = About(
    title="COVID-19 Image Repository",
    url=_ADDRESS,
    shows="patients of Hannover Medical School",
    licence=f"Images of the Hannover collection are {_LICENCE}.",
    licence_url="https://creativecommons.org/licenses/by/3.0/",
    limit="Ages of the patients of the Hannover collection were not published.",
    citation=f"""\
@misc{{winther2020covid19,
  title  = {{COVID-19 Image Repository}},
  author = {{Winther, Hinrich B. and Laser, Hans and Gerbel, Svetlana and Maschke, Sabine K. and Hinrichs, Jan B.
            and Vogel-Claussen, Jens and Wacker, Frank K. and H{{\\"o}}per, Marius M. and Meyer, Bernhard C.}},
  year   = {{2020}},
  doi    = {{{_DOI}}}
}}""",
    columns={
        "class": "`COVID`, as its page says of all",
        "revision": "commit SHA-1",
        "metadata_line": "the row that names the file",
        "patient_id": "`patient_id`",
        "finding": "`COVID-19`, as its page says of all",
        "view": "`projection`",
        "sex": "`sex`",
        "license": f"`{_LICENCE}`",
        "url": "the repository",
        "doi": "DOI of the collection",
        "offset_days": "`admission_offset` with the other sign: days since admission",
        "survival": "`N` where there is a `death_offset`",
        "went_icu": "`Y` where there is an `icu_admission_offset`",
        "in_icu": "whether the image was taken between `icu_admission_offset` and `icu_release_offset`",
        "lymphocyte_count": "`lymphocytes_val`, where `lymphocytes_offset` is the day of the image",
        "neutrophil_count": "`neutrophils_val`, where `neutrophils_offset` is the day of the image",
        "clinical_text": "those cells under their own names",
    },
)

# DICOM's words for how a radiograph was taken: computed and digital radiography.
_RADIOGRAPHS = {"cr", "dx"}


def modality(text: str | None) -> str | None:
    """Return ``X-ray`` for a radiograph in DICOM's words; else as :func:`cxr_snapshot.sources.words.modality`."""
    return "X-ray" if plain(text) in _RADIOGRAPHS else words.modality(text)


def patient_looks_damaged(text: str) -> bool:
    """Say whether a patient's name looks damaged: not so ``3e461592``, since names are hexadecimal numbers."""
    return not re.fullmatch(r"[0-9a-f]{8}", text) and looks_damaged(text)


FORM = Form(
    columns={
        "imageid": "filename",
        "patientid": "patient_id",
        "sex": "sex",
        "age": "age",
        "modality": "modality",
        "projection": "view",
    }
    | {name.replace("_", ""): name for name in _CLINICAL},
    clinical=_CLINICAL,
    required=("filename", "patient_id", "modality", "view"),
    needed_with={},
    looks={**COMMON_LOOKS, "modality": modality},
    expected={"modality": {"modality"}, "view": {"view"}},
    patient=partial(padded_patient, digits=8),
    patient_looks_damaged=patient_looks_damaged,
    remedy="Nothing was published. Report it upstream, or take hannover out of CXR_SOURCES or CXR_JUDGES.",
)


class HannoverCollection(GithubRepository):
    """``data.csv`` and everything under ``png/`` of one branch."""

    name = "hannover"
    about = ABOUT
    metadata_path = METADATA
    search_crops = True  # the COVID collection has cuts of them, perhaps under other names too
    republishes = ()

    def __init__(self, settings: Settings, *, sleep: Sleep = time.sleep) -> None:
        named_in = (f"{__name__}.REPO", f"{__name__}.BRANCH")
        super().__init__(settings, REPO, BRANCH, named_in=named_in, sleep=sleep)

    def is_wanted(self, path: str) -> bool:
        """Say whether a file of the repository belongs to the collection."""
        return path == METADATA or path.startswith(_IMAGES)

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        """Join the images with the rows of ``data.csv``; see ``Source``.

        Raises:
            MetadataError: there is no ``data.csv``, or none that can be read.
        """
        if not inventory["path"].eq(METADATA).any():
            raise MetadataError(f"{self.repo} holds no {METADATA} at this commit. {FORM.remedy}")
        return hannover_records(inventory, read_sheet(read(METADATA), FORM, METADATA).rows)


def hannover_records(inventory: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Join the images of the Hannover collection with the rows of its ``data.csv``.

    Args:
        inventory: files of one revision, columns of ``INVENTORY_SCHEMA``.
        table: the revision's ``data.csv``, columns of ``FORM.schema``.

    Returns:
        Ledger rows, as :func:`cxr_snapshot.sources.joining.join_rows`. No column says that a patient has COVID-19; the
        collection is of none but such.
    """
    kinds = table["modality"].fillna("").map(modality)
    rows = table.assign(
        path=_IMAGES + table["filename"] + ".png",
        finding="COVID-19",
        finding_kind="covid",
        view_kind=table["view"].fillna("").map(view_kind),
        modality=kinds.fillna(table["modality"]),
        modality_kind=kinds,
        patient_id="hannover:" + table["patient_id"],
        license=_LICENCE,
        url=_ADDRESS,
        doi=_DOI,
        **{"class": "COVID"},
        **_course(table),
    )
    return join_rows(inventory[inventory["path"].ne(METADATA)], rows, "hannover")


def _course(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return what the offsets and the laboratory say of the patient at the time of the image."""
    came, left = table["icu_admission_offset"], table["icu_release_offset"]
    outside = came.gt(0) | left.lt(0)
    nothing = pd.Series(pd.NA, index=table.index, dtype=TEXT)
    return {
        "offset_days": -table["admission_offset"],
        "survival": nothing.mask(table["death_offset"].notna(), "N"),
        "went_icu": nothing.mask(came.notna(), "Y"),
        "in_icu": nothing.mask((came.le(0) & left.ge(0)).fillna(value=False), "Y").mask(
            outside.fillna(value=False), "N"
        ),
        "lymphocyte_count": table["lymphocytes_val"].where(table["lymphocytes_offset"].eq(0).fillna(value=False)),
        "neutrophil_count": table["neutrophils_val"].where(table["neutrophils_offset"].eq(0).fillna(value=False)),
    }
