"""The mark of a snapshot, and what it allows of each file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cxr_snapshot.errors import PublishConflictError, VerificationError
from cxr_snapshot.publication.marks import MARK, UNMARKED, Mark, current_sums, read_mark, write_mark
from cxr_snapshot.store.objects import Store

VERSION = "2026-11-23"
GOING = Mark("erasing", {"a": {"reason": "r", "erased": True}}, {"a": "1"}, {"b": "22"}, {"a": "1", "b": "2"})


def test_a_mark_is_read_as_it_was_written(store: Store) -> None:
    assert read_mark(store, VERSION) == (UNMARKED, None)
    etag = write_mark(store, VERSION, GOING, None)
    assert read_mark(store, VERSION) == (GOING, etag)
    done = replace(GOING, state="erased", before={})
    assert read_mark(store, VERSION)[0] != done
    assert read_mark(store, VERSION)[1] != write_mark(store, VERSION, done, etag)
    assert read_mark(store, VERSION)[0] == done


def test_nobody_writes_over_a_mark_that_he_has_not_read(store: Store) -> None:
    etag = write_mark(store, VERSION, UNMARKED, None)
    for stale in (None, f'"{"0" * 32}"'):
        with pytest.raises(PublishConflictError, match="Withdraw again"):
            write_mark(store, VERSION, GOING, stale)
    assert write_mark(store, VERSION, UNMARKED, None) == etag, "only an answer was lost"


@pytest.mark.parametrize("body", [b"no JSON", b"{}"])
def test_a_damaged_mark_is_told_with_a_remedy(store: Store, body: bytes) -> None:
    store.put(f"{VERSION}/{MARK}", body)
    with pytest.raises(VerificationError, match=r"WITHDRAWN.json is damaged.*withdraw the same again"):
        read_mark(store, VERSION)


def test_while_bytes_are_erased_both_states_are_right_and_then_only_the_new_one(store: Store) -> None:
    assert [GOING.allowed(name, published) for name, published in (("a", "1"), ("b", "2"), ("c", "3"))] == [
        {"1"},
        {"2", "22"},
        {"3"},
    ]
    done = replace(GOING, state="erased", before={})
    assert done.allowed("b", "2") == {"22"}
    write_mark(store, VERSION, done, None)
    assert current_sums(store, VERSION, {"a": "1", "b": "2", "c": "3"}) == {"b": "22", "c": "3"}


def test_people_are_told_how_many_images_and_what_becomes_of_them() -> None:
    two = {name: {"reason": "r", "erased": False} for name in "ab"}
    assert Mark(images=two).sentence.startswith("2 images of this snapshot were withdrawn: see WITHDRAWN.json. Do not")
    assert GOING.sentence == "1 image of this snapshot was withdrawn: see WITHDRAWN.json. Bytes are being erased."
    assert "audit" in Mark("erased").sentence
