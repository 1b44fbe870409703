"""Every block of code of the card, and README's Python, runs as it stands after `make run` and `make download`.

README's other blocks are on a list in tests/docs/test_readme.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxr_snapshot.publication.loading import snippets
from cxr_snapshot.tables import CLASSES
from local_stack import airflow_home, environment, stack
from support.checkouts import UNIFORM, downloaded
from support.paths import ROOT
from support.snippets import Block, blocks

from .conftest import TOOLS

pytestmark = pytest.mark.long

TITLES = [snippet.title for snippet in snippets("s3://bucket/prefix/2026-11-22/", "2026-11-22", ["train"])]
README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))

# Runs a file as it stands, then prints the value of an expression of its names.
RUN = "import json, runpy, sys; names = runpy.run_path(sys.argv[1], run_name='__main__'); "
RUN += "print(json.dumps(eval(sys.argv[2], names)))"


def counts(manifest: pd.DataFrame) -> list[list[object]]:
    return [[*names, count] for names, count in sorted(manifest.groupby(["split", "class"]).size().items())]


def splits(manifest: pd.DataFrame) -> dict[str, int]:
    return {str(name): int(count) for name, count in manifest["split"].value_counts().items()}


ROWS = "{name: part.num_rows for name, part in dataset.items()}"

# What a block of the card has loaded: an expression of its names, and its value by the manifest.
EXPECTED: dict[str, tuple[str, Callable[[pd.DataFrame], Any]]] = {
    "pandas": ("[len(manifest), len(train)]", lambda rows: [len(rows), splits(rows)["train"]]),
    "DuckDB": ("[list(row) for row in counts.fetchall()]", counts),
    "Hugging Face datasets": (
        f"[{ROWS}, files.num_rows, dataset['train'].features['label'].names, files.features['label'].names]",
        lambda rows: [splits(rows), len(rows), list(CLASSES), list(CLASSES)],
    ),
    "torchvision": (
        "[images.classes, [name for name, _ in images.samples], len(train), train[0][0].mode]",
        lambda rows: [list(CLASSES), sorted(rows["file"]), splits(rows)["train"], "RGB"],
    ),
    "Keras": (
        "[images.class_names, sorted(images.file_paths)]",
        lambda rows: [list(CLASSES), sorted(rows.loc[rows["format"].ne("WEBP"), "file"])],
    ),
    "Croissant": (
        "[{file: label for file, label, _ in examples}, {image.size for _, _, image in examples} == {(224, 224)}]",
        lambda rows: [{row.file: CLASSES.index(row["class"]) for _, row in rows.iterrows()}, True],
    ),
    "Straight from the store, without a copy": (
        f"[len(manifest), [list(row) for row in counts.fetchall()], {ROWS}]",
        lambda rows: [len(rows), counts(rows), splits(rows)],
    ),
}


@pytest.fixture(scope="module")
def environ(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a shell has after the `export` that `make ui` prints, while the store runs as it does there; and no hub."""
    keys = airflow_home.load_secrets(checkout / ".local/secrets.json")
    plain = {"PATH": f"{TOOLS}:{os.environ['PATH']}", "HOME": str(tmp_path_factory.mktemp("home"))}
    with stack.local_store(checkout, os.environ) as (address, _):
        export = f"export {environment.assignments(environment.reader(address, keys))}"
        names = "import json, os; print(json.dumps(dict(os.environ)))"
        command = ["bash", "-c", f'{export}; exec "$0" -c "$1"', sys.executable, names]
        printed = subprocess.run(command, env=plain, check=True, capture_output=True, text=True).stdout
        yield json.loads(printed) | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture(scope="module", params=["", UNIFORM], ids=["default", UNIFORM])
def folder(request: pytest.FixtureRequest, checkout: Path) -> Path:
    """What `make download` made: a snapshot of original files, and one of uniform files."""
    return downloaded(checkout, request.param)


def card_blocks(folder: Path) -> dict[str, Block]:
    """Return the blocks of a generated snapshot's card, which has no citations, by their titles."""
    return dict(zip(TITLES, blocks((folder / "README.md").read_text(encoding="utf-8")), strict=True))


def value(block: Block, expression: str, python: str, folder: Path, environ: dict[str, str], tmp_path: Path) -> Any:
    """Run a block as it stands in ``folder``; return the value of an expression of its names."""
    (tmp_path / "block.py").write_text(block.code, encoding="utf-8")
    command = [python, "-c", RUN, str(tmp_path / "block.py"), expression]
    done = subprocess.run(command, env=environ, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def test_the_copy_of_the_card_is_what_make_download_makes(folder: Path, environ: dict[str, str], tmp_path: Path):
    block = card_blocks(folder)[TITLES[0]]
    assert block.language == "sh"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{block.code}pwd"],
        env=environ,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    subprocess.run(["diff", "-r", done.stdout.splitlines()[-1], folder], check=True)


@pytest.mark.parametrize("title", TITLES[1:])
def test_a_block_of_the_card_loads_what_it_says(
    title: str, folder: Path, environ: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
):
    block = card_blocks(folder)[title]
    python = request.getfixturevalue("torchvision") if title == "torchvision" else str(TOOLS / "python")
    expression, expected = EXPECTED[title]
    found = value(block, expression, python, folder, environ, tmp_path)
    assert found == expected(pd.read_csv(folder / "manifest.csv"))


def test_keras_decodes_uniform_files(checkout: Path, environ: dict[str, str], tmp_path: Path):
    # Original files of as many sizes are compiled for as often, which takes minutes: test_consumers.py decodes a few.
    folder = downloaded(checkout, UNIFORM)
    block, shape = card_blocks(folder)["Keras"], "next(iter(images))[0].shape"
    assert value(block, shape, str(TOOLS / "python"), folder, environ, tmp_path) == [32, 224, 224, 1]


def test_what_readme_shows_in_python_runs_in_the_checkout(checkout: Path, environ: dict[str, str], tmp_path: Path):
    (block,) = (block for block in README if block.language == "python")
    found = value(block, f"[str(folder), len(manifest), {ROWS}]", str(TOOLS / "python"), checkout, environ, tmp_path)
    rows = pd.read_csv(downloaded(checkout) / "manifest.csv")
    assert found == [str(downloaded(checkout).relative_to(checkout)), len(rows), splits(rows)]
