"""Reads CSV FILES with four readers, and prints the cells that each gets, as text."""

import csv
import json
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv


def as_text(rows):
    return [["" if cell is None else cell for cell in row] for row in rows]


found = []
for file in sys.argv[1:]:
    with Path(file).open(encoding="utf-8", newline="") as stream:
        header, *plain = csv.reader(stream)
    texts = arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    arrow = arrow_csv.read_csv(file, convert_options=texts)
    duck = duckdb.sql(f"select * from read_csv('{file}', all_varchar = true)")
    found.append(
        {
            "header": header,
            "csv": plain,
            "pandas": pd.read_csv(file, dtype=str, keep_default_na=False).to_numpy().tolist(),
            "pyarrow": as_text(row.values() for row in arrow.to_pylist()),
            "duckdb": as_text(duck.fetchall()),
            # How many rows, and which columns, they find without being told anything.
            "untold": [
                [len(pd.read_csv(file)), list(pd.read_csv(file))],
                [arrow_csv.read_csv(file).num_rows, arrow_csv.read_csv(file).column_names],
                [len(duckdb.read_csv(file)), duckdb.read_csv(file).columns],
            ],
        }
    )
print(json.dumps(found))
