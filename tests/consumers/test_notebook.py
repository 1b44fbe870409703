"""The notebook runs as it stands after `make run` and `make download`, and what it stores is what it gives."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.paths import ROOT

from .conftest import RunTool

pytestmark = pytest.mark.long

NAME = "docs/notebooks/first-look.ipynb"


def given(file: Path) -> list[tuple[str, str]]:
    """Return kind and words of each output; without numbers, which differ a little from machine to machine."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return [words(output) for cell in cells for output in cell.get("outputs", [])]


def words(output: dict[str, Any]) -> tuple[str, str]:
    text = "".join(output.get("text") or output["data"]["text/plain"])
    return output["output_type"], re.sub(r"[\d.%\s-]+", " ", text)


def test_the_notebook_runs_and_gives_what_it_stores(checkout: Path, tool: RunTool, tmp_path: Path):
    (tmp_path / ".local").symlink_to(checkout / ".local")
    copy = tmp_path / NAME
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / NAME, copy)
    assert tool("execute_notebook.py", copy, tmp_path / "executed.ipynb") == "executed"
    assert given(tmp_path / "executed.ipynb") == given(ROOT / NAME)
    assert len(given(ROOT / NAME)) > 8
