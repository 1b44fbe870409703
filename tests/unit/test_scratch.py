"""What a task puts aside on disk."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pytest

from cxr_snapshot.errors import ScratchError
from cxr_snapshot.scratch import Scratch


def test_what_was_put_aside_is_read_in_any_order() -> None:
    scratch = Scratch()
    begins = [scratch.append(body) for body in (b"one", b"", b"three")]
    assert begins == [0, 3, 3]
    assert scratch.size == 8
    assert [scratch.read(3, 5), scratch.read(0, 3), scratch.read(6, 100), scratch.read(8, 1)] == [
        b"three",
        b"one",
        b"ee",
        b"",
    ]
    assert scratch.append(b"!") == 8, "behind all others, wherever was read"


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scratch = Scratch()
    scratch.append(b"one")
    assert not list(tmp_path.iterdir())
    file = scratch._file
    del scratch
    assert file.closed


def test_a_full_disk_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "w+b"))
    with pytest.raises(ScratchError, match=r"No space left on device.*TMPDIR") as caught:
        Scratch().append(b"one")
    assert caught.value.transient


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ScratchError, match=r"gone.*TMPDIR"):
        Scratch()
