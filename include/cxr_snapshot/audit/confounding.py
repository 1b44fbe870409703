"""How far the class of an image can be known from things that have nothing to do with the disease."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score

from cxr_snapshot.tables import CLASSES, CLINICAL_COLUMNS

NOT_STATED = "not stated"
# From which adjusted mutual information on an attribute is said to go with the class. By convention: at 0.3 and three
# equal classes, whoever knows the attribute has to guess about half as often.
STRONG, SOME = 0.3, 0.05
_MOST_VALUES = 12  # listed of one attribute
_REST = "other ("  # how the name of all others together begins

_ATTRIBUTES = {
    "source": "the collection that the image is from",
    "site": "the web site that the image was taken from, by its address",
    "format": "the file format",
    "colour": "the colour mode of the file",
    "size": "the size of the picture in pixels",
    "aspect": "the ratio of width to height",
    "view": "the projection, as the upstream states it",
    "licence": "the licence, as the upstream states it",
    "age": "the age of the patient, as the upstream states it or not",
    "sex": "the sex of the patient, as the upstream states it or not",
    "clinical": "whether the upstream states anything of the course of the disease",
    "date": "the year in which the image was taken, as the upstream states it or not",
    "location": "the place where the image was taken, as the upstream states it or not",
}
_MEGAPIXELS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # edges of the groups by size
_DECADES = tuple(float(age) for age in range(10, 100, 10))  # edges of the groups by age in years
_ASPECTS = (0.8, 0.95, 1.05, 1.2, 1.4, 1.6)  # edges of the groups by width divided by height


def measure_confounding(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Return for each attribute how much it tells of the class.

    ``nmi`` is the normalised mutual information (Strehl & Ghosh 2002; here with the mean of both entropies): 0 where
    the attribute says nothing of the class, 1 where each tells the other. ``adjusted`` is corrected for what chance
    gives when an attribute has many values (Vinh et al. 2010); the words are chosen by it.

    Args:
        manifest: columns of ``MANIFEST_SCHEMA``.

    Returns:
        Dicts with ``name``, ``description``, ``nmi``, ``adjusted``, ``level`` (``strong``, ``some`` or ``none``),
        ``sentence`` and ``counts``, the images of each class by value.
    """
    values = attributes(manifest)
    return [_measure(name, values[name], manifest["class"]) for name in _ATTRIBUTES]


def attributes(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the attributes that are compared with the class, as words; a column for each."""
    megapixels = manifest["width"] * manifest["height"] / 1e6
    found = {
        "source": manifest["source"],
        "site": manifest["url"].map(_site, na_action="ignore"),
        "format": manifest["format"],
        "colour": manifest["mode"],
        "size": _grouped(megapixels, _MEGAPIXELS, " megapixels"),
        "aspect": _grouped(manifest["width"] / manifest["height"], _ASPECTS, ""),
        "view": manifest["view"],
        "licence": manifest["license"],
        "age": _grouped(manifest["age"].astype(float), _DECADES, " years").mask(manifest["age"].isna()),
        "sex": manifest["sex"],
        "clinical": manifest[list(CLINICAL_COLUMNS)].notna().any(axis=1).map({True: "stated"}),
        "date": manifest["date"].astype("string").str[:4],
        "location": manifest["location"],
    }
    return pd.DataFrame({name: column.astype("string").fillna(NOT_STATED) for name, column in found.items()})


def _site(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # such as of http://[bad
        return None


def describe_ages(manifest: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return by class how many ages are stated, and their five numbers in years; ``None`` where there are none."""
    return {name: _five_numbers(manifest.loc[manifest["class"].eq(name), "age"]) for name in CLASSES}


def count_sexes(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the images of each class by the patient's sex as stated."""
    sexes = manifest["sex"].fillna(NOT_STATED)
    found = {name: sexes[manifest["class"].eq(name)].value_counts().sort_index() for name in CLASSES}
    return {name: {str(sex): int(count) for sex, count in counts.items()} for name, counts in found.items()}


def count_patients(manifest: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Count images and patients by class.

    Each class has ``images``, ``patients``, images whose patient is ``unknown``, and the ``mean`` and the ``most``
    images of one patient.
    """
    return {name: _patients(manifest.loc[manifest["class"].eq(name), "patient_id"]) for name in CLASSES}


def most_frequent_first(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Mapping[str, int]]]:
    """Return values with their counts as people read them, the rare ones together at the end; JSON keeps no order."""
    return sorted(counts.items(), key=lambda item: (item[0].startswith(_REST), -sum(item[1].values()), item[0]))


def _measure(name: str, values: pd.Series, classes: pd.Series) -> dict[str, Any]:
    nmi = float(normalized_mutual_info_score(classes, values))
    adjusted = max(float(adjusted_mutual_info_score(classes, values)), 0.0)
    level = "strong" if adjusted >= STRONG else "some" if adjusted >= SOME else "none"
    tells = {"strong": "tells much", "some": "tells something", "none": "tells next to nothing"}[level]
    what = _ATTRIBUTES[name]
    return {
        "name": name,
        "description": what[0].upper() + what[1:] + ".",
        "nmi": round(nmi, 3),
        "adjusted": round(adjusted, 3),
        "level": level,
        "sentence": f"Knowing {what} {tells} of the class.",
        "counts": _counts(values, classes),
    }


def _counts(values: pd.Series, classes: pd.Series) -> dict[str, dict[str, int]]:
    """Count images by value and class, the most frequent values first and the rare ones together."""
    totals = values.value_counts()
    by_count = sorted(totals.index, key=lambda value: (-totals[value], value))
    frequent = by_count[:_MOST_VALUES]
    rest = f"{_REST}{len(totals) - len(frequent)} values)"
    table = pd.crosstab(values.where(values.isin(frequent), rest), classes)
    shown = [*frequent, *([rest] if len(totals) > len(frequent) else [])]
    return {str(value): {name: int(table.get(name, {}).get(value, 0)) for name in CLASSES} for value in shown}


def _grouped(numbers: pd.Series, edges: tuple[float, ...], unit: str) -> pd.Series:
    """Say between which two edges each number lies."""
    labels = [f"below {edges[0]:g}{unit}"]
    labels += [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
    labels += [f"{edges[-1]:g}{unit} or more"]
    return pd.Series([labels[place] for place in np.digitize(numbers.astype(float), edges)], index=numbers.index)


def _five_numbers(ages: pd.Series) -> dict[str, Any]:
    stated = ages.dropna().astype(float)
    facts: dict[str, Any] = {"images": len(ages), "stated": len(stated)}
    facts["missing"] = round(1 - len(stated) / len(ages), 3) if len(ages) else None
    quantiles = {"min": 0.0, "q1": 0.25, "median": 0.5, "q3": 0.75, "max": 1.0}
    return facts | {name: round(float(stated.quantile(q)), 1) if len(stated) else None for name, q in quantiles.items()}


def _patients(patients: pd.Series) -> dict[str, Any]:
    each = patients.value_counts()
    return {
        "images": len(patients),
        "patients": len(each),
        "unknown": int(patients.isna().sum()),
        "mean": round(float(each.mean()), 2) if len(each) else None,
        "most": int(each.max()) if len(each) else None,
    }
