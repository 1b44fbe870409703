from __future__ import annotations

import hashlib
import re

import pytest

from cxr_snapshot.selection import manifest
from cxr_snapshot.selection.manifest import build_manifest, content_digest
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.tables import MANIFEST_COLUMNS, PROVENANCE_COLUMNS
from support.ledgers import ledger, picture, row


def names(*paths: str, kind: str = "COVID", file_format: str = "JPEG") -> list[str]:
    rows = [row(number, kind, picture(number, file_format), path=path) for number, path in enumerate(paths)]
    return list(build_manifest(ledger(*rows)).set_index("path")["file"].reindex(list(paths)))


def test_a_name_has_class_source_stem_and_the_true_format():
    assert names("images/a.JPG", file_format="PNG") == ["images/COVID/covid__a.png"]


def test_names_are_safe_everywhere_and_never_empty():
    found = names("images/fig 1 (a)é.jpeg ", "images/.jpg", "images/x.jpg.png", "images/noextension")
    stems = ["covid__fig_1_a", "covid__image", "covid__x", "covid__noextension"]
    assert [re.split(r"\.jpg$", name)[0] for name in found] == [f"images/COVID/{stem}" for stem in stems]


def test_names_that_differ_only_in_case_get_part_of_their_hash():
    first, second = names("images/A.jpg", "images/a.png")
    assert re.fullmatch(r"images/COVID/covid__A__[0-9a-f]{12}\.jpg", first)
    assert re.fullmatch(r"images/COVID/covid__a__[0-9a-f]{12}\.jpg", second)


def test_a_name_does_not_change_when_a_clashing_image_is_drawn_or_not():
    rows = [row(1, "NORMAL", picture(1), path="chest_xray/train/NORMAL/a.jpeg")]
    other = row(2, "NORMAL", picture(2), path="chest_xray/test/NORMAL/a.jpeg")
    both = build_manifest(ledger(*rows, other))
    one = build_manifest(ledger(*rows, other | {"rule": "not_drawn"}))
    assert list(one["file"]) == list(both.loc[both["sha256"].eq(one["sha256"][0]), "file"])


def test_the_manifest_is_sorted_by_file_whatever_the_order_of_the_ledger():
    rows = [row(number, kind, picture(number)) for number, kind in enumerate(["NORMAL", "COVID", "PNEUMONIA", "COVID"])]
    there, back = build_manifest(ledger(*rows)), build_manifest(ledger(*rows[::-1]))
    assert there.equals(back)
    assert list(there["file"]) == sorted(there["file"])
    assert tuple(there.columns) == MANIFEST_COLUMNS


def test_the_content_digest_sees_every_column_but_provenance():
    base = row(1, "COVID", picture(1))
    digest = content_digest(build_manifest(ledger(base)))
    assert content_digest(build_manifest(ledger(base | {"revision": "f" * 40, "metadata_line": 99}))) == digest
    for name, value in {"finding": "COVID-19, ARDS", "split": "test", "age": 41.5, "license": None}.items():
        assert content_digest(build_manifest(ledger(base | {name: value}))) != digest, name


def test_the_content_digest_is_that_of_the_whole_text_however_many_rows(monkeypatch: pytest.MonkeyPatch):
    found = build_manifest(ledger(*(row(number, "COVID", picture(number)) for number in range(5))))
    whole = csv_bytes(found.drop(columns=list(PROVENANCE_COLUMNS)))
    monkeypatch.setattr(manifest, "_DIGEST_ROWS", 2)
    assert content_digest(found) == hashlib.sha256(whole).hexdigest()
