"""Turns what a source delivered into ledger rows: one for each image, and one for each metadata row without image."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pandas as pd

from cxr_snapshot.labels import finding_kind, folder, modality, view_kind
from cxr_snapshot.models import LEDGER_SCHEMA, conform

METADATA_PATH = "metadata.csv"

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
        Ledger rows. Every image and every row is there exactly once. Where several rows name one file, the first goes
        with it and the others are excluded as ``duplicate_row``; they keep the file's path and their own patient, so
        that the patients can be linked. Where such rows disagree about the kind of finding, view or modality, the image
        is excluded as ``contradictory_rows``.
    """
    kinds = metadata["finding"].map(finding_kind, na_action="ignore")
    rows = metadata.assign(
        path=metadata["folder"].map(_folder, na_action="ignore").fillna("images") + "/" + metadata["filename"],
        **{"class": kinds.map({"covid": "COVID"})},
        subtype=kinds.where(kinds.isin(["viral", "bacterial"])),
        patient_id="covid:" + metadata["patient_id"],
        rule=metadata["problem"],
        evidence=metadata["raw"],
    )
    named = rows[rows["rule"].isna() & rows["path"].notna()]
    first_lines = named.groupby("path")["metadata_line"].first()
    repeated = named.index[named.duplicated("path")]
    rows.loc[repeated, "rule"] = "duplicate_row"
    rows.loc[repeated, "evidence"] = [
        f"{path!r} is also named in line {first_lines[path]}" for path in rows.loc[repeated, "path"]
    ]
    images = inventory.loc[inventory["path"].ne(METADATA_PATH), ["path", "sha256", "bytes", "ignored"]]
    matching = rows["rule"].isna() & rows["path"].isin(images["path"])
    with_image = images.merge(rows[matching], on="path", how="left")
    disputes = _disputes(named)
    disputed = with_image["path"].isin(list(disputes))
    with_image.loc[disputed, "rule"] = "contradictory_rows"
    with_image.loc[disputed, "evidence"] = with_image.loc[disputed, "path"].map(disputes)
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
    parts = pd.DataFrame([_kaggle_facts(path) for path in inventory["path"]], index=inventory.index)
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


def _folder(text: str) -> str:
    return folder(text) or text


def _disputes(rows: pd.DataFrame) -> dict[str, str]:
    """Return what the rows of a file say of it, by path, where they disagree on what kind of image it is."""
    said: dict[str, list[pd.Series]] = {}
    for _, row in rows[rows.duplicated("path", keep=False)].iterrows():
        said.setdefault(row["path"], []).append(row)
    return {
        path: "; ".join(f"line {row['metadata_line']}: {_words(row)}" for row in group)
        for path, group in said.items()
        if len({_kinds(row) for row in group}) > 1
    }


def _kinds(row: pd.Series) -> tuple[str | None, ...]:
    texts = (None if pd.isna(row[name]) else row[name] for name in ("finding", "view", "modality"))
    return tuple(kind(text) for kind, text in zip((finding_kind, view_kind, modality), texts, strict=True))


def _words(row: pd.Series) -> str:
    return ", ".join("(empty)" if pd.isna(row[name]) else row[name] for name in ("finding", "view", "modality"))


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
