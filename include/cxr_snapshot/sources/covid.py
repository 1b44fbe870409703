"""The COVID collection: what its files, rows and words mean, and what people must know of it.

A folder of images and a table, ``metadata.csv``, in a GitHub repository. The table changed often: before 2020-03-17 it
had no column for the modality, and findings are paths since autumn 2020 (``Pneumonia/Viral/COVID-19``).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd

from cxr_snapshot.errors import MetadataError
from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import About
from cxr_snapshot.sources.clinical import ANSWER, CELLS, DAY, DAYS, TEST_RESULT, TEXT, number
from cxr_snapshot.sources.github import GithubRepository
from cxr_snapshot.sources.http import Sleep
from cxr_snapshot.sources.joining import join_rows
from cxr_snapshot.sources.sheets import COMMON_LOOKS, Form, read_sheet
from cxr_snapshot.sources.words import (
    NOT_LABELLED,
    PLACEHOLDERS,
    FindingKind,
    modality,
    plain,
    remember,
    view_kind,
)

METADATA = "metadata.csv"
_IMAGES = "images/"

# By upstream's name of each column, in which it says spaces and capitals otherwise over the years.
_CLINICAL = {
    "offset": ("offset_days", DAYS),
    "survival": ("survival", ANSWER),
    "RT_PCR_positive": ("rt_pcr_positive", TEST_RESULT),
    "went_icu": ("went_icu", ANSWER),
    "in_icu": ("in_icu", ANSWER),
    "intubated": ("intubated", ANSWER),
    "intubation_present": ("intubation_present", ANSWER),
    "needed_supplemental_O2": ("needed_supplemental_o2", ANSWER),
    "temperature": ("temperature", number(30, 45)),
    "pO2_saturation": ("po2_saturation", number(0, 100)),
    "leukocyte_count": ("leukocyte_count", CELLS),
    "neutrophil_count": ("neutrophil_count", CELLS),
    "lymphocyte_count": ("lymphocyte_count", CELLS),
    "date": ("date", DAY),
    "location": ("location", TEXT),
}

ABOUT = About(
    title="COVID-19 Image Data Collection",
    url="https://github.com/ieee8023/covid-chestxray-dataset",
    shows="mostly adults and come from many publications and hospitals",
    licence="Each image of the COVID collection has the licence that ATTRIBUTION.csv states; some forbid derivatives, "
    "and for some none is known.",
    limit="many images of the COVID collection were cut from figures of publications, so they are small, compressed, "
    "or bear arrows and text.",
    citation="""\
