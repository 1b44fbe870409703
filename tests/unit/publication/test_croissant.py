from __future__ import annotations

import json

import pytest

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.publication.croissant import DescribedFile, croissant, semantic_version
from cxr_snapshot.sources.base import GENERATED
from cxr_snapshot.tables import MANIFEST_COLUMNS

FILES = [
    DescribedFile("manifest.parquet", 10, "a" * 64),
    DescribedFile("data/train-00000-of-00001.parquet", 20, "b" * 64),
]
SNAPSHOT = {"version": "2026-11-03", "created": "2026-11-03T03:00:00+00:00", "uri": "s3://b/p/2026-11-03/"}
SNAPSHOT |= {"revisions": {"covid": "a" * 40, "pneumonia": "2"}}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2026-11-23", "2026.11.23"), ("2026-01-03", "2026.1.3"), ("2026-11-03.12", "2026.11.3+12")],
)
def test_versions_follow_semantic_versioning(version, expected):
    assert semantic_version(version) == expected


def test_every_file_is_there_with_its_checksum():
    found = croissant(FILES, ["JPEG", "PNG"], "Take care.", SNAPSHOT)
    objects = [item for item in found["distribution"] if item["@type"] == "cr:FileObject"]
    assert [(item["contentUrl"], item["contentSize"], item["sha256"]) for item in objects] == [
        ("manifest.parquet", "10 B", "a" * 64),
        ("data/train-00000-of-00001.parquet", "20 B", "b" * 64),
    ]
    images = next(item for item in found["distribution"] if item["@id"] == "images")
    assert images["encodingFormat"] == ["image/jpeg", "image/png"]


def test_uniform_files_are_not_said_to_be_the_original_ones():
    for more, said in (({}, "The original files;"), ({"files": {}}, "The images, all in one form;")):
        found = croissant(FILES, ["PNG"], "Take care.", SNAPSHOT | more)
        images = next(item for item in found["distribution"] if item["@id"] == "images")
        assert images["description"].startswith(said)


def test_the_records_have_every_column_of_the_manifest_and_the_warning_is_in_the_description():
    found = croissant(FILES, ["JPEG"], "Take care.", SNAPSHOT)
    records = {item["name"]: item for item in found["recordSet"]}
    assert [field["name"] for field in records["manifest"]["field"]] == list(MANIFEST_COLUMNS)
    assert {field["name"] for field in records["examples"]["field"]} >= {"image", "label", "split"}
    assert "Take care." in found["description"]


def test_what_is_generated_says_so_and_claims_no_rights():
    found = croissant(FILES, ["JPEG"], SYNTHETIC, SNAPSHOT | {"synthetic": True})
    assert found["name"] == "covid-cxr-sample"
    assert found["description"].endswith(SYNTHETIC)
    assert found["license"] == [GENERATED.licence]
    assert found["creator"] == [{"@type": "sc:Organization", "name": GENERATED.title}]
    assert "synthetic" in found["keywords"]
    real = croissant(FILES, ["JPEG"], "Take care.", SNAPSHOT)
    assert "synthetic" not in json.dumps(real)
    assert found.keys() == real.keys()
