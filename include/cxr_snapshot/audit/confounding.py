"""How far the class of an image can be known from things that have nothing to do with the disease."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from cxr_snapshot.tables import CLASSES, CLINICAL_COLUMNS

Counts = npt.NDArray[np.int64]

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
_ROUNDING = 1e-9  # sums of logarithms are more exact than that
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
    codes, names = pd.factorize(values)
    table = np.zeros((len(names), len(CLASSES)), dtype=np.int64)
    np.add.at(table, (codes, pd.Index(CLASSES).get_indexer(pd.Index(classes))), 1)
    nmi, adjusted = mutual_information(table[:, table.any(axis=0)])
    level = "strong" if adjusted >= STRONG else "some" if adjusted >= SOME else "none"
    tells = {"strong": "tells much", "some": "tells something", "none": "tells next to nothing"}[level]
    what = _ATTRIBUTES[name]
    return {
        "name": name,
        "description": what[0].upper() + what[1:] + ".",
        "nmi": round(nmi, 3),
        "adjusted": round(max(0.0, adjusted), 3),
        "level": level,
        "sentence": f"Knowing {what} {tells} of the class.",
        "counts": _counts(table, names),
    }


def mutual_information(table: Counts) -> tuple[float, float]:
    """Return the normalised and the adjusted mutual information; see :func:`measure_confounding`.

    Those of scikit-learn are the same figures, out of labels and not of counts; most of their time goes into counting.

    Args:
        table: how many images there are of each value (rows) and class (columns), no row or column of zeros alone.
    """
    total, by_value, by_class = table.sum(), table.sum(axis=1), table.sum(axis=0)
    if len(by_value) <= 1 or len(by_class) <= 1:  # where neither tells two images apart, they agree
        return (1.0, 1.0) if len(by_value) == len(by_class) else (0.0, 0.0)
    some = table > 0
    found = float((table[some] * np.log(total * table[some] / np.outer(by_value, by_class)[some])).sum()) / total
    most = (_entropy(by_value) + _entropy(by_class)) / 2
    by_chance = _expected_information(by_value, by_class)
    nothing_left = most - by_chance < _ROUNDING  # no two images of one value, or of one class
    adjusted = 1.0 if nothing_left else (found - by_chance) / (most - by_chance)
    return max(0.0, float(found / most)), float(adjusted)


def _entropy(counts: Counts) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _expected_information(by_value: Counts, by_class: Counts) -> float:
    """Return the mutual information that values dealt out by chance have on average (Vinh et al. 2010, eq. 24a)."""
    total, expected = int(by_value.sum()), 0.0
    log_factorial = gammaln(np.arange(total + 1) + 1.0)
    for size, times in zip(*np.unique(by_value, return_counts=True), strict=True):
        for of_class in by_class:
            both = np.arange(max(1, size + of_class - total), min(size, of_class) + 1)
            given = log_factorial[[size, of_class, total - size, total - of_class]].sum() - log_factorial[total]
            parts = (both, size - both, of_class - both, total - size - of_class + both)
            chance = np.exp(given - sum(log_factorial[part] for part in parts))
            expected += times * float((chance * both * np.log(total * both / (size * of_class))).sum()) / total
    return expected


def _counts(table: Counts, names: pd.Index) -> dict[str, dict[str, int]]:
    """Return the counts by value and class, the most frequent values first and the rare ones together."""
    sums = table.sum(axis=1)
    order = sorted(range(len(names)), key=lambda place: (-sums[place], names[place]))
    frequent, rare = order[:_MOST_VALUES], order[_MOST_VALUES:]
    counts = {str(names[place]): table[place] for place in frequent}
    if rare:
        counts[f"{_REST}{len(rare)} values)"] = table[rare].sum(axis=0)
    return {value: dict(zip(CLASSES, row.tolist(), strict=True)) for value, row in counts.items()}


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
