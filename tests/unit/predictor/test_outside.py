from __future__ import annotations

import numpy as np
import pandas as pd

from cxr_predictor.outside import choose_judges, measure_outside
from cxr_predictor.snapshots import Snapshot

COLUMNS = ["upstream_sha256", "pixel_sha256", "patient_id", "group", "class", "source", "age"]


def rows(*records: tuple[object, ...]) -> pd.DataFrame:
    table = pd.DataFrame(records, columns=COLUMNS)
    return table.assign(label=table["class"].map({"COVID": 0, "NORMAL": 1, "PNEUMONIA": 2}))


KNOWN = rows(
    ("s0", "p0", "covid:1", "k0", "COVID", "covid", 40.0), ("s1", "p1", None, "k1", "NORMAL", "pneumonia", None)
)


def test_what_is_known_by_collection_patient_file_pixels_or_link_is_no_judge() -> None:
    table = rows(
        ("s0", "x1", "a:1", "g1", "COVID", "hannover", 40.0),  # the same file
        ("x2", "p1", "a:2", "g2", "NORMAL", "nih", 40.0),  # the same pixels
        ("x3", "x3", "covid:1", "g3", "COVID", "hannover", 40.0),  # the same patient
        ("x4", "x4", "a:4", "g1", "COVID", "hannover", None),  # linked to the first
        ("x5", "x5", None, "g5", "NORMAL", "nih", 40.0),  # of nobody known: not the same as another of nobody known
        ("x6", "x6", "covid:6", "g6", "COVID", "covid", 40.0),  # the same collection
    )
    judges = choose_judges(Snapshot({}, table, np.zeros((6, 2, 2), np.uint8)), KNOWN)
    assert list(judges.rows["upstream_sha256"]) == ["x5"]
    assert len(judges.pictures) == 1


def test_only_normal_adults_are_counted_and_told_from_covid() -> None:
    table = rows(
        *((f"c{n}", f"c{n}", f"h:{n}", f"c{n}", "COVID", "hannover", None) for n in range(3)),
        *((f"n{n}", f"n{n}", f"n:{n}", f"n{n}", "NORMAL", "nih", age) for n, age in enumerate((18.0, 60, 17.9, None))),
    )
    covid = np.array([0.9, 0.6, 0.2, 0.8, 0.1, 0.99, 0.99])
    found = measure_outside(table, np.stack([covid, (1 - covid) * 0.9, (1 - covid) * 0.1], axis=1), 0)
    assert found["images"] == [
        {"class": "COVID", "source": "hannover", "images": 3},
        {"class": "NORMAL", "source": "nih", "images": 4},
    ]
    called, area = found["normal_adults_called_covid"], found["covid_or_normal_auc"]
    assert (called["value"], called["images"]) == (0.5, 2)
    assert (area["value"], area["images"]) == (0.6667, 5)


def test_what_the_judges_lack_the_images_for_is_not_measured() -> None:
    table = rows(("c", "c", "h:1", "c", "COVID", "hannover", None))
    found = measure_outside(table, np.array([[0.9, 0.1, 0.0]]), 0)
    assert found["normal_adults_called_covid"] is None
    assert found["covid_or_normal_auc"] is None
    nobody = measure_outside(table.head(0), np.zeros((0, 3)), 0)
    assert nobody["images"] == []
