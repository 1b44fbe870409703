"""What each file and each column of a snapshot means, once for all who tell it.

Card, Croissant description, ``data_dictionary.csv``, command line and ``docs/schema.md`` are made from this. Where a
column comes from is a matter of each collection, whose file says it (``About.columns``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from cxr_snapshot.inspection.forms import form_of_files, form_of_pictures
from cxr_snapshot.sources import about

DICTIONARY = "data_dictionary.csv"
PREVIEW = "preview.jpg"
DICTIONARY_COLUMNS = ("table", "column", "type", "unit", "meaning", "values", "from", "null")

NEVER = "never"  # a column whose cells are never empty
_NOT_STATED = "not stated"
_UNREAD = "not stated, or not readable: see `clinical_text`"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: as in its header.
        meaning: what a cell says, in words; Markdown.
        kind: ``text``, ``whole number``, ``number`` or ``struct``.
        unit: of a number, where it has one.
        values: what a cell can hold, where that is a short list or a form.
        origin: where all its cells come from; empty where each collection says it for its own.
        null: what an empty cell means.
    """

    name: str
    meaning: str
    kind: str = "text"
    unit: str = ""
    values: str = ""
    origin: str = ""
    null: str = _NOT_STATED

    @property
    def described(self) -> str:
        """Meaning, unit and values in one line of Markdown."""
        return "; ".join(filter(None, (f"{self.meaning}, in {self.unit}" if self.unit else self.meaning, self.values)))

    def stated_by(self, sources: Iterable[str], *, synthetic: bool = False) -> str:
        """Say where the cells come from, for those of the collections that fill the column; Markdown."""
        if self.origin or synthetic:
            return self.origin or "made up by a program"
        said: dict[str, list[str]] = {}
        for source in sources:
            if text := about(source).columns.get(self.name):
                said.setdefault(text, []).append(f"`{source}`")
        return "; ".join(f"{', '.join(names)}: {text}" for text, names in said.items())


_MADE, _BYTES, _DECODED = "made here", "computed from the bytes", "decoded"
_HEX = "64 hex digits"
_WHOLE = "whole number"
_ANSWER = "`Y` or `N`"

