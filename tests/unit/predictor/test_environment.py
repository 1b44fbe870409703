from __future__ import annotations

from pathlib import Path

import pytest

import cxr_snapshot.__main__ as command_line
from cxr_predictor.environment import INCLUDE, predictor_python, variables
from cxr_snapshot.settings import Settings
from support.paths import ROOT

# Stands for the predictor's Python: says what it was asked, and where it looks for modules.
PROGRAM = '#!/bin/sh\necho "$PYTHONPATH" "$@" >"$(dirname "$0")/asked"\nexit 4\n'


def test_it_is_in_the_checkout_unless_a_variable_names_another() -> None:
    assert predictor_python({}) == ROOT / ".local/predictor-venv/bin/python"
    assert predictor_python({"CXR_PREDICTOR_PYTHON": "/opt/predictor/bin/python"}) == Path("/opt/predictor/bin/python")


def test_its_variables_are_no_unknown_settings() -> None:
    environ = {"CXR_BUCKET": "cxr", "CXR_PREDICTOR_PYTHON": "/opt/python", "CXR_PREDICTOR_JUDGES": "adults/latest"}
    assert Settings.load(environ=environ).bucket == "cxr"


def test_it_finds_our_modules_and_what_else_is_set() -> None:
    assert variables({"AWS_PROFILE": "mine", "PYTHONPATH": "elsewhere"}) == {
        "AWS_PROFILE": "mine",
        "PYTHONPATH": str(INCLUDE),
    }


def test_predict_hands_over_what_it_was_asked_and_how_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(PROGRAM)
    python.chmod(0o755)
    monkeypatch.setenv("CXR_PREDICTOR_PYTHON", str(python))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["predict", "--json", "latest", "a.png", "b c.jpg"])
    assert ended.value.code == 4
    asked = (tmp_path / "asked").read_text().strip()
    assert asked == f"{INCLUDE} -m cxr_predictor predict --json -- latest a.png b c.jpg"


def test_without_the_environment_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXR_PREDICTOR_PYTHON", str(tmp_path / "python"))
    with pytest.raises(SystemExit) as ended:
        command_line.main(["predict", "latest", "a.png"])
    assert ended.value.code == 2
    assert "Run `make predictor` in the checkout" in capsys.readouterr().err