@article{cohen2020covid,
  title   = {COVID-19 Image Data Collection: Prospective Predictions Are the Future},
  author  = {Cohen, Joseph Paul and Morrison, Paul and Dao, Lan and Roth, Karsten and Duong, Tim Q
             and Ghassemi, Marzyeh},
  journal = {arXiv:2006.11988},
  year    = {2020},
  url     = {https://arxiv.org/abs/2006.11988}
}""",
    columns={
        "class": "from `finding`",
        "revision": "commit SHA-1",
        "metadata_line": "the row that names the file",
        "patient_id": "`patientid`",
        "finding": "`finding`",
        "subtype": "`finding`",
        "view": "`view`",
        "age": "`age`",
        "sex": "`sex`",
        "license": "`license`",
        "url": "`url`",
        "doi": "`doi`",
    }
    | {ours: f"`{theirs}`" for theirs, (ours, _) in _CLINICAL.items()}
    | {"clinical_text": "those cells"},
)

# A finding is a path, a single label, or several labels joined by commas. In June 2020 the single labels became whole
# names of diseases for some weeks.
_COVID = {"covid-19", "sars-cov-2"}

_VIRAL = {
    *("viral", "sars", "mers", "mers-cov", "influenza", "h1n1", "varicella", "herpes"),
    *("influenza a pneumonia", "varicella pneumonia", "herpes pneumonia"),
    "swine-origin influenza a (h1n1) viral pneumonia",
}
_BACTERIAL = {
    *("bacterial", "streptococcus", "klebsiella", "chlamydophila", "legionella", "e.coli", "mycoplasma"),
    *("staphylococcus", "mrsa", "nocardia", "legionella pneumonia", "pneumococcal pneumonia"),
    *("mycoplasma bacterial pneumonia", "atypical pneumonia: mycoplasma"),
}

_NORMAL = {"no finding"}

_FUNGAL = {
    *("fungal", "pneumocystis", "pneumocystis pneumonia", "pneumocystis jirovecii pneumonia"),
    *("aspergillosis", "invasive aspergillosis", "allergic bronchopulmonary aspergillosis"),
}
_NO_INFECTION = {
    *("lipoid", "lipoid pneumonia", "aspiration", "aspiration pneumonia"),
    *("eosinophilic pneumonia", "chronic eosinophilic pneumonia"),
    *("organizing pneumonia", "cryptogenic organizing pneumonia", "cryptogenic organising pneumonia"),
    *("desquamative interstitial pneumonia", "lymphocytic interstitial pneumonia", "usual interstitial pneumonia"),
    *("unusual interstitial pneumonia", "accelerated phase usual interstitial pneumonia"),
    "healed varicella pneumonia",  # what an old infection left
}
_PLACE_OR_LOOK = {
    *("lobar pneumonia", "multilobar pneumonia", "round pneumonia", "flitting pneumonia"),
    "left upper lobe consolidation due to pneumonia",
    "left upper lobe pneumonia and pectus excavatum",
    "hemithorax white-out (pneumonia)",
}
_OTHER = {*_FUNGAL, *_NO_INFECTION, *_PLACE_OR_LOOK, "tuberculosis", "spinal tuberculosis"}

_UNSPECIFIC = {"pneumonia", "ards"}  # name no cause; `ARDS` may follow from any of them

_PLACEHOLDERS = PLACEHOLDERS | {"suspected covid-19"}  # a suspicion is no diagnosis


_FOLDERS = {"images", "volumes"}


@remember
def finding_kind(finding: str | None) -> FindingKind | None:
    """Return what a ``finding`` cell names, or ``None`` where it names a label that is not known.

    ``covid`` where any of its labels is COVID-19. ``viral`` and ``bacterial`` are pneumonias of that cause alone,
    ``normal`` is ``No Finding`` alone, and ``other`` is all else: fungal or mixed causes, pneumonia of unknown cause.
    ``not labelled`` is a placeholder for a label, such as ``todo``, or an empty cell.
    """
    every = {plain(label) for part in (finding or "").split(",") for label in part.split("/")}
    labels = every - {""} or every
    if labels & _COVID:
        return "covid"
    if not labels <= _VIRAL | _BACTERIAL | _NORMAL | _OTHER | _UNSPECIFIC | _PLACEHOLDERS:
        return None
    if labels == _NORMAL:
        return "normal"
    causes = labels - _UNSPECIFIC
    if causes and causes <= _PLACEHOLDERS:
        return NOT_LABELLED
    if causes and causes <= _VIRAL:
        return "viral"
    return "bacterial" if causes and causes <= _BACTERIAL else "other"


@remember
def folder(text: str | None) -> str | None:
    """Return ``images`` or ``volumes``, or ``None`` for a word that is not known."""
    name = plain(text).strip("/")
    return name if name in _FOLDERS else None


# Columns whose cells decide what an image is, and what each may look like. Others cannot give a shift away: people do
# write a DOI's address into `doi`, and an age into `sex`.
_COLUMNS = ("finding", "view", "modality", "folder", "filename", "age", "sex", "license", "url", "doi")

FORM = Form(
    columns={"patientid": "patient_id"}
    | {name: name for name in _COLUMNS}
    | {theirs.replace("_", "").lower(): ours for theirs, (ours, _) in _CLINICAL.items()},
    clinical=dict(_CLINICAL.values()),
    required=("patient_id", "finding", "view", "filename"),
    # `modality` is older than `folder`: a header with the younger one alone is damaged, and its CT rows would pass.
    needed_with={"folder": "modality"},
    looks={
        **COMMON_LOOKS,
        "finding": finding_kind,
        "folder": folder,
    },
    expected={
        "finding": {"finding"},
        "view": {"view"},
        "modality": {"modality"},
        "folder": {"folder"},
        "filename": {"file", "number", "date"},
        "url": {"url", "doi", "file"},
        "license": {"licence"},  # another address is where the image came from, and the licence stands elsewhere
    },
)


class CovidCollection(GithubRepository):
    """``metadata.csv`` and everything under ``images/`` of one branch."""

    name = "covid"
    about = ABOUT
    metadata_path = METADATA
    search_crops = True  # people send the same films from different papers
    republishes = ("hannover",)  # cut square, under their names

    def __init__(self, settings: Settings, *, sleep: Sleep = time.sleep, now: Callable[[], float] = time.time) -> None:
        super().__init__(settings, settings.github_repo, settings.github_branch, sleep=sleep, now=now)

    def is_wanted(self, path: str) -> bool:
        """Say whether a file of the repository belongs to the collection."""
        return path == METADATA or path.startswith(_IMAGES)

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:
        """Join the images with the rows of ``metadata.csv``; see ``Source``.

        Raises:
            MetadataError: there is no ``metadata.csv``, or none that can be read.
        """
        if not inventory["path"].eq(METADATA).any():
            raise MetadataError(f"{self.repo} holds no {METADATA} at this commit. Pin an earlier one.")
        return covid_records(inventory, read_metadata(read(METADATA)))


def read_metadata(content: bytes, where: str = METADATA) -> pd.DataFrame:
    """Read one ``metadata.csv`` of any time.

    Args:
        content: the file's bytes.
        where: what to call the file in messages.

    Returns:
        Columns of ``FORM.schema``; see :class:`cxr_snapshot.sources.sheets.Sheet`. Where the file has no column for the
        modality, the view tells it.

    Raises:
        MetadataError: as :func:`cxr_snapshot.sources.sheets.read_sheet`.
    """
    table, columns = read_sheet(content, FORM, where)
    if "modality" not in columns:
        is_ct = table["view"].map(view_kind, na_action="ignore").eq("tomography").fillna(value=False)
        table["modality"] = table["modality"].mask(table["problem"].isna(), "X-ray").mask(is_ct, "CT")
    return table


def covid_records(inventory: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """Join the images of the COVID collection with the rows of its ``metadata.csv``.

    Args:
        inventory: files of one revision, columns of ``INVENTORY_SCHEMA``.
        metadata: the revision's ``metadata.csv``, columns of ``FORM.schema``.

    Returns:
        Ledger rows, as :func:`cxr_snapshot.sources.joining.join_rows`.
    """
    images = inventory[inventory["path"].ne(METADATA)]
    kinds = metadata["finding"].fillna("").map(finding_kind)
    stated = metadata["folder"].map(_folder, na_action="ignore").fillna("images") + "/" + metadata["filename"]
    rows = metadata.assign(
        path=stated,
        finding_kind=kinds,
        view_kind=metadata["view"].fillna("").map(view_kind),
        modality_kind=metadata["modality"].fillna("").map(modality),
        folder_kind=metadata["folder"].map(folder, na_action="ignore"),
        **{"class": kinds.map({"covid": "COVID"})},
        subtype=kinds.where(kinds.isin(["viral", "bacterial"])),
        patient_id="covid:" + metadata["patient_id"],
    )
    return join_rows(images, rows, "covid")


def _folder(text: str) -> str:
    return folder(text) or text
