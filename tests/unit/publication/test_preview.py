from __future__ import annotations

import io

import numpy as np
from PIL import Image

from cxr_snapshot.inspection.contact_sheets import PICTURES, contact_sheet
from cxr_snapshot.inspection.pictures import Pictures, picture_name
from cxr_snapshot.publication.preview import draw_preview
from cxr_snapshot.selection.manifest import build_manifest
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed
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


def test_the_pictures_with_the_lowest_hash_are_chosen(store: Store):
    rows = []
    for name in CLASSES:
        bodies = [picture(number + 100 * CLASSES.index(name)) for number in range(PICTURES + 2)]
        rows += [row(number, name, body) for number, body in enumerate(bodies)]
    manifest = build_manifest(ledger(*rows))
    chosen = {name: sorted(group["sha256"])[:PICTURES] for name, group in manifest.groupby("class")}
    for sha256s in chosen.values():
        for sha256 in sha256s:
            put_sealed(store, picture_name(sha256), gray(int(sha256[:2], 16)))
    expected = {
        f"{name}: {PICTURES + 2} images": [gray(int(sha256[:2], 16)) for sha256 in chosen[name]] for name in CLASSES
    }
    assert draw_preview(Pictures(store), manifest) == contact_sheet(expected)
