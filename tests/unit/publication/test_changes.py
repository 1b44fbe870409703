from __future__ import annotations

import hashlib
from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.audit.words import SYNTHETIC
from cxr_snapshot.publication.changes import (
    KINDS,
    NAMED_ANEW,
    changes_markdown,
    changes_report,
    compare,
    named_anew,
)
from cxr_snapshot.selection.manifest import build_manifest, file_name
from cxr_snapshot.tables import CLINICAL_COLUMNS, EXCLUDED_COLUMNS
from support.ledgers import ledger, picture, row
from support.older_names import older

BODIES = [picture(number) for number in range(6)]
LEFT_OUT = row(5, "COVID", BODIES[5], rule="not_drawn", reason="Not drawn.")
NOTHING: dict[str, list[Any]] = {kind: [] for kind in KINDS}


def tables(*rows: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return manifest and excluded rows."""
    whole = ledger(*rows)
    return build_manifest(whole), whole.loc[whole["rule"].notna(), list(EXCLUDED_COLUMNS)]


def changes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return compare(*tables(*old), *tables(*new))


def covid(number: int, **others: Any) -> dict[str, Any]:
    return row(number, "COVID", BODIES[number], **others)


def named(number: int) -> str:
    """Return the file of ``covid(number)``."""
    return file_name("COVID", "covid", hashlib.sha256(BODIES[number]).hexdigest(), "JPEG")


def text_of(found: dict[str, list[dict[str, Any]]]) -> str:
    previous = {"version": "2026-11-22", "revisions": {"covid": "0"}}
    return changes_markdown(changes_report(found, previous, {"covid": "1"}), [])


def uniform(*rows: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the same where the files were made anew."""
    manifest, excluded = tables(*rows)
    made = {each: hashlib.sha256(each.encode()).hexdigest() for each in manifest["sha256"]}
    files = pd.DataFrame({"sha256": made, "bytes": 9, "format": "PNG", "mode": "L", "width": 8, "height": 8})
    return build_manifest(ledger(*rows), files), excluded


def test_an_image_is_known_by_the_file_of_the_upstream_whatever_was_made_of_it():
    gone = covid(3) | {"path": "images/3.png"}
    found = compare(*uniform(covid(1), covid(2), gone), *uniform(covid(1), covid(2, split="test"), LEFT_OUT, covid(4)))
    assert {kind: len(entries) for kind, entries in found.items() if entries} == {"added": 1, "removed": 1, "moved": 1}
    back = compare(*uniform(covid(1), LEFT_OUT), *uniform(covid(1), row(5, "COVID", BODIES[5])))
    assert [entry["reason"] for entry in back["added"]] == ["was excluded as not_drawn"]
    left = compare(*uniform(covid(1), row(5, "COVID", BODIES[5])), *uniform(covid(1), LEFT_OUT))
    assert [entry["rule"] for entry in left["removed"]] == ["not_drawn"]


def test_files_in_another_form_are_renamed_and_nothing_is_added_or_removed():
    found = compare(*tables(covid(1), covid(2)), *uniform(covid(1), covid(2)))
    assert {kind: len(entries) for kind, entries in found.items() if entries} == {"renamed": 2, "updated": 2}
    assert {entry["old_file"] for entry in found["renamed"]} == {named(1), named(2)}
    assert not any(map(named_anew, found["renamed"]))
    assert set(found["updated"][0]["columns"]) == {"bytes", "format", "width", "height"}


def test_an_earlier_manifest_without_the_columns_is_compared_all_the_same():
    stated = [covid(number, survival="Y", offset_days=3, temperature=38.5, clinical_text="{}") for number in (1, 2)]
    before, excluded = tables(*stated)
    lacking = before.drop(columns=["source_sha256", *CLINICAL_COLUMNS, "date", "location", "clinical_text"])
    assert compare(lacking, excluded, *tables(*stated)) == NOTHING
    assert compare(*tables(*stated), lacking, excluded) == NOTHING, "and backwards, as the command line can"


def test_in_the_first_snapshot_every_image_is_added():
    found = compare(None, None, *tables(covid(1), covid(2)))
    assert [entry["reason"] for entry in found.pop("added")] == ["first snapshot"] * 2
    assert found == {kind: [] for kind in KINDS if kind != "added"}


def test_equal_snapshots_differ_in_nothing_and_provenance_does_not_count():
    assert changes([covid(1)], [covid(1, revision="f" * 40, metadata_line=77)]) == NOTHING


def test_an_added_image_was_unknown_or_excluded():
    left_out = covid(2, rule="not_drawn", reason="Not drawn.", evidence="1 of 2")
    added = changes([covid(1), left_out], [covid(1), covid(2), covid(3)])["added"]
    assert {entry["file"]: entry["reason"] for entry in added} == {
        named(2): "was excluded as not_drawn",
        named(3): "new in the upstream",
    }
    assert [entry["file"] for entry in added] == sorted([named(2), named(3)])


def test_a_removed_image_carries_the_rule_that_excludes_it_now():
    excluded = covid(2, rule="not_drawn", reason="Not drawn.", evidence="1 of 2")
    [entry] = changes([covid(1), covid(2)], [covid(1), excluded])["removed"]
    assert (entry["rule"], entry["reason"], entry["evidence"]) == ("not_drawn", "Not drawn.", "1 of 2")
    assert (entry["file"], entry["split"]) == (named(2), "train")


def test_a_removed_image_under_another_path_is_found_by_its_bytes():
    elsewhere = covid(2, path="images/other.jpg", rule="duplicate_image", reason="Twice.", evidence="of 1")
    assert changes([covid(1), covid(2)], [covid(1), elsewhere])["removed"][0]["rule"] == "duplicate_image"


def test_a_removed_image_whose_row_is_still_there():
    no_file = covid(2, rule="missing_file", reason="No file.", sha256=None, in_upstream=False)
    [entry] = changes([covid(1), covid(2)], [covid(1), no_file])["removed"]
    assert (entry["rule"], entry["reason"]) == (
        "missing_file",
        "Retracted: the upstream's file is gone; its row is still there.",
    )
    assert "evidence" not in entry


def test_a_removed_image_whose_file_is_still_there_without_its_row():
    no_row = covid(2, rule="no_metadata_row", reason="No row.", metadata_line=None)
    [entry] = changes([covid(1), covid(2)], [covid(1), no_row])["removed"]
    assert (entry["rule"], entry["reason"]) == (
        "no_metadata_row",
        "Retracted: the upstream's row is gone; the file is still there.",
    )


def test_a_removed_image_that_left_no_trace():
    found = changes([covid(1), covid(2)], [covid(1)])
    [entry] = found["removed"]
    assert (entry["rule"], entry["reason"]) == ("retracted", "The upstream's file and its row are gone.")
    assert f"| {named(2)} | retracted; The upstream's file and its row are gone. |" in text_of(found)


def test_of_a_collection_without_rows_only_the_file_can_be_gone():
    [entry] = changes([covid(1), row(2, "NORMAL", BODIES[2])], [covid(1)])["removed"]
    assert (entry["rule"], entry["reason"]) == ("retracted", "The upstream's file is gone.")


def test_new_bytes_under_an_old_name_are_one_image_replaced():
    found = changes([covid(1), covid(2)], [covid(1), row(2, "COVID", BODIES[3])])
    text = text_of(found)
    assert found.pop("replaced") == [
        {
            "sha256": hashlib.sha256(BODIES[3]).hexdigest(),
            "file": named(3),
            "class": "COVID",
            "split": "train",
            "old_file": named(2),
            "old_sha256": hashlib.sha256(BODIES[2]).hexdigest(),
        }
    ]
    assert not any(found.values())
    assert f"| {named(3)} | file was {named(2)} |" in text
    assert "| added | 0 |" in text
    assert "| removed | 0 |" in text
    assert "| replaced | 1 |" in text


def test_new_bytes_that_are_left_out_replace_nothing():
    bad = row(2, "COVID", BODIES[3], rule="not_xray", reason="No X-ray.")
    found = changes([covid(1), covid(2)], [covid(1), bad])
    assert found["replaced"] == []
    assert found["removed"][0]["rule"] == "replaced"


def test_old_bytes_that_upstream_has_elsewhere_were_not_replaced():
    moved_on = covid(2, path="images/other.jpg", rule="duplicate_image", reason="Twice.", evidence="of 1")
    found = changes([covid(1), covid(2)], [covid(1), row(2, "COVID", BODIES[3]), moved_on])
    assert found["replaced"] == []
    assert [entry["rule"] for entry in found["removed"]] == ["duplicate_image"]
    assert [entry["file"] for entry in found["added"]] == [named(3)]


def test_relabelled_names_the_old_class_and_is_not_renamed_as_well():
    old = row(1, "NORMAL", BODIES[1])
    new = row(1, "PNEUMONIA", BODIES[1], path=old["path"])
    found = changes([old], [new])
    [entry] = found["relabelled"]
    assert (entry["class"], entry["old_class"], entry["old_finding"]) == ("PNEUMONIA", "NORMAL", "NORMAL")
    assert found["renamed"] == []


def test_renamed_and_moved_and_updated_are_told_apart():
    old = covid(1, group="covid:2", split="train", source="pneumonia")
    found = changes([old], [covid(1, path="images/new.jpg", group="covid:1", split="test", age=None)])
    assert found["renamed"][0]["old_file"] == named(1).replace("/covid-", "/pneumonia-")
    assert f"| {named(1)} | file was images/COVID/pneumonia-" in text_of(found)
    assert found["moved"][0]["old_split"] == "train"
    assert "merged into covid:1" in found["moved"][0]["reason"]
    columns = found["updated"][0]["columns"]
    assert columns["age"] == {"from": 41.0, "to": None}
    assert set(columns) == {"age", "path", "group", "source"}


def test_another_name_in_the_upstream_is_no_other_name_here():
    found = changes([covid(1)], [covid(1, path="images/new.jpg")])
    assert found.pop("updated")[0]["columns"] == {"path": {"from": "images/1.jpg", "to": "images/new.jpg"}}
    assert not any(found.values())


class TestFromNamesLikeUpstreamsToNamesByContent:
    """The first snapshot of schema version 2, compared with one before."""

    OLD = (covid(1), covid(2), covid(4, split="test"))

    def changes(self, *new: dict[str, Any], backwards: bool = False) -> dict[str, list[dict[str, Any]]]:
        (old, old_excluded), now = tables(*self.OLD), tables(*new)
        before = (older(old), old_excluded)
        return compare(*now, *before) if backwards else compare(*before, *now)

    def test_the_text_says_it_in_a_sentence_and_the_file_lists_all(self):
        found = self.changes(covid(1), covid(2), covid(4, split="train"), covid(3))
        assert {entry["old_file"] for entry in found["renamed"]} == {f"images/COVID/covid__{n}.jpg" for n in (1, 2, 4)}
        assert {kind for kind in KINDS if found[kind]} == {"added", "moved", "renamed"}
        text = text_of(found)
        assert f"{NAMED_ANEW} For this reason alone 3 have another name; changes.json lists them." in text
        assert "__" not in text
        assert text.endswith("lists them.\n")
        assert "| renamed | 3 |" in text
        assert f"| {named(4)} | the settings changed (salt); split was test |" in text

    def test_what_was_renamed_for_another_reason_too_is_in_the_table(self):
        found = self.changes(row(1, "NORMAL", BODIES[1]), covid(2), covid(4))
        [relabelled] = found["relabelled"]
        assert relabelled["old_file"] == "images/COVID/covid__1.jpg"
        text = text_of(found)
        assert f"| {relabelled['file']} | class was COVID; file was images/COVID/covid\\_\\_1.jpg;" in text
        assert "For this reason alone 2 have another name" in text

    def test_comparing_backwards(self):
        found = self.changes(covid(1), covid(2), backwards=True)
        assert [named_anew(entry) for entry in found["renamed"]] == [True, True]
        assert "For this reason alone 2 have another name" in text_of(found)

    def test_one_image_has_another_name(self):
        assert "For this reason alone 1 has another name; changes.json lists them." in text_of(self.changes(covid(1)))

    def test_two_older_snapshots_are_compared_as_they_were(self):
        (old, excluded), (new, _) = tables(covid(1)), tables(covid(1, path="images/new.jpg"))
        found = compare(older(old), excluded, older(new), excluded)
        assert "| images/COVID/covid\\_\\_new.jpg | file was images/COVID/covid\\_\\_1.jpg |" in text_of(found)


def test_the_report_counts_and_the_text_says_it_all():
    previous = {"version": "2026-11-22", "revisions": {"covid": "0" * 40}}
    many = [covid(number, finding="COVID-19, ARDS") for number in (1, 2)]
    gone = covid(4, rule="other_finding", reason="Not|COVID.", evidence="finding:\nSARS")
    found = changes([covid(1), covid(2), covid(4)], [*many, covid(3), gone])
    report = changes_report(found, previous, {"covid": "1" * 40})
    assert report["counts"] == {
        **{"added": 1, "removed": 1, "replaced": 0, "relabelled": 0, "moved": 0, "renamed": 0},
        "updated": 2,
    }
    assert report["revisions"] == {"covid": {"from": "0" * 40, "to": "1" * 40}}
    text = changes_markdown(report, [])
    assert "Compared with 2026-11-22." in text
    assert f"| {named(4)} | other_finding; Not\\|COVID.; finding: SARS |" in text
    assert "| finding: COVID-19 → COVID-19, ARDS | 2 |" in text
    assert "## Moved" not in text


@pytest.mark.parametrize(
    ("count", "said"),
    [(60, "10 more are in changes.json."), (51, "1 more is in changes.json."), (50, None)],
)
def test_a_long_list_is_cut_in_the_text_only(count: int, said: str | None):
    rows = [covid(1, sha256=f"{number:02}" * 32, path=f"images/other-{number}.jpg") for number in range(count)]
    found = compare(*tables(covid(2)), *tables(*rows))
    report = changes_report(found, {"version": "2026-11-22", "revisions": {}}, {"covid": "1"})
    assert len(report["added"]) == count
    text = changes_markdown(report, [])
    assert said in text if said else "more" not in text


@pytest.mark.parametrize(("numbers", "images"), [((1,), "1 image"), ((1, 2), "2 images"), ((), "0 images")])
def test_the_first_snapshot_speaks_of_no_other(numbers: tuple[int, ...], images: str):
    report = changes_report(compare(None, None, *tables(LEFT_OUT, *map(covid, numbers))), None, {"covid": "1"})
    assert report["previous"] is None
    assert changes_markdown(report, []) == f"This is the first snapshot, of {images}.\n"


def test_what_is_generated_says_so_first():
    report = changes_report(compare(None, None, *tables(covid(1))), None, {"covid": "1"})
    for each in (report, report | {"previous": "2026-11-22"}):
        assert changes_markdown(each, [], synthetic=True) == f"> **{SYNTHETIC}**\n\n{changes_markdown(each, [])}"


def test_what_was_overridden_stands_before_the_changes():
    report = changes_report(compare(None, None, *tables(covid(1))), None, {"covid": "1"})
    setting = {"how": "accept_shrink", "run": "nightly", "user": None, "time": "10:00", "finding": "COVID lost 40 %."}
    said = "COVID lost 40 %. Accepted by the setting accept_shrink of run nightly at 10:00."
    assert changes_markdown(report, [setting]).startswith(
        f"**A failed check was overridden.** {said}\n\nThis is the first"
    )
    later = report | {"previous": "2026-11-22"}
    assert changes_markdown(later, [setting]).startswith(f"**A failed check was overridden.** {said}\n\nCompared with")
