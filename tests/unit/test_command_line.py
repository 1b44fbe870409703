"""The command line shows what strangers wrote, and no terminal obeys it."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

import cxr_snapshot.__main__ as command_line
from cxr_snapshot import shown
from cxr_snapshot.errors import GuardError
from cxr_snapshot.publication.changes import KINDS
from support.hostile import PIECES

ENTRY = {"sha256": "0" * 64, "file": "images/COVID/covid-0.jpg", "class": "COVID", "split": "train"}


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_store", lambda _: SimpleNamespace(editions=lambda: ("default",)))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    with pytest.raises(SystemExit):
        command_line.main(arguments)
    return capsys.readouterr()


def answers(text: str) -> dict[str, Any]:
    """Return what the catalogue says by command, where upstream wrote ``text``."""
    snapshot = {"version": text, "latest": True, "created": text, "counts": {"COVID": 1}, "revisions": {"covid": text}}
    listed = snapshot | {"edition": text, "synthetic": True, "withdrawn": None}
    found = {kind: [ENTRY | {"rule": text, "evidence": text}] for kind in KINDS}
    diff = found | {"old": text, "new": text, "counts": dict.fromkeys(KINDS, 1)}
    return {"list": [listed], "show": snapshot | {"settings": {"salt": text}, "licences": text}, "diff": diff}


@pytest.mark.parametrize("command", [["list"], ["show", "latest"], ["diff", "a", "b"]])
def test_what_is_published_is_shown_as_it_is(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in (*PIECES, "".join(PIECES)):
        found = answers(text)
        monkeypatch.setattr(command_line.catalog, "list_snapshots", lambda *_, found=found, **__: found["list"])
        for name in ("show", "diff"):
            monkeypatch.setattr(command_line.catalog, name, lambda *_, found=found[name]: found)
        output, errors = run(capsys, *command)
        assert errors == ""
        assert shown.line(output.replace("\n", "")) == output.replace("\n", "")
        assert shown.line(text) in output
        as_json, _ = run(capsys, *command, "--json")
        assert json.loads(as_json) == found[command[0]]
        assert shown.line(as_json.replace("\n", "")) == as_json.replace("\n", "")


def test_an_error_is_shown_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise GuardError("".join(PIECES))

    monkeypatch.setattr(command_line.catalog, "list_snapshots", fail)
    output, errors = run(capsys, "list")
    assert (output, errors) == ("", f"Error: {shown.line(''.join(PIECES))}\n")


def test_on_a_narrow_terminal_cells_go_on_in_the_next_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"version": "2026-11-23", "uri": "s3://bucket/" + "abcdefghij" * 20, "digest": "0123456789" * 6 + "abcd"}
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(command_line.catalog, "show", lambda *_: found)
    output = re.sub(r"\x1b\[[0-9;]*m", "", run(capsys, "show", "latest")[0])  # the header is bold
    assert max(map(len, output.splitlines())) <= 40
    cells = "".join(line.split("│")[2].strip() for line in output.splitlines() if "│" in line)
    assert cells == found["version"] + found["uri"] + "0123456789"


def test_an_edition_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(command_line, "_store", asked.append)
    monkeypatch.setattr(command_line.catalog, "show", lambda *_: {"version": "2026-11-23"})
    for arguments in ((), ("--edition", "try")):
        run(capsys, "show", "latest", *arguments)
    assert asked == ["default", "try"]


def test_marks_stand_beside_the_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = answers("a")["list"][0] | {"withdrawn": "erased"}
    monkeypatch.setattr(command_line.catalog, "list_snapshots", lambda *_, **__: [entry, entry | {"latest": False}])
    output, _ = run(capsys, "list")
    assert "a (latest, generated, withdrawn)" in output
    assert "a (generated, withdrawn)" in output


def test_columns_are_explained_without_a_store(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "_store", None)
    found = json.loads(run(capsys, "columns", "--json")[0])["columns"]
    ages = [row["unit"] for row in found if row["column"] == "age"]
    assert ages == ["years"] * 2
    assert "age of the patient" in run(capsys, "columns")[0]