MANIFEST = (
    Column(
        "file",
        "path within the snapshot",
        values="`images/<class>/<source>-<first 16 digits of sha256>.<jpg, png or webp>`",
        origin=_MADE,
        null=NEVER,
    ),
    Column("class", "what the image shows", values="`COVID`, `NORMAL` or `PNEUMONIA`", null=NEVER),
    Column("source", "the collection that the image is from", values="such as `covid`", origin=_MADE, null=NEVER),
    Column("revision", "state of the upstream that was read", null=NEVER),
    Column("path", "path within the upstream", origin="upstream", null=NEVER),
    Column(
        "metadata_line",
        "first line of the image's row in the upstream's table, the header being line 1",
        _WHOLE,
        null="the upstream has no such table",
    ),
    Column(
        "patient_id",
        "the patient, with the source before a colon and in one spelling, such as `covid:12` or `pneumonia:person123`",
    ),
    Column("finding", "the upstream's own words", null=NEVER),
    Column("subtype", "cause of a pneumonia", values="`viral` or `bacterial`"),
    Column("view", "projection in the upstream's own words, such as `PA` or `AP Supine`"),
    Column("age", "age of the patient", "number", unit="years", null="not stated, or not readable"),
    Column("sex", "sex of the patient", values="`M` or `F`", null="not stated, or not readable"),
    Column("license", "licence in the upstream's own words"),
    Column("url", "page that the image is from"),
    Column("doi", "DOI of the publication"),
    Column(
        "upstream_split",
        "part of the upstream's own division; not to be used, since patients span it",
        values="`train`, `val` or `test`",
        null="the upstream has none",
    ),
    Column("sha256", "SHA-256 of the file", values=_HEX, origin=_BYTES, null=NEVER),
    Column(
        "source_sha256",
        "SHA-256 of the upstream's file that it was made from; equal to `sha256` where the files are the original ones",
        values=_HEX,
        origin=_BYTES,
        null=NEVER,
    ),
    Column("bytes", "size of the file", _WHOLE, unit="bytes", origin=_BYTES, null=NEVER),
    Column("format", "format, judged by content", values="`JPEG`, `PNG` or `WEBP`", origin=_DECODED, null=NEVER),
    Column(
        "mode",
        "pixel format in Pillow's words, such as `L` (8-bit gray), `RGB`, `RGBA`, `P`",
        origin=_DECODED,
        null=NEVER,
    ),
    Column(
        "width",
        "width of the file, before EXIF data turns it",
        _WHOLE,
        unit="pixels",
        origin=_DECODED,
        null=NEVER,
    ),
    Column("height", "height, likewise", _WHOLE, unit="pixels", origin=_DECODED, null=NEVER),
    Column(
        "pixel_sha256",
        "SHA-256 of size and decoded pixels, upright, over black where transparent, at 8 bits; equal for the same "
        "picture in two files",
        values=_HEX,
        origin=_DECODED,
        null=NEVER,
    ),
    Column(
        "phash",
        "perceptual hash of 256 bits of the same pixels; few different bits mean pictures that look alike",
        values=_HEX,
        origin=_DECODED,
        null=NEVER,
    ),
    Column(
        "group",
        "name of the set of patients and pictures that must stay together",
        origin="computed from patients and `phash`",
        null=NEVER,
    ),
    Column(
        "split",
        "recommended split",
        values="`train`, `validation` or `test`",
        origin="salted hash of `group`",
        null=NEVER,
    ),
    Column(
        "offset_days",
        "days since the first symptoms or admission, when the image was taken",
        _WHOLE,
        unit="days",
        null=_UNREAD,
    ),
    Column("survival", "whether the patient survived", values=_ANSWER, null=_UNREAD),
    Column(
        "rt_pcr_positive", "whether a test for the virus was positive", values="`Y`, `N` or `Unclear`", null=_UNREAD
    ),
    Column("went_icu", "whether the patient was in intensive care at any time", values=_ANSWER, null=_UNREAD),
    Column("in_icu", "whether the patient was there when the image was taken", values=_ANSWER, null=_UNREAD),
    Column("intubated", "whether the patient was intubated or ventilated at any time", values=_ANSWER, null=_UNREAD),
    Column("intubation_present", "whether so when the image was taken", values=_ANSWER, null=_UNREAD),
    Column("needed_supplemental_o2", "whether the patient needed oxygen at any time", values=_ANSWER, null=_UNREAD),
    Column("temperature", "temperature of the patient, 30 to 45", "number", unit="degrees Celsius", null=_UNREAD),
    Column("po2_saturation", "saturation with oxygen, 0 to 100", "number", unit="percent", null=_UNREAD),
    Column("leukocyte_count", "leukocytes in the blood", "number", unit="thousands in a microlitre", null=_UNREAD),
    Column("neutrophil_count", "neutrophils in the blood", "number", unit="thousands in a microlitre", null=_UNREAD),
    Column("lymphocyte_count", "lymphocytes in the blood", "number", unit="thousands in a microlitre", null=_UNREAD),
    Column(
        "date",
        "when the image was taken, as exactly as it is stated",
        values="`YYYY`, `YYYY-MM` or `YYYY-MM-DD`",
        null=_UNREAD,
    ),
    Column("location", "where, in the upstream's own words: hospital, city, country"),
    Column(
        "clinical_text",
        "cells of the columns from `offset_days` on that could not be read, in the upstream's own words",
        values="a JSON object of texts by column",
        null="all were read, or are empty",
    ),
)

SHARDS = (
    Column(
        "image",
        "a PNG made from the same pixels as `pixel_sha256`: 8-bit gray, 224 x 224 pixels (setting `picture_size`: "
        "or 512 x 512), aspect ratio kept, black borders; with `files=uniform` squeezed into the square and not "
        "compressed; `path` equals `file`",
        "struct",
        values="`bytes` (binary) and `path` (text)",
        origin=_MADE,
        null=NEVER,
    ),
    Column(
        "label",
        "the number that torchvision and Keras give the class",
        _WHOLE,
        values="0 `COVID`, 1 `NORMAL`, 2 `PNEUMONIA`",
        origin=_MADE,
        null=NEVER,
    ),
)

_IN_MANIFEST = {column.name: column for column in MANIFEST}


def _like(name: str, **others: str) -> Column:
    """Return the column of the manifest of this name, but for what other fields say."""
    return replace(_IN_MANIFEST[name], **others)


