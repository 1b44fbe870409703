"""What the card says of what is in a snapshot: images, patients and sources, files, columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from cxr_snapshot.audit.words import counted
from cxr_snapshot.publication.dictionary import DICTIONARY, MANIFEST, NEVER, described_files
from cxr_snapshot.sources import about
from cxr_snapshot.tables import CLASSES


def images_and_patients(manifest: pd.DataFrame, views: str, *, synthetic: bool) -> str:
    """Return how many images there are and of how many patients, a sentence; ``views`` is the setting."""
    images = counted(len(manifest), "drawing" if synthetic else "chest X-ray")
    patients = counted(manifest["patient_id"].nunique(), "made-up patient" if synthetic else "patient")
    unnamed = int(manifest["patient_id"].isna().sum())
    others = f"; for {counted(unnamed, 'image')} none is named" if unnamed else ""
    return f"{images} ({views} views), equally many of each class, of {patients}{others}."


def images_by_class(manifest: pd.DataFrame, facts: Mapping[str, Any], splits: Mapping[str, Mapping[str, int]]) -> str:
    """Return a table of the images of each class: in which splits they are, and from which sources."""
    sources = {name: manifest.loc[manifest["class"].eq(name), "source"].value_counts().sort_index() for name in CLASSES}
    rows = [
        ["class", "images", "from", *splits, "candidates before balancing"],
        ["---"] * (4 + len(splits)),
        *(
            [
                f"`{name}`",
                facts["counts"][name],
                ", ".join(f"`{source}` {count}" for source, count in sources[name].items()),
                *(split[name] for split in splits.values()),
                facts["candidates"][name],
            ]
            for name in CLASSES
        ),
    ]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def sources_named(sources: Iterable[str], *, synthetic: bool) -> str:
    """Say what the names of the sources stand for."""
    return "; ".join(f"`{name}`: {about(name, synthetic=synthetic).reference}" for name in sources) + "."


def files(facts: Mapping[str, Any]) -> str:
    """Return a table of the files, and what is to be known of splits and pictures."""
    changes = f"what changed since {facts['previous']}" if facts["previous"] else "that this is the first snapshot"
    described = described_files(facts["settings"], changes).items()
    rows = "\n".join(
        f"| {', '.join(f'`{name}`' for name in names.split(', '))} | {what} |" for names, what in described
    )
    return f"""\
| file | what it is |
|---|---|
{rows}

The column `split` is a recommendation: no patient and no near-duplicate spans two splits, and an image stays in its
split in later snapshots. Only when two patients turn out to be one, images may move; `changes.json` lists them. In the
pictures of `data/` the aspect ratio is {facts["pictures"]["aspect_ratio"]}."""


def columns(manifest: pd.DataFrame) -> str:
    """Say of each column what it means and how many cells are empty; folded, since there are many."""
    empty = {column.name: int(manifest[column.name].isna().sum()) for column in MANIFEST if column.null != NEVER}
    rows = "\n".join(f"| `{each.name}` | {each.described} | {empty.get(each.name) or ''} |" for each in MANIFEST)
    return f"""\
[`{DICTIONARY}`]({DICTIONARY}) says of each file and each column what it means: type, unit, values, where it comes from,
and what an empty cell says.

<details>
<summary>The {len(MANIFEST)} columns of the manifest, and how many of their {len(manifest)} cells are empty</summary>

| column | meaning | empty |
|---|---|---|
{rows}

</details>"""
