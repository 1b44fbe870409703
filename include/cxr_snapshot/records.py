"""Turns what a source delivered into ledger rows: one for each image, and one for each metadata row without image."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.labels import finding_kind, view_kind
from cxr_snapshot.models import LEDGER_SCHEMA, conform

METADATA_PATH = "metadata.csv"
_IMAGES = "images/"

_KAGGLE_PATH = re.compile(r"chest_xray/(?:chest_xray/)?(?P<split>train|val|test)/(?P<class>NORMAL|PNEUMONIA)/[^/]+")
# Kermany et al. name files person<id>_<virus|bacteria>_<n>, and IM-<id>-<n>[-<n>] with an optional NORMAL2- prefix.
# NORMAL2-IM-0115 and IM-0115 count as one person: to be wrongly together costs nothing, to be wrongly apart leaks.
_PERSON = re.compile(r"person(?P<person>\d+)_(?P<cause>virus|bacteria)_\d+|(?:NORMAL2-)?IM-(?P<image>\d+)-.*")
_CAUSES = {"virus": "viral", "bacteria": "bacterial"}


def covid_records(inventory: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """Join the images of the COVID collection with the rows of its ``metadata.csv``.

    Args:
        inventory: files of one revision, columns of ``INVENTORY_SCHEMA``.
        metadata: the revision's ``metadata.csv``, columns of ``METADATA_SCHEMA``.

    Returns:
        Ledger rows. Every image and every row is there exactly once. Where several rows name one image, the first goes
        with it and the others are excluded as ``duplicate_row``; where such rows disagree about COVID, the image is
        excluded as ``contradictory_rows``.
    """
    rows = metadata.assign(
        path=metadata["folder"].fillna("images") + "/" + metadata["filename"],
        **{"class": metadata["finding"].map(_covid_class)},
        rule=metadata["problem"],
        evidence=metadata["raw"],
    )
    if rows["modality"].isna().all():  # before 2020-03-17 there was no such column
        tomography = rows["view"].map(view_kind, na_action="ignore").eq("tomography").fillna(value=False)
        rows["modality"] = pd.Series("X-ray", index=rows.index).mask(tomography, "CT")
    rows["patient_id"] = "covid:" + rows["patient_id"]
    images = inventory.loc[inventory["path"].str.startswith(_IMAGES), ["path", "sha256", "bytes", "ignored"]]

    named = rows[rows["rule"].isna() & rows["path"].notna()]
    repeated = named[named.duplicated("path")]
    rows.loc[repeated.index, "rule"] = "duplicate_row"
    rows.loc[repeated.index, "evidence"] = [
        f"{path!r} is also named in line {named.loc[named['path'] == path, 'metadata_line'].iloc[0]}"
        for path in repeated["path"]
    ]
    disputed = named.groupby("path")["class"].nunique(dropna=False).loc[lambda count: count > 1].index

    matching = rows["rule"].isna() & rows["path"].isin(images["path"])
    with_image = images.merge(rows[matching], on="path", how="left")
    contradictory = with_image["path"].isin(disputed)
    with_image.loc[contradictory, "rule"] = "contradictory_rows"
    with_image.loc[contradictory, "evidence"] = [
        "; ".join(f"line {row.metadata_line}: {row.finding}" for row in named[named["path"] == path].itertuples())
        for path in with_image.loc[contradictory, "path"]
    ]
    with_image["rule"] = with_image["ignored"].fillna(with_image["rule"])
    with_image["in_upstream"] = True
    return conform(
        pd.concat([with_image, rows[~matching].assign(in_upstream=False)], ignore_index=True).assign(source="covid"),
        LEDGER_SCHEMA,
    )


def kaggle_records(inventory: pd.DataFrame) -> pd.DataFrame:
    """Read class, upstream split, person and cause from the paths of the Kaggle zip.

    Args:
        inventory: members of the zip, columns of ``INVENTORY_SCHEMA``.

    Returns:
        Ledger rows, one for each member. The three upstream splits are combined; ``upstream_split`` remembers them. A
        member outside the class folders has no class.
    """
    parts = inventory["path"].map(_kaggle_facts).apply(pd.Series)
    images = inventory[["path", "sha256", "bytes"]].assign(
        rule=inventory["ignored"],
        source="pneumonia",
        in_upstream=True,
        modality="X-ray",
        view="AP",  # Kermany et al. 2018: "anterior-posterior" chest X-rays of children aged one to five
        license="CC BY 4.0",
        url="https://www.kaggle.com/datasets/paultimothymooney/chest-xray-pneumonia",
        doi="10.17632/rscbjbr9sj.2",
    )
    return conform(images.join(parts), LEDGER_SCHEMA)


def _covid_class(finding: object) -> str | None:
    return "COVID" if isinstance(finding, str) and finding_kind(finding) == "covid" else None


def _kaggle_facts(path: str) -> dict[str, str | None]:
    """Return class, upstream_split, patient_id, finding and subtype as far as ``path`` tells."""
    facts: dict[str, str | None] = dict.fromkeys(("class", "upstream_split", "patient_id", "finding", "subtype"))
    if not (place := _KAGGLE_PATH.fullmatch(path)):
        return facts
    facts |= {"class": place["class"], "finding": place["class"], "upstream_split": place["split"]}
    stem = PurePosixPath(path).stem
    if not (name := _PERSON.fullmatch(stem)):
        return facts | {"patient_id": f"pneumonia:{stem}"}
    if name["person"]:
        return facts | {"patient_id": f"pneumonia:person{name['person']}", "subtype": _CAUSES[name["cause"]]}
    return facts | {"patient_id": f"pneumonia:IM-{name['image']}"}
