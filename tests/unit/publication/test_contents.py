from __future__ import annotations

import pytest

from cxr_snapshot.publication.contents import columns, images_and_patients, images_by_class, sources_named
from cxr_snapshot.publication.dictionary import MANIFEST
from cxr_snapshot.selection.manifest import build_manifest
from support.ledgers import FACTS, ledger, picture, row

ROWS = build_manifest(
    ledger(
        row(1, "COVID", picture(1), age=70.0),
        row(2, "COVID", picture(2), age=None),
        row(3, "NORMAL", picture(3)),
        row(4, "NORMAL", picture(4), source="covid"),
    )
)


@pytest.mark.parametrize(
    ("unnamed", "said"),
    [
        (0, "of 4 patients."),
        (1, "of 3 patients; for 1 image none is named."),
        (4, "of 0 patients; for 4 images none is"),
    ],
)
def test_images_and_patients_are_counted(unnamed: int, said: str):
    rows = ROWS.copy()
    rows["patient_id"] = [None] * unnamed + [f"covid:{number}" for number in range(4 - unnamed)]
    text = images_and_patients(rows, "frontal", synthetic=False)
    assert text.startswith("4 chest X-rays (frontal views), equally many of each class, of ")
    assert said in text
    assert "4 drawings " in images_and_patients(rows, "frontal", synthetic=True)


def test_each_class_says_where_it_is_from():
    table = images_by_class(ROWS, FACTS, {"train": {"COVID": 2, "NORMAL": 2, "PNEUMONIA": 0}}).splitlines()
    assert table[0] == "| class | images | from | train | candidates before balancing |"
    assert table[2:] == [
        "| `COVID` | 2 | `covid` 2 | 2 | 2 |",
        "| `NORMAL` | 2 | `covid` 1, `pneumonia` 1 | 2 | 3 |",
        "| `PNEUMONIA` | 2 |  | 0 | 2 |",
    ]
    named = sources_named(["covid", "pneumonia"], synthetic=False)
    assert named.startswith("`covid`: COVID-19 Image Data Collection, https://github.com/ieee8023/")
    assert "; `pneumonia`: Labeled Chest X-Ray Images, " in named


def test_each_column_says_what_it_means_and_how_many_cells_are_empty():
    lines = [line for line in columns(ROWS).splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [column.name for column in MANIFEST]
    assert all(line.count("|") == 4 for line in lines), "a cell holds a bar"
    assert "| `age` | age of the patient, in years | 3 |" in lines
    assert "| `sha256` | SHA-256 of the file; 64 hex digits |  |" in lines
