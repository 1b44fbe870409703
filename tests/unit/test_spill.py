"""What a task puts aside on disk."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pytest

from cxr_snapshot.errors import SpillError
from cxr_snapshot.spill import Spill


def test_what_was_put_aside_is_read_in_any_order() -> None:
    spill = Spill()
    begins = [spill.append(body) for body in (b"one", b"", b"three")]
    assert begins == [0, 3, 3]
    assert spill.size == 8
    assert [spill.read(3, 5), spill.read(0, 3), spill.read(6, 100), spill.read(8, 1)] == [
        b"three",
        b"one",
        b"ee",
        b"",
    ]
    assert spill.append(b"!") == 8, "behind all others, wherever was read"


def test_nothing_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spill = Spill()
    spill.append(b"one")
    assert not list(tmp_path.iterdir())
    file = spill._file
    del spill
    assert file.closed


def test_a_full_disk_is_named_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(Path("/dev/full").open, "w+b"))
    with pytest.raises(SpillError, match=r"No space left on device.*TMPDIR") as caught:
        Spill().append(b"one")
    assert caught.value.transient


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SpillError, match=r"gone.*TMPDIR"):
        Spill()
