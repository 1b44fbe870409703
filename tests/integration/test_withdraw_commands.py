"""Withdrawing from the command line, as people do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cxr_snapshot.__main__ as command_line
from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.publication.marks import MARK, read_mark, write_mark
from cxr_snapshot.store.objects import Store
from support.stages import EARLIER
from support.stores import copy_objects
from support.withdrawers import published

DAY = EARLIER[1][:10]


def show(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line have this store."""
    monkeypatch.setattr(command_line, "_store", lambda name: catalog.find_edition(store, name))


@pytest.fixture
def shown(last_state: Store, store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store with a snapshot, which is that of the command line."""
    copy_objects(last_state, store)
    show(store, monkeypatch)
    return store


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        command_line.main(arguments)
    output, errors = capsys.readouterr()
    return int(ended.value.code or 0), output + errors


def test_first_it_is_said_then_done_then_told(shown: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    image = published(shown, DAY).iloc[0]
    ask = ("withdraw", "--image", image["file"], "--reason", "The publisher retracted it.")
    before = shown.list("")
    status, text = run(capsys, *ask)
    assert (status, shown.list("")) == (0, before)
    assert f"To withdraw, copies included: {image['source']}:{image['path']}." in text
    assert image["file"] in text
    assert "Nothing was done. Add --yes to do this." in text

    _, text = run(capsys, *ask, "--yes", "--json")
    found = json.loads(text)
    assert (found["done"], found["number"], found["snapshots"]) == (True, 1, {"default": {DAY: [image["file"]]}})
    for command in (("verify", "latest"), ("download", "latest", str(tmp_path / "copy"))):
        status, text = run(capsys, *command)
        assert status == 0
        assert "WITHDRAWN: 1 image of this snapshot was withdrawn: see WITHDRAWN.json. Do not use" in text
    assert (tmp_path / "copy" / MARK).exists()

    status, text = run(capsys, *ask, "--erase", "--yes")
    assert "Erased: 1 of the upstreams' files, and all that was made of them." in text
    status, text = run(capsys, "download", "latest", str(tmp_path / "copy"))
    assert (status, (tmp_path / "copy" / image["file"]).exists()) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--reason", "x"), "give one of image, patient and source path"),
        (("--reason", "x", "--patient", "a", "--image", "b"), "and only one"),
        (("--reason", " ", "--patient", "covid:1"), "needs a reason, which is published"),
        (("--reason", "x", "--patient", "covid:nobody"), "Patients are named as in manifest.csv"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(
    last_state: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    show(last_state, monkeypatch)
    status, text = run(capsys, "withdraw", *arguments, "--yes")
    assert status in (1, 2)
    assert said in text


def test_nobody_gets_what_is_being_erased(shown: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mark, etag = read_mark(shown, DAY)
    write_mark(shown, DAY, type(mark)("erasing"), etag)
    status, text = run(capsys, "download", "latest", str(tmp_path / "copy"))
    assert status == 1
    assert "is being made anew without images that were withdrawn. Try again later" in text
