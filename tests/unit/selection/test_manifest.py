from __future__ import annotations

import hashlib
import itertools
import re
import string

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_snapshot.errors import GuardError
from cxr_snapshot.selection import manifest
from cxr_snapshot.selection.manifest import (
    build_manifest,
    content_digest,
    file_name,
    named_by_content,
    upstream_files,
)
from cxr_snapshot.sources import SOURCES
from cxr_snapshot.store.encoding import csv_bytes
from cxr_snapshot.tables import CLASSES, MANIFEST_COLUMNS, PROVENANCE_COLUMNS
from support.ledgers import ledger, picture, row

BODIES = [picture(number) for number in range(4)]
# What Hugging Face datasets takes for a split where it stands between other signs than letters (data_files.py).
SPLIT_WORDS = ("train", "training", "validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation")


def names(*paths: str) -> list[str]:
    """Return the names in the snapshot of files with these paths in the upstream; each is another image."""
    rows = [row(number, "COVID", BODIES[number], path=path) for number, path in enumerate(paths)]
    return list(build_manifest(ledger(*rows)).set_index("path")["file"].reindex(list(paths)))


def sha256(number: int) -> str:
    return hashlib.sha256(BODIES[number]).hexdigest()


@pytest.mark.parametrize(("file_format", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_a_name_has_class_source_hash_and_the_true_format(file_format: str, extension: str):
    body = picture(1, file_format)
    found = build_manifest(ledger(row(1, "NORMAL", body, path="chest_xray/train/NORMAL/a.bmp")))
    digits = hashlib.sha256(body).hexdigest()[:16]
    assert list(found["file"]) == [f"images/NORMAL/pneumonia-{digits}.{extension}"]
    assert list(found["path"]) == ["chest_xray/train/NORMAL/a.bmp"]
    assert named_by_content(found.loc[0, "file"], found.loc[0, "sha256"])


def test_names_of_the_upstream_that_collided_once():
    other = f"images/x__{sha256(0)[:12]}.jpg"
    found = names("images/x.jpg", "images/X.jpg", other, "images/" + "a" * 246 + ".jpg")
    assert found == [f"images/COVID/covid-{sha256(number)[:16]}.jpg" for number in range(4)]


# As Arrow takes it: any text but lone surrogates. Lengths beyond what a file system has.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
PATHS = TEXTS | st.builds(lambda text, times: text * times, TEXTS, st.integers(1, 2000))
STATIONS = st.builds("images/{}-{}.jpg".format, st.sampled_from(SPLIT_WORDS), st.integers(0, 9))


@given(st.lists(PATHS | STATIONS, min_size=1, max_size=4, unique=True))
def test_nothing_of_the_upstream_path_is_in_a_name(paths: list[str]) -> None:
    assert names(*paths) == names(*(f"images/{number}" for number in range(len(paths))))


def test_no_name_holds_a_word_that_a_loader_reads() -> None:
    # A word with a letter that is no hex digit cannot arise in the hash, and signs keep the parts of a name apart.
    assert all(set(word) - set(string.hexdigits) for word in SPLIT_WORDS)
    for source, kind, file_format in itertools.product(SOURCES, CLASSES, ("JPEG", "PNG", "WEBP")):
        name = file_name(kind, source, "0" * 64, file_format)
        assert len(name) < 80
        assert re.fullmatch(r"images/[A-Z]+/[a-z0-9]{1,40}-0{16}\.[a-z]{3,4}", name), name
        assert not [word for word in (*SPLIT_WORDS, "metadata") if word in name.lower()], name


@pytest.mark.parametrize("end", ["0", "f"])
def test_two_images_that_would_share_a_name_are_refused(end: str) -> None:
    first, second = sha256(0), sha256(0)[:16] + "0" * 47 + end
    rows = [row(number, "COVID", BODIES[number], sha256=text) for number, text in enumerate([first, second, second])]
    with pytest.raises(
        GuardError, match=rf"covid-{first[:16]}\.jpg .* of 2 images.* {first}\).* {second}\)\. Nothing is"
    ):
        build_manifest(ledger(*rows[:2]))
    with pytest.raises(GuardError, match=r"of 2 images, such as covid:'images/1\.jpg' .* covid:'images/2\.jpg'"):
        build_manifest(ledger(*rows[1:]))
    left_out = rows[1] | {"rule": "not_drawn"}
    assert len(build_manifest(ledger(rows[0], left_out))) == 1


def test_a_name_does_not_depend_on_what_else_is_there():
    rows = [row(number, "COVID", BODIES[number]) for number in range(4)]
    whole = build_manifest(ledger(*rows)).set_index("sha256")["file"]
    for number in range(4):
        alone = build_manifest(ledger(rows[number] | {"split": "test", "path": "images/moved.png"}))
        assert alone.loc[0, "file"] == whole[sha256(number)]


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


def test_files_that_were_made_anew_stand_in_the_manifest_and_are_found_by_their_source():
    rows = [row(number, "COVID", picture(number)) for number in range(3)]
    sources = [each["sha256"] for each in rows]
    facts = {
        "sha256": ["a" * 64, "c" * 64, "b" * 64],
        "bytes": 7,
        "format": "PNG",
        "mode": "L",
        "width": 9,
        "height": 8,
    }
    made = pd.DataFrame(facts, index=sources)
    found = build_manifest(ledger(*rows), made)
    assert list(found["file"]) == [f"images/COVID/covid-{letter * 16}.png" for letter in "abc"]
    assert list(found["source_sha256"]) == [sources[0], sources[2], sources[1]]
    assert found[list(facts)].to_dict("records")[1] == made.iloc[2].to_dict()
    assert list(upstream_files(found)) == list(found["source_sha256"])
    assert list(upstream_files(found.drop(columns="source_sha256"))) == list(found["sha256"])
    plain = build_manifest(ledger(*rows))
    assert plain["source_sha256"].equals(plain["sha256"])
    assert tuple(found.columns) == tuple(plain.columns) == MANIFEST_COLUMNS


def test_the_content_digest_is_that_of_the_whole_text_however_many_rows(monkeypatch: pytest.MonkeyPatch):
    found = build_manifest(ledger(*(row(number, "COVID", picture(number)) for number in range(5))))
    whole = csv_bytes(found.drop(columns=list(PROVENANCE_COLUMNS)))
    monkeypatch.setattr(manifest, "_DIGEST_ROWS", 2)
    assert content_digest(found) == hashlib.sha256(whole).hexdigest()