EXCLUDED = (
    _like("source"),
    _like("path", null="a row of the table that names no file"),
    _like("metadata_line", null="no row names the file"),
    _like("class", meaning="the class that it would have", null="none of the three, or not known"),
    Column("rule", "name of the rule that left it out", origin=_MADE, null=NEVER),
    Column("reason", "the rule in a sentence", origin=_MADE, null=NEVER),
    Column("evidence", "what was found in this case", origin=_MADE, null="nothing more to say"),
    _like("patient_id"),
    _like("finding", null=_NOT_STATED),
    _like("view"),
    _like(
        "sha256",
        meaning="SHA-256 of the upstream's file",
        null="there is no file, or it is no image of the collection",
    ),
    _like("revision"),
)

CHANGE = Column(
    "change", "what was done to the upstream's file; there only with `files=uniform`", origin=_MADE, null=NEVER
)
ATTRIBUTION = (
    _like("file"),
    _like("source"),
    Column("source_title", "name and address of the upstream; of generated data, that it is", origin=_MADE, null=NEVER),
    _like("path"),
    _like("url"),
    _like("doi"),
    _like("license"),
    Column(
        "no_derivatives",
        "whether the licence forbids derivatives",
        values="`yes`, `no`, or `unknown` where no licence is named",
        origin="read from `license`",
        null=NEVER,
    ),
)


def tables(settings: Mapping[str, Any]) -> dict[str, tuple[Column, ...]]:
    """Return the columns of each table of a snapshot with these settings, by the names of its files."""
    return {
        "manifest.csv, manifest.parquet": MANIFEST,
        "data/*.parquet": (*SHARDS, *MANIFEST),
        "excluded.csv": EXCLUDED,
        "ATTRIBUTION.csv": (*ATTRIBUTION, *((CHANGE,) if form_of_files(settings) else ())),
    }


def described_files(
    settings: Mapping[str, Any], changes: str = "what changed since the snapshot before, and why"
) -> dict[str, str]:
    """Return what each file of a snapshot is, in Markdown, by name or pattern.

    Args:
        settings: of the snapshot.
        changes: what ``changes.json`` says.
    """
    uniform, side = form_of_files(settings), form_of_pictures(settings).side
    size = f"{side} x {side}"
    made = (
        f"the images, all in one form ({uniform.side} x {uniform.side} 8-bit gray PNG)"
        if uniform
        else "the original files, byte for byte"
    )
    return {
        "images/CLASS/SOURCE-HASH.*": f"{made}, named by their hash; only class folders lie here",
        "data/SPLIT-*.parquet": f"the same images, {size} 8-bit gray, with label and all columns",
        "manifest.csv, manifest.parquet": "a row for each image: class, split, source, patient, licence, checksums",
        "excluded.csv": "a row for everything that was left out: rule, reason, evidence",
        "ATTRIBUTION.csv": "origin and licence of each image",
        DICTIONARY: "what each file and each column means: type, unit, values, where from, empty cells",
        "snapshot.json": "revisions, settings, counts, digests",
        "audit.html, audit.json": "what the dataset teaches besides the disease",
        "changes.json, CHANGES.md": changes,
        "croissant.json": "this dataset in the Croissant format",
        PREVIEW: "a contact sheet",
        "SHA256SUMS": "checksums of all files",
    }


def data_dictionary(settings: Mapping[str, Any], sources: Collection[str], *, synthetic: bool = False) -> pd.DataFrame:
    """Return the content of ``data_dictionary.csv``; a row without ``column`` is of the file itself.

    Args:
        settings: of the snapshot.
        sources: the collections that are in it, in order.
        synthetic: whether the images are generated.
    """
    rows = [(name, "", "", "", meaning, "", _MADE, "") for name, meaning in described_files(settings).items()]
    for table, columns in tables(settings).items():
        rows += [
            (
                table,
                each.name,
                each.kind,
                each.unit,
                each.meaning,
                each.values,
                each.stated_by(sources, synthetic=synthetic),
                each.null,
            )
            for each in columns
        ]
    plain = [[cell.replace("`", "") for cell in row] for row in rows]
    return pd.DataFrame(plain, columns=list(DICTIONARY_COLUMNS), dtype="string")


def markdown_table(columns: Iterable[Column], sources: Collection[str]) -> str:
    """Return the table that ``docs/schema.md`` has of columns."""
    rows = [("column", "type", "meaning", "where it comes from", "empty"), ("---",) * 5]
    rows += [(f"`{each.name}`", each.kind, each.described, each.stated_by(sources), each.null) for each in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
