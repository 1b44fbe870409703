"""The pneumonia collection: what the files of its zip mean, and what people must know of it.

Radiographs of children, sorted by folders. There is no table: class, person and cause stand in folder and file names.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import About
from cxr_snapshot.sources.http import Sleep
from cxr_snapshot.sources.identities import patient
from cxr_snapshot.sources.kaggle import KaggleDataset
from cxr_snapshot.tables import LEDGER_SCHEMA, conform

_LICENCE = "CC BY 4.0"
_ADDRESS = "https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia"

ABOUT = About(
    title="Labeled Chest X-Ray Images",
    url=_ADDRESS,
    shows="children of 1 to 5 years from one hospital in Guangzhou",
    licence=f"Images of the Kaggle collection are {_LICENCE}.",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    limit="Ages of the children are not known one by one.",
    of_children=True,
    citation="""\
@article{kermany2018identifying,
  title   = {Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning},
  author  = {Kermany, Daniel S. and Goldbaum, Michael and Cai, Wenjia and others},
  journal = {Cell},
  volume  = {172},
  number  = {5},
  pages   = {1122--1131},
  year    = {2018},
  doi     = {10.1016/j.cell.2018.02.010}
}""",
    columns={
        "class": "the folder",
        "revision": "version number",
        "patient_id": "the file's name",
        "finding": "the folder",
        "subtype": "the file's name",
        "view": "`AP`, as Kermany et al. (2018) say of all",
        "license": f"`{_LICENCE}`",
        "url": "the page on Kaggle",
        "doi": "DOI of the collection",
        "upstream_split": "the folder",
    },
)

# The folders above those of the splits are ``chest_xray/``, which copies of the zip lack, have twice or lie deeper in.
_PATH = re.compile(r"(?P<above>(?:[^/]+/)*)(?P<split>train|val|test)/(?P<class>normal|pneumonia)/[^/]+", re.IGNORECASE)
_TOP = "chest_xray"
# Kermany et al. name files person<id>_<virus|bacteria>_<n>, and IM-<id>-<n>[-<n>] with an optional NORMAL2- prefix.
# NORMAL2-IM-0115 and IM-0115 count as one person: to be wrongly together costs nothing, to be wrongly apart leaks.
_PERSON = re.compile(
    r"person(?P<person>[0-9]+)_(?P<cause>virus|bacteria)_[0-9]+|(?:NORMAL2-)?IM-(?P<image>[0-9]+)-.*", re.IGNORECASE
)
_FACTS = ("class", "upstream_split", "patient_id", "finding", "finding_kind", "subtype")
_CAUSES = {"virus": "viral", "bacteria": "bacterial"}


class PneumoniaCollection(KaggleDataset):
    """All files of the dataset's zip, which holds its content twice."""

    name = "pneumonia"
    about = ABOUT
    metadata_path = None
    search_crops = False
    republishes = ()

    def __init__(self, settings: Settings, *, sleep: Sleep = time.sleep) -> None:
        super().__init__(settings, settings.kaggle_dataset, sleep=sleep)

    def records(self, inventory: pd.DataFrame, read: Callable[[str], bytes]) -> pd.DataFrame:  # noqa: ARG002
        """Read class, person and split from the paths; see ``Source``. The zip holds no metadata to ``read``."""
        return pneumonia_records(inventory)


def pneumonia_records(inventory: pd.DataFrame) -> pd.DataFrame:
    """Read class, upstream split, person and cause from the paths of the Kaggle zip.

    Args:
        inventory: members of the zip, columns of ``INVENTORY_SCHEMA``.

    Returns:
        Ledger rows, one for each member. The three upstream splits are combined; ``upstream_split`` remembers them. A
        member outside the class folders is excluded as ``unexpected_path``. Upper and lower case do not matter, nor
        what is above the folders of the splits, if it is the same for all but for ``chest_xray/``; else what most
        members have there is right.
    """
    above = _above(inventory.loc[inventory["ignored"].isna(), "path"])
    parts = pd.DataFrame([_facts(path, above) for path in inventory["path"]], index=inventory.index, columns=_FACTS)
    images = inventory[["path", "sha256", "bytes"]].assign(
        rule=inventory["ignored"].mask(inventory["ignored"].isna() & parts["class"].isna(), "unexpected_path"),
        source="pneumonia",
        in_upstream=True,
        modality="X-ray",
        modality_kind="X-ray",
        view="AP",  # Kermany et al. 2018: "anterior-posterior" chest X-rays of children aged one to five
        view_kind="frontal",
        license=_LICENCE,
        url=_ADDRESS,
        doi="10.17632/rscbjbr9sj.2",
    )
    return conform(images.join(parts), LEDGER_SCHEMA)


def _above(paths: pd.Series) -> tuple[str, ...]:
    """Return the folders above those of the splits, those that most of ``paths`` have."""
    found = Counter(_folders(place) for path in paths if (place := _PATH.fullmatch(path)))
    return min(found, key=lambda folders: (-found[folders], folders), default=())


def _folders(place: re.Match[str]) -> tuple[str, ...]:
    return tuple(folder for folder in place["above"].split("/") if folder and folder.lower() != _TOP)


def _facts(path: str, above: tuple[str, ...]) -> dict[str, str | None]:
    """Return ``_FACTS`` as far as ``path`` tells, where it lies in the folders ``above``."""
    facts: dict[str, str | None] = dict.fromkeys(_FACTS)
    if not (place := _PATH.fullmatch(path)) or _folders(place) != above:
        return facts
    kind, stem = place["class"].upper(), PurePosixPath(path).stem
    facts |= {"class": kind, "finding": kind, "finding_kind": kind.lower(), "upstream_split": place["split"].lower()}
    if not (name := _PERSON.fullmatch(stem)):
        # Nothing tells whose it is, so that equal names in two classes need not be one person.
        return facts | {"patient_id": f"pneumonia:{kind}-{patient(stem)}"}
    if name["person"]:
        cause = _CAUSES[name["cause"].lower()]
        return facts | {"patient_id": f"pneumonia:person{patient(name['person'])}", "subtype": cause}
    return facts | {"patient_id": f"pneumonia:IM-{patient(name['image']):0>4}"}
