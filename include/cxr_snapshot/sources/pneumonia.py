"""The pneumonia collection: what the files of its zip mean, and what people must know of it.

Radiographs of children, sorted by folders. There is no table: class, person and cause stand in folder and file names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.settings import Settings
from cxr_snapshot.sources.base import About
from cxr_snapshot.sources.http import Sleep
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
)

_PATH = re.compile(r"chest_xray/(?:chest_xray/)?(?P<split>train|val|test)/(?P<class>NORMAL|PNEUMONIA)/[^/]+")
# Kermany et al. name files person<id>_<virus|bacteria>_<n>, and IM-<id>-<n>[-<n>] with an optional NORMAL2- prefix.
# NORMAL2-IM-0115 and IM-0115 count as one person: to be wrongly together costs nothing, to be wrongly apart leaks.
_PERSON = re.compile(r"person(?P<person>\d+)_(?P<cause>virus|bacteria)_\d+|(?:NORMAL2-)?IM-(?P<image>\d+)-.*")
_FACTS = ("class", "upstream_split", "patient_id", "finding", "finding_kind", "subtype")
_CAUSES = {"virus": "viral", "bacteria": "bacterial"}


class PneumoniaCollection(KaggleDataset):
    """All files of the dataset's zip, which holds its content twice."""

    name = "pneumonia"
    about = ABOUT
    metadata_path = None

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
        member outside the class folders is excluded as ``unexpected_path``.
    """
    parts = pd.DataFrame([_facts(path) for path in inventory["path"]], index=inventory.index, columns=_FACTS)
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


def _facts(path: str) -> dict[str, str | None]:
    """Return ``_FACTS`` as far as ``path`` tells."""
    facts: dict[str, str | None] = dict.fromkeys(_FACTS)
    if not (place := _PATH.fullmatch(path)):
        return facts
    facts |= {"class": place["class"], "finding": place["class"], "upstream_split": place["split"]}
    facts |= {"finding_kind": place["class"].lower()}
    stem = PurePosixPath(path).stem
    if not (name := _PERSON.fullmatch(stem)):
        return facts | {"patient_id": f"pneumonia:{stem}"}
    if name["person"]:
        cause = _CAUSES[name["cause"]]
        return facts | {"patient_id": f"pneumonia:person{name['person']}", "subtype": cause}
    return facts | {"patient_id": f"pneumonia:IM-{name['image']}"}
