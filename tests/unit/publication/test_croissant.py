from __future__ import annotations

import json

import pandas as pd
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
SNAPSHOT |= {"revisions": {"covid": "a" * 40, "pneumonia": "2"}, "splits": {"train": {}, "test": {}}}
SNAPSHOT |= {"code_version": "1.2.3", "audit": {"headline": "It teaches the source."}}
LICENCES = ["CC BY-NC-ND 4.0", "CC BY", "CC BY", "listed as authorized for everyone", None]
FORMATS = ["PNG", "JPEG", "PNG", "PNG", "PNG"]
IMAGES = pd.DataFrame({"format": FORMATS, "license": LICENCES, "class": "NORMAL", "age": 3.0})


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2026-11-23", "2026.11.23"), ("2026-01-03", "2026.1.3"), ("2026-11-03.12", "2026.11.3+12")],
)
def test_versions_follow_semantic_versioning(version, expected):
    assert semantic_version(version) == expected


def test_every_file_is_there_with_its_checksum():
    found = croissant(FILES, IMAGES, "Take care.", SNAPSHOT)
    objects = [item for item in found["distribution"] if item["@type"] == "cr:FileObject"]
    assert [(item["contentUrl"], item["contentSize"], item["sha256"]) for item in objects] == [
        ("manifest.parquet", "10 B", "a" * 64),
        ("data/train-00000-of-00001.parquet", "20 B", "b" * 64),
    ]
    images = next(item for item in found["distribution"] if item["@id"] == "images")
    assert images["encodingFormat"] == ["image/jpeg", "image/png"]


def test_uniform_files_are_not_said_to_be_the_original_ones():
    for more, said in (({}, "The original files;"), ({"files": {}}, "The images, all in one form;")):
        found = croissant(FILES, IMAGES, "Take care.", SNAPSHOT | more)
        images = next(item for item in found["distribution"] if item["@id"] == "images")
        assert images["description"].startswith(said)


def test_the_records_have_every_column_of_the_manifest_and_the_warning_is_in_the_description():
    found = croissant(FILES, IMAGES, "Take care.", SNAPSHOT)
    records = {item["name"]: item for item in found["recordSet"]}
    assert [field["name"] for field in records["manifest"]["field"]] == list(MANIFEST_COLUMNS)
    assert {field["name"] for field in records["examples"]["field"]} >= {"image", "label", "split"}
    assert "Take care." in found["description"]


def test_what_is_generated_says_so_and_claims_no_rights():
    found = croissant(FILES, IMAGES, SYNTHETIC, SNAPSHOT | {"synthetic": True})
    assert found["name"] == "covid-cxr-sample"
    assert found["description"].endswith(SYNTHETIC)
    assert found["license"] == [GENERATED.licence]
    assert found["creator"] == [{"@type": "sc:Organization", "name": GENERATED.title}]
    assert "synthetic" in found["keywords"]
    real = croissant(FILES, IMAGES, "Take care.", SNAPSHOT)
    assert "synthetic" not in json.dumps(real)
    assert found.keys() == real.keys()


def test_each_licence_says_what_it_forbids():
    found = {each["name"]: each for each in croissant(FILES, IMAGES, "Take care.", SNAPSHOT)["usageInfo"]}
    assert {name: [each["odrl:action"]["@id"] for each in found[name]["odrl:prohibition"]] for name in found} == {
        "(none stated)": [],
        "CC BY": [],
        "CC BY-NC-ND 4.0": ["cc:DerivativeWorks", "cc:CommercialUse"],
        "listed as authorized for everyone": [],
    }
    assert found["CC BY"]["description"].startswith("2 images;")
    assert "name no licence" not in found["CC BY"]["description"]
    for name in ("(none stated)", "listed as authorized for everyone"):
        assert "name no licence" in found[name]["description"]


def test_it_says_what_it_was_made_of_and_what_it_must_not_be_used_for():
    found = croissant(FILES, IMAGES, "Take care.", SNAPSHOT)
    assert [each["prov:label"].split(", at ")[1] for each in found["prov:wasDerivedFrom"]] == ["a" * 40, "2"]
    assert "1.2.3" in json.dumps(found["prov:wasGeneratedBy"])
    assert found["rai:dataBiases"] == ["Take care.", "It teaches the source."]
    assert any(text.startswith("Not for: diagnosis") for text in found["rai:dataUseCases"])
    made_up = croissant(FILES, IMAGES, SYNTHETIC, SNAPSHOT | {"synthetic": True})
    assert made_up["rai:personalSensitiveInformation"] == ["None: all of it is made up."]


def test_splits_and_labels_are_named_as_such():
    records = {item["name"]: item for item in croissant(FILES, IMAGES, "Take care.", SNAPSHOT)["recordSet"]}
    assert records["splits"]["data"] == [
        {"splits/name": "train", "splits/url": "cr:TrainingSplit"},
        {"splits/name": "test", "splits/url": "cr:TestSplit"},
    ]
    for name, labels in (("manifest", ["class"]), ("examples", ["label", "class"])):
        fields = {field["name"]: field for field in records[name]["field"]}
        assert [each for each, field in fields.items() if "cr:Label" in field["dataType"]] == labels
        assert fields["split"]["references"] == {"field": {"@id": "splits/name"}}
        assert all(field["description"] for field in fields.values())
