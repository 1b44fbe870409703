from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cxr_snapshot.audit.words import DRAWINGS
from cxr_snapshot.inspection.contact_sheets import PICTURES, contact_sheet
from cxr_snapshot.publication.preview import choose, draw_preview
from cxr_snapshot.selection.manifest import build_manifest
from cxr_snapshot.tables import CLASSES
from support.ledgers import ledger, picture, row


def gray(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (224, 224), value).save(file, "PNG")
    return file.getvalue()


def test_a_row_for_each_class_in_which_its_pictures_lie():
    sheet = contact_sheet({"A": [gray(40)], "B": [gray(90), gray(160)]})
    image = Image.open(io.BytesIO(sheet))
    assert (image.format, image.mode) == ("JPEG", "L")
    found = np.asarray(image)
    row_height = (image.height - 6) // 2
    first, second = found[6 + 26 + 56], found[6 + row_height + 26 + 56]
    assert [int(first[62]), int(first[180])] == [40, 255]
    assert [int(second[62]), int(second[180]), int(second[298])] == [90, 160, 255]


def test_the_pictures_with_the_lowest_hash_are_chosen():
    rows = []
    for name in CLASSES:
        bodies = [picture(number + 100 * CLASSES.index(name)) for number in range(PICTURES + 2)]
        rows += [row(number, name, body) for number, body in enumerate(bodies)]
    manifest = build_manifest(ledger(*rows))
    chosen = {name: sorted(group["sha256"])[:PICTURES] for name, group in manifest.groupby("class")}
    assert choose(manifest) == chosen


@pytest.mark.parametrize(("count", "said"), [(0, "0 images"), (1, "1 image"), (1200, "1,200 images")])
def test_name_counts_and_the_audits_warning_are_on_it(count: int, said: str):
    chosen = {"COVID": [gray(40)]}
    facts = {"version": "2026-11-03", "counts": {"COVID": count}, "audit": {"headline": "It teaches the source."}}
    named = "COVID, NORMAL and PNEUMONIA, chest X-rays: snapshot 2026-11-03"
    rows = {f"COVID: {said}": chosen["COVID"]}
    assert draw_preview(chosen, facts) == contact_sheet(rows, [named, "It teaches the source."])


def test_drawings_are_called_so_on_it():
    facts = {"version": "2026-11-03", "counts": {"COVID": 1}, "audit": {"headline": "It teaches the source."}}
    named = "COVID, NORMAL and PNEUMONIA, generated sample: snapshot 2026-11-03"
    sheet = contact_sheet({"COVID: 1 image": [gray(40)]}, [named, DRAWINGS, "It teaches the source."])
    assert draw_preview({"COVID": [gray(40)]}, facts | {"synthetic": True}) == sheet


def test_a_heading_is_wrapped_above_the_rows_and_moves_them_down():
    rows, words = {"A": [gray(40)]}, "a warning of many words that does not fit into a single line of this sheet " * 2
    plain, headed = (np.asarray(Image.open(io.BytesIO(contact_sheet(rows, text)))) for text in ((), (words,)))
    assert headed.shape[1] == plain.shape[1]
    added = headed.shape[0] - plain.shape[0]
    assert added >= 2 * 22
    assert added % 22 == 0
    for top in range(6, added, 22):
        assert headed[top : top + 22].min() < 100, "each line has letters"
    assert headed[:, -6:].min() > 200, "no letter is cut off at the margin"
    assert int(headed[added + 6 + 26 + 56, 62]) == 40


def test_a_word_longer_than_the_sheet_stands_alone():
    rows = {"A": [gray(40)]}
    one, two = (Image.open(io.BytesIO(contact_sheet(rows, [text]))).height for text in ("x" * 300, "a " + "x" * 300))
    assert two - one == 22
