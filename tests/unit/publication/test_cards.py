from __future__ import annotations

import re

import pandas as pd
import pytest
import yaml

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.inspection.forms import SMALL, Form
from cxr_snapshot.publication.cards import attribution, dataset_card, limits, split_counts
from cxr_snapshot.selection.manifest import build_manifest
from cxr_snapshot.sources.base import GENERATED
from support.ledgers import AUDIT, FACTS, FIGURES, ledger, picture, row
from support.words import OF_THE_REAL_ONES

ROWS = [
    row(1, "COVID", picture(1), license="CC BY-NC-ND", age=70.0),
    row(2, "COVID", picture(2, "WEBP"), license=None, age=31.0, split="test"),
    row(3, "NORMAL", picture(3)),
    row(4, "PNEUMONIA", picture(4)),
]
MANIFEST = build_manifest(ledger(*ROWS))
NAMED = FACTS | {
    "audit": AUDIT | {"checks": 14, "passed": 14, "figures": FIGURES | {"border_pictures": None}},
    "pictures": SMALL.description,
    "overrides": [],
    "version": "2026-11-03",
    "uri": "s3://bucket/covid-cxr/2026-11-03/",
    "previous": "2026-11-01",
}


@pytest.fixture(scope="module")
def card() -> str:
    return dataset_card(MANIFEST, NAMED).decode()


def test_the_warning_stands_before_everything_else(card: str):
    body = card.split("---\n", 2)[2]
    title, warning = body.strip().split("\n\n")[:2]
    assert title.endswith("snapshot 2026-11-03")
    assert "children of 1 to 5 years" in warning
    assert "Class, source and age group are the same thing" in warning


def test_the_warning_is_measured_when_controls_come_from_the_same_collection():
    adult = row(5, "NORMAL", picture(5), source="covid")
    text = limits(build_manifest(ledger(*ROWS, adult)))
    assert text.startswith("2 of 3 `NORMAL` and `PNEUMONIA` images show children")
    assert "almost the same thing" in text


@pytest.mark.parametrize(
    ("ages", "adults"), [((40.0, 50.0), True), ((40.0, 17.0), False), ((40.0, None), False), ((None, None), False)]
)
def test_the_card_speaks_of_age_unless_the_controls_are_adults(ages: tuple[float | None, ...], adults: bool):
    kinds = zip((5, 6), ("NORMAL", "PNEUMONIA"), ages, strict=True)
    controls = [row(number, kind, picture(number), age=age) for number, kind, age in kinds]
    text = dataset_card(build_manifest(ledger(*ROWS[:2], *controls)), NAMED).decode()
    assert ("**Class and source are the same thing in this dataset.**" in text) == adults
    assert ("**Class, source and age group are the same thing in this dataset.**" in text) != adults
    assert ("from the others by image size" in text) == adults
    assert ("of whom there are few or none" in text) != adults


def test_the_front_matter_lists_the_splits_that_have_shards(card: str):
    front = card.split("---\n", 2)[1]
    assert front.count("- split: ") == 2
    assert "path: data/train-*.parquet" in front
    assert "path: data/test-*.parquet" in front
    assert "license: other" in front


def test_the_card_tells_what_the_audit_found(card: str):
    section = card.split("## What the audit found")[1].split("\n## ", maxsplit=1)[0]
    assert "**It teaches the source.** 14 of 14 checks passed." in section
    assert "| border strip and corners | 80 % | not measured |" in section
    assert "`audit.html`" in section


def test_the_card_says_at_its_top_what_was_overridden_and_by_whom(card: str):
    assert "overridden" not in card
    finding = "COVID has 60 candidates and had 100."
    by_person = {"finding": finding, "how": "approval", "run": "manual__1", "user": "<b>*eve*", "time": "10:00"}
    facts = NAMED | {"overrides": [by_person], "audit": NAMED["audit"] | {"passed": 13}}
    text = dataset_card(MANIFEST, facts).decode()
    third = text.split("---\n", 2)[2].strip().split("\n\n")[2]
    said = f"{finding} Accepted by \\<b\\>\\*eve\\* in run manual\\_\\_1 at 10:00."
    assert third == f"> **A failed check was overridden.** {said}"
    assert "13 of 14 checks passed, 1 failed and was accepted by \\<b\\>\\*eve\\*." in text


def test_counts_ages_and_licences_are_those_of_the_manifest(card: str):
    assert "| `COVID` | 2 | `covid` 2 | 1 | 1 | 2 |" in card
    assert "`COVID` 31 to 70 years, median 50.5, known for 2 images; `NORMAL` not stated" in card
    assert "| (none stated) | 1 |" in card
    assert "The licence of 1 image forbids derivatives, and for 1 image none is named" in card


def test_a_single_image_is_no_images():
    one = dataset_card(build_manifest(ledger(ROWS[0])), NAMED | {"previous": None}).decode()
    assert "\n1 chest X-ray (frontal views), equally many of each class, of 1 patient." in one
    assert "`COVID` 70 to 70 years, median 70, known for 1 image; `NORMAL` not stated for any image" in one
    assert "The licence of 1 image forbids derivatives, and for 0 images none is named" in one


def test_the_files_of_a_first_snapshot_speak_of_no_other(card: str):
    assert "| `changes.json`, `CHANGES.md` | what changed since 2026-11-01 |" in card
    first = dataset_card(MANIFEST, NAMED | {"previous": None}).decode()
    assert "| `changes.json`, `CHANGES.md` | that this is the first snapshot |" in first
    assert "what changed since" not in first


