"""Joins the files of a collection with the rows of its table."""

from __future__ import annotations

import pandas as pd

from cxr_snapshot.sources.identities import visible
from cxr_snapshot.sources.sheets import TEXT
from cxr_snapshot.tables import LEDGER_SCHEMA, conform

_MAX_NAMED = 10  # rows of one file that the evidence lists


def join_rows(files: pd.DataFrame, rows: pd.DataFrame, source: str) -> pd.DataFrame:
    """Join files with the rows that name them.

    Args:
        files: all but the table itself, columns of ``INVENTORY_SCHEMA``.
        rows: columns of a form's schema, with what the words mean in columns of ``LEDGER_SCHEMA``, and in ``path`` the
            file that each names.
        source: name of the collection.

    Returns:
        Ledger rows. Every file and every row is there exactly once. Where several rows name one file, the first goes
        with it and the others are excluded as ``duplicate_row``; they keep the file's path and their own patient, so
        that the patients can be linked. Where such rows disagree about the kind of finding, view or modality, the image
        is excluded as ``contradictory_rows``. A row whose file is not there goes with the one whose name looks the
        same, where there is one such.
    """
    images, stated = files[["path", "sha256", "bytes", "ignored"]], rows["path"]
    paths = _matched(stated, images["path"]).astype(TEXT)
    meant = ("file " + stated.map(ascii, na_action="ignore").astype(TEXT) + " is read as " + paths).where(
        paths.ne(stated)
    )
    rows = rows.assign(
        path=paths,
        mended=(rows["mended"] + "; " + meant).fillna(rows["mended"]).fillna(meant),
        rule=rows["problem"],
        evidence=rows["raw"],
    )
    named = rows[rows["rule"].isna() & rows["path"].notna()]
    first_lines = named.groupby("path")["metadata_line"].first()
    repeated = named.index[named.duplicated("path")]
    rows.loc[repeated, "rule"] = "duplicate_row"
    rows.loc[repeated, "evidence"] = [
        f"{path!r} is also named in line {first_lines[path]}" for path in rows.loc[repeated, "path"]
    ]
    matching = rows["rule"].isna() & rows["path"].isin(images["path"])
    with_image = images.merge(rows[matching], on="path", how="left")
    disputes = _disputes(named)
    disputed = with_image["path"].isin(list(disputes))
    with_image.loc[disputed, "rule"] = "contradictory_rows"
    with_image.loc[disputed, "evidence"] = with_image.loc[disputed, "path"].map(disputes)
    with_image["rule"] = with_image["ignored"].fillna(with_image["rule"])
    with_image["in_upstream"] = True
    return conform(
        pd.concat([with_image, rows[~matching].assign(in_upstream=False)], ignore_index=True).assign(source=source),
        LEDGER_SCHEMA,
    )


def _matched(stated: pd.Series, there: pd.Series) -> pd.Series:
    """Return the paths that rows state, those that are not ``there`` as the only one there that looks the same."""
    exact, looks = set(there), there.map(visible)
    only = dict(zip(looks[~looks.duplicated(keep=False)], there[~looks.duplicated(keep=False)], strict=True))
    return stated.map(lambda path: path if path in exact else only.get(visible(path), path), na_action="ignore")


def _disputes(rows: pd.DataFrame) -> dict[str, str]:
    """Return what the rows of a file say of it, by path, where they disagree on what kind of image it is."""
    said: dict[str, list[pd.Series]] = {}
    for _, row in rows[rows.duplicated("path", keep=False)].iterrows():
        said.setdefault(row["path"], []).append(row)
    return {
        path: "; ".join(f"line {row['metadata_line']}: {_words(row)}" for row in group[:_MAX_NAMED])
        for path, group in said.items()
        if len({_kinds(row) for row in group}) > 1
    }


def _kinds(row: pd.Series) -> tuple[str | None, ...]:
    return tuple(None if pd.isna(row[name]) else row[name] for name in ("finding_kind", "view_kind", "modality_kind"))


def _words(row: pd.Series) -> str:
    return ", ".join("(empty)" if pd.isna(row[name]) else row[name] for name in ("finding", "view", "modality"))
