"""The tables and words that every stage shares.

The pipeline passes one table along, the *ledger*: a row for every image of every source and for every metadata row
that matches no image. A stage never drops a row. It fills ``rule``, ``reason`` and ``evidence`` of the rows that it
excludes, so what is left without a rule at the end is the manifest, and the counts add up by construction.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

# Of Arrow's allocators this one gives back soonest what is free again. A stage makes several tables one after another.
if "jemalloc" in pa.supported_memory_backends():
    pa.set_memory_pool(pa.jemalloc_memory_pool())
    pa.jemalloc_set_decay_ms(0)

# How Arrow's types appear in a DataFrame, so that each of them can be missing.
_KINDS = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype(), pa.string(): pd.StringDtype(na_value=pd.NA)}

CLASSES = ("COVID", "NORMAL", "PNEUMONIA")

INVENTORY_SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # within the upstream
        ("bytes", pa.int64()),
        ("upstream_hash", pa.string()),  # what the upstream calls these bytes
        ("sha256", pa.string()),  # name of the blob; null where ignored
        ("ignored", pa.string()),  # rule by which the source dropped the file, else null
    ]
)

INSPECTION_SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("problem", pa.string()),  # rule that the file breaks, else null
        ("detail", pa.string()),  # what was found, in words, where there is a problem
        ("format", pa.string()),  # by content, such as JPEG
        ("mode", pa.string()),  # Pillow's name, such as L or RGBA
        ("width", pa.int64()),  # pixels
        ("height", pa.int64()),  # pixels
        ("pixel_sha256", pa.string()),  # of the decoded pixels
        ("phash", pa.string()),  # 256-bit perceptual hash, 64 hex digits
        ("colour", pa.float64()),  # mean spread between the colour channels, in gray levels of 255; 0 for gray
    ]
)

# What an upstream says of the course of the disease. Few do, so that it gives the source away.
_CLINICAL = [
    ("offset_days", pa.int64()),  # since symptoms or admission
    ("survival", pa.string()),  # this and the next six: Y or N
    ("rt_pcr_positive", pa.string()),  # or Unclear
    ("went_icu", pa.string()),
    ("in_icu", pa.string()),
    ("intubated", pa.string()),
    ("intubation_present", pa.string()),
    ("needed_supplemental_o2", pa.string()),
    ("temperature", pa.float64()),  # degrees Celsius
    ("po2_saturation", pa.float64()),  # percent
    ("leukocyte_count", pa.float64()),  # these three: thousands in a microlitre
    ("neutrophil_count", pa.float64()),
    ("lymphocyte_count", pa.float64()),
]
CLINICAL_COLUMNS = tuple(name for name, _ in _CLINICAL)

LEDGER_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("revision", pa.string()),
        ("path", pa.string()),  # within the upstream; null for a metadata row that names no file
        ("metadata_line", pa.int64()),  # first line of the row in metadata.csv, counted from 1; null without a row
        ("in_upstream", pa.bool_()),  # whether the upstream has a file at ``path``
        ("class", pa.string()),
        ("patient_id", pa.string()),  # prefixed with the source
        ("finding", pa.string()),  # upstream's own words
        ("subtype", pa.string()),  # bacterial or viral, where the upstream says so
        ("view", pa.string()),
        ("modality", pa.string()),
        ("folder", pa.string()),
        ("finding_kind", pa.string()),  # these four: what the upstream's words mean; null for words that are not known
        ("view_kind", pa.string()),
        ("modality_kind", pa.string()),
        ("folder_kind", pa.string()),
        ("age", pa.float64()),  # years
        ("sex", pa.string()),
        ("license", pa.string()),
        ("url", pa.string()),
        ("doi", pa.string()),
        ("upstream_split", pa.string()),
        *_CLINICAL,
        ("date", pa.string()),  # on which the image was taken: YYYY, YYYY-MM or YYYY-MM-DD
        ("location", pa.string()),  # upstream's own words
        ("clinical_text", pa.string()),  # cells of the columns since offset_days that could not be read, a JSON object
        ("mended", pa.string()),  # cells that are not read as they stand in the table, or look damaged
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("pixel_sha256", pa.string()),
        ("phash", pa.string()),
        ("colour", pa.float64()),
        ("cluster", pa.string()),  # same text for pictures that look alike; null where nothing was decoded
        ("group", pa.string()),  # what must stay in one split: patients and pictures that are linked
        ("split", pa.string()),  # train, validation or test
        ("rule", pa.string()),  # null while the record is in
        ("reason", pa.string()),
        ("evidence", pa.string()),
    ]
)

# Where a record was found, not what it is: the first two may change with every upstream commit that changes nothing
# else, and the bytes of the upstream's file without the file that is published. So they do not count as content.
PROVENANCE_COLUMNS = ("revision", "metadata_line", "source_sha256")

MANIFEST_COLUMNS = (
    "file",
    "class",
    "source",
    "revision",
    "path",
    "metadata_line",
    "patient_id",
    "finding",
    "subtype",
    "view",
    "age",
    "sex",
    "license",
    "url",
    "doi",
    "upstream_split",
    "sha256",
    "source_sha256",
    "bytes",
    "format",
    "mode",
    "width",
    "height",
    "pixel_sha256",
    "phash",
    "group",
    "split",
    *CLINICAL_COLUMNS,
    "date",
    "location",
    "clinical_text",
)

EXCLUDED_COLUMNS = (
    "source",
    "path",
    "metadata_line",
    "class",
    "rule",
    "reason",
    "evidence",
    "patient_id",
    "finding",
    "view",
    "sha256",
    "revision",
)

MADE_HERE = ("file", "source_sha256")  # columns of the manifest that the ledger lacks
MANIFEST_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) if name in MADE_HERE else LEDGER_SCHEMA.field(name) for name in MANIFEST_COLUMNS]
)


def empty_frame(schema: pa.Schema) -> pd.DataFrame:
    """Return a table with the columns and types of ``schema`` and no rows."""
    return to_frame(schema.empty_table())


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table into a DataFrame whose integers and booleans can be missing."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_KINDS.get)
    return frame


def to_arrow(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Turn ``frame`` into an Arrow table of exactly ``schema``; equal rows give equal bytes when written.

    Raises:
        KeyError: a column of ``schema`` is missing.
        pyarrow.ArrowInvalid: a value does not fit its column's type.
    """
    columns = [pa.array(frame[field.name], type=field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()  # chunks would show in the file


def conform(frame: pd.DataFrame, schema: pa.Schema) -> pd.DataFrame:
    """Return ``frame`` with the columns of ``schema``, in its order and types; missing ones are filled with nulls."""
    kept, anew = {}, {}
    for field in schema:
        column = frame.get(field.name)
        if column is None:
            anew[field.name] = pa.nulls(len(frame), field.type)
        elif column.dtype == _KINDS.get(field.type, field.type.to_pandas_dtype()):
            kept[field.name] = column.array  # as it is: to build it anew would take the memory of another table
        else:
            anew[field.name] = pa.array(column, type=field.type, from_pandas=True)
    columns = kept | {name: column.array for name, column in to_frame(pa.table(anew)).items()}
    return pd.DataFrame({name: columns[name] for name in schema.names}, index=range(len(frame)))
