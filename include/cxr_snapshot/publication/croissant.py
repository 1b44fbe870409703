"""Describes a snapshot in Croissant 1.1, which search engines and dataset loaders read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from cxr_snapshot.publication.advice import has_adult_controls
from cxr_snapshot.publication.cards import citations, pretty_name
from cxr_snapshot.publication.dictionary import MANIFEST, SHARDS, Column
from cxr_snapshot.publication.responsibility import PREFIXES, RAI, conditions, provenance, responsible
from cxr_snapshot.sources import about
from cxr_snapshot.sources.base import GENERATED

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **PREFIXES,
    "arrayShape": "cr:arrayShape",
    "containedIn": "cr:containedIn",
    "description": {"@container": "@language"},
    "isArray": "cr:isArray",
    "name": {"@container": "@language"},
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_FORMATS = {
    "csv": "text/csv",
    "parquet": "application/x-parquet",
    "json": "application/json",
    "jpg": "image/jpeg",
    "html": "text/html",
}
_IMAGE_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_TYPES = {"text": "sc:Text", "whole number": "sc:Integer", "number": "sc:Float", "struct": "sc:ImageObject"}


_LABELS = ("class", "label")
_SPLITS = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}


@dataclass(frozen=True)
class DescribedFile:
    """A file of the snapshot: its name, size in bytes and SHA-256 in hex."""

    name: str
    size: int
    sha256: str


def croissant(
    files: Sequence[DescribedFile], manifest: pd.DataFrame, warning: str, snapshot: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of ``croissant.json``.

    Args:
        files: the tables and shards; ``manifest.parquet`` is among them.
        manifest: columns of ``MANIFEST_SCHEMA``.
        warning: what everybody must know before use.
        snapshot: what ``snapshot.json`` says.
    """
    synthetic = snapshot.get("synthetic", False)
    formats = sorted(set(manifest["format"]))
    licences = {
        str(text): int(count) for text, count in manifest["license"].fillna("").value_counts().sort_index().items()
    }
    sources = dict.fromkeys(about(name, synthetic=synthetic) for name in snapshot["revisions"])
    what = pretty_name(synthetic=True) if synthetic else "Balanced chest X-rays"
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", RAI],
        "name": "covid-cxr-sample" if synthetic else "covid-cxr",
        "description": f"{what} of the classes COVID, NORMAL and PNEUMONIA. {warning}",
        "version": semantic_version(snapshot["version"]),
        "datePublished": snapshot["created"],
        "url": snapshot["uri"],
        "license": [
            *(each.licence_url for each in sources if each.licence_url),
            GENERATED.licence if synthetic else "See ATTRIBUTION.csv for the licence of each image",
        ],
        "citeAs": "Nothing is to be cited for generated data." if synthetic else citations(snapshot["revisions"]),
        "creator": [{"@type": "sc:Organization", "name": each.reference} for each in sources],
        "keywords": [
            *("chest X-ray", "COVID-19", "pneumonia", "image classification"),
            *(["synthetic"] if synthetic else []),
        ],
        "usageInfo": conditions(licences, synthetic=synthetic),
        "distribution": [*map(_file_object, files), *_file_sets(formats, uniform="files" in snapshot)],
        "recordSet": [_splits(snapshot["splits"]), _manifest_records(), _example_records()],
        **provenance(snapshot),
        **responsible(snapshot, warning, adults=has_adult_controls(manifest)),
    }


def semantic_version(version: str) -> str:
    """Turn a snapshot's name into the form that Croissant asks for: ``2026-11-03.1`` becomes ``2026.11.3+1``."""
    day, _, number = version.partition(".")
    when = date.fromisoformat(day)
    return f"{when.year}.{when.month}.{when.day}" + (f"+{number}" if number else "")


def _file_object(file: DescribedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.name,
        "contentSize": f"{file.size} B",
        "encodingFormat": _FORMATS[file.name.rsplit(".", 1)[-1]],
        "sha256": file.sha256,
    }


def _file_sets(image_formats: Sequence[str], *, uniform: bool) -> list[dict[str, Any]]:
    files = "The images, all in one form" if uniform else "The original files"
    return [
        {
            "@type": "cr:FileSet",
            "@id": "images",
            "name": "images",
            "description": f"{files}; the folder is the class. SHA256SUMS has their checksums.",
            "encodingFormat": [_IMAGE_FORMATS[name] for name in sorted(image_formats)],
            "includes": "images/*/*",
        },
        {
            "@type": "cr:FileSet",
            "@id": "shards",
            "name": "shards",
            "description": "The same images, small and gray, with label and all columns, by split.",
            "encodingFormat": "application/x-parquet",
            "includes": "data/*.parquet",
        },
    ]


def _splits(names: Iterable[str]) -> dict[str, Any]:
    fields = [("name", "sc:Text"), ("url", ["sc:URL", "cr:Split"])]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The recommended splits.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"splits/{name}", "name": name, "dataType": kind} for name, kind in fields
        ],
        "data": [{"splits/name": name, "splits/url": _SPLITS[name]} for name in names],
    }


def _manifest_records() -> dict[str, Any]:
    table = {"fileObject": {"@id": "manifest.parquet"}}
    return {
        "@type": "cr:RecordSet",
        "@id": "manifest",
        "name": "manifest",
        "description": "A record for each image.",
        "key": {"@id": "manifest/file"},
        "field": [_field("manifest", column, table) for column in MANIFEST],
    }


def _example_records() -> dict[str, Any]:
    shards = {"fileSet": {"@id": "shards"}}
    columns = {column.name: column for column in (*SHARDS, *MANIFEST)}
    fields = [_field("examples", columns[name], shards) for name in ("image", "label", "class", "split", "file")]
    fields[0]["source"]["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:RecordSet",
        "@id": "examples",
        "name": "examples",
        "description": "The small gray images with label, class and recommended split.",
        "field": fields,
    }


def _field(records: str, column: Column, file: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{column.name}",
        "name": column.name,
        "description": column.described.replace("`", ""),
        "dataType": [_TYPES[column.kind], "cr:Label"] if column.name in _LABELS else _TYPES[column.kind],
        "source": {**file, "extract": {"column": column.name}},
        **({"references": {"field": {"@id": "splits/name"}}} if column.name == "split" else {}),
    }