def test_it_says_who_is_in_it_and_how_to_cite_this_very_snapshot(card: str):
    assert "| Sex | F 0, M 0, not stated 4 |" in card
    assert "| Age | stated for 2 of 4; by class above |" in card
    assert "stated by no upstream, so nobody can say who is missing" in card
    assert f"  note    = {{content digest {'c' * 64}}}" in card
    assert "**Privacy:**" in card
    assert "](preview.jpg)" in card
    generated = dataset_card(MANIFEST, NAMED | {"synthetic": True}).decode()
    assert "STANDING" not in generated
    assert "@misc" not in generated


class TestUniform:
    FORM = Form(512, uniform=True)
    MADE = pd.DataFrame({"sha256": {each["sha256"]: each["sha256"][::-1] for each in ROWS}}).assign(**FORM.facts)
    MANIFEST = build_manifest(ledger(*ROWS), MADE)
    FACTS = NAMED | {"files": FORM.description, "settings": NAMED["settings"] | {"files": "uniform"}}
    CARD = dataset_card(MANIFEST, FACTS).decode()

    def test_nothing_speaks_of_original_files(self, card: str):
        assert "original files" in card
        assert "original file" not in self.CARD
        assert "Keras passes over" not in self.CARD, "all are PNG"
        assert "by image size" not in limits(self.MANIFEST, uniform=True)

    def test_what_was_done_is_said(self, card: str):
        section = self.CARD.split("## The files under `images/`\n\n")[1].split("\n\n##")[0].replace("\n", " ")
        for words in (
            "squeezed to 512 x 512 pixels",
            f"every file has {self.FORM.facts['bytes']} bytes",
            "source_sha256",
        ):
            assert words in section, words
        assert "## The files under" not in card

    def test_what_licences_say_of_altered_copies_is_said(self):
        section = self.CARD.split("## Licences\n\n")[1].split("\n\n##")[0].replace("\n", " ")
        assert "The licence of 1 image forbids derivatives" in section
        assert "All files under `images/`" in section
        assert "`licences=no-NoDerivatives`" in section
        changed = attribution(self.MANIFEST, self.FORM)
        assert set(changed["change"]) == {"made gray, squeezed to 512 x 512 pixels"}
        assert "change" not in attribution(MANIFEST)


class TestGenerated:
    CARD = dataset_card(
        MANIFEST, NAMED | {"synthetic": True, "licences": {"covid": None, "pneumonia": "CC BY"}}
    ).decode()

    def test_the_banner_is_the_warning(self):
        title, warning = self.CARD.split("---\n", 2)[2].strip().split("\n\n")[:2]
        assert title == "# Generated sample in place of chest X-rays: snapshot 2026-11-03"
        assert warning == f"> **Read this before you train on it.** {SYNTHETIC}"

    def test_the_front_matter_is_yaml_and_says_it(self):
        front = yaml.safe_load(self.CARD.split("---\n")[1])
        assert front["pretty_name"] == "Generated sample in place of chest X-rays"
        assert front["license_name"] == "generated-data"
        assert front["license_details"] == GENERATED.licence
        assert front["tags"] == ["medical", "chest-x-ray", "covid-19", "synthetic"]
        assert front["size_categories"] == ["n<1K"]

    def test_nothing_is_claimed_that_is_true_of_the_real_ones_only(self, card: str):
        claimed = re.sub("<details>.*</details>", "", self.CARD, flags=re.DOTALL)  # not what columns mean
        for word in OF_THE_REAL_ONES:
            assert re.search(word, card, re.IGNORECASE), word
            assert not re.search(word, claimed, re.IGNORECASE), word

    def test_licences_are_those_of_the_columns_alone(self):
        assert self.CARD.split("## Licences\n\n")[1].split("\n\n##")[0] == GENERATED.licence
        titles = attribution(MANIFEST, synthetic=True)["source_title"]
        assert set(titles) == {"Generated sample, drawn by a program"}


def test_the_card_says_which_files_keras_does_not_see(card: str):
    assert "Keras passes over 1 original file in WebP without a word." in " ".join(card.split())
    without = dataset_card(build_manifest(ledger(*(row for row in ROWS if row["format"] != "WEBP"))), NAMED)
    assert b"Keras passes over" not in without


def test_the_links_at_the_top_lead_to_sections(card: str):
    titles = {f"#{title.lower().replace(' ', '-')}" for title in re.findall("^## (.+)$", card, re.MULTILINE)}
    links = re.findall(r"\]\((#[^)]+)\)", card)
    assert len(links) == 5
    assert set(links) <= titles
    assert set(re.findall(r"\]\((#[^)]+)\)", TestGenerated.CARD)) == set(links) - {"#please-cite"}


def test_both_collections_are_cited(card: str):
    assert "arXiv:2006.11988" in card
    assert "10.1016/j.cell.2018.02.010" in card


def test_attribution_has_a_row_for_each_image_and_marks_what_may_not_be_changed():
    rows = {row["file"]: row for row in attribution(MANIFEST).to_dict("records")}
    assert set(rows) == set(MANIFEST["file"])
    by_path = {found["path"]: found for found in rows.values()}
    flags = {path.rsplit("/")[-1]: found["no_derivatives"] for path, found in by_path.items()}
    assert flags == {"1.jpg": "yes", "2.jpg": "unknown", "3.jpeg": "no", "4.jpeg": "no"}
    first = by_path["images/1.jpg"]
    assert (first["url"], first["doi"], first["license"]) == ("https://example.org/a,b", "10.1000/1", "CC BY-NC-ND")
    assert "ieee8023/covid-chestxray-dataset" in first["source_title"]


def test_splits_without_images_are_not_counted():
    assert split_counts(MANIFEST) == {
        "train": {"COVID": 1, "NORMAL": 1, "PNEUMONIA": 1},
        "test": {"COVID": 1, "NORMAL": 0, "PNEUMONIA": 0},
    }
