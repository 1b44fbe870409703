"""The predictor in its own environment: trained, published, and applied to images."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from cxr_predictor.publishing import with_sums
from cxr_snapshot.store.objects import Store
from support.ledgers import picture
from support.patients import ENOUGH

from .conftest import RunPredictor

pytestmark = pytest.mark.long

FILES = {"README.md", "SHA256SUMS", "_SUCCESS", "metrics.json", "model.keras", "occlusion.png", "predictions.csv"}
SCRIPTS = Path(__file__).parent / "scripts"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(predictor: RunPredictor, model: Path, tmp_path: Path) -> None:
    again = ("train", "2026-11-22", "--judges", "adults/2026-11-24", "--out")
    assert predictor(*again, tmp_path / "same").returncode == 0
    assert contents(tmp_path / "same") == contents(model)
    assert set(contents(model)) == FILES
    done = predictor(*again, model)
    assert (done.returncode, "is not empty" in done.stderr) == (1, True)
    assert set(contents(model)) == FILES


def test_figures_are_of_the_test_split_and_of_the_judges(model: Path) -> None:
    metrics = json.loads((model / "metrics.json").read_text())
    assert metrics["training"]["patients"]["train"] == dict.fromkeys(("COVID", "NORMAL", "PNEUMONIA"), ENOUGH["train"])
    assert metrics["inside"]["balanced_accuracy"]["images"] == 3 * ENOUGH["test"]
    assert metrics["outside"]["version"] == "2026-11-24"
    assert metrics["outside"]["normal_adults_called_covid"]["images"] == 4
    table = pd.read_csv(model / "predictions.csv")
    assert table["where"].value_counts().to_dict() == {"outside": 12, "test": 6}
    probabilities = table[["p_COVID", "p_NORMAL", "p_PNEUMONIA"]]
    assert probabilities.sum(axis=1).between(0.999, 1.001).all()
    named = probabilities.idxmax(axis=1).str.removeprefix("p_")
    right = named.eq(table["class"])[table["where"].eq("test")].groupby(table["class"]).mean()
    assert right.mean() == pytest.approx(metrics["inside"]["balanced_accuracy"]["value"], abs=1e-3)
    with Image.open(model / "occlusion.png") as sheet:
        assert sheet.format == "PNG"


def test_it_is_published_once_beside_the_snapshots(predictor: RunPredictor, patients: Store) -> None:
    first = predictor("train", "2026-11-22")
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    assert made["uri"] == patients.uri("models/default/2026-11-22/")
    assert made["new"] is True
    before = {name: item.etag for name, item in patients.list("models/").items()}
    assert {name.split("/")[-1] for name in before} == FILES
    again = predictor("train", "2026-11-22")
    assert json.loads(again.stdout) == made | {"new": False}
    assert "was published before" in again.stderr
    other = predictor("train", "2026-11-22", "--seed", "1")
    assert other.returncode == 1
    assert "made with another seed, recipe or judge" in other.stderr
    assert {name: item.etag for name, item in patients.list("models/").items()} == before
    told = predictor("predict", "latest", Path(__file__).parents[2] / "docs/images/dag-graph.png", "--json")
    assert json.loads(told.stdout)["model"] == patients.uri("models/default/2026-11-22")


def test_a_snapshot_that_is_too_small_is_named(predictor: RunPredictor, tmp_path: Path) -> None:
    done = predictor("train", "small/2026-11-23", "--out", tmp_path / "model")
    assert done.returncode == 3
    assert "the split train of 2026-11-23 has COVID 2, NORMAL 2, PNEUMONIA 2, and 5 of each class" in done.stderr
    assert not (tmp_path / "model").exists()


def test_scores_come_with_the_warning_and_bad_images_with_their_problem(
    predictor: RunPredictor, model: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.jpg"
    good.write_bytes(picture(1, "PNG", size=(200, 300)))
    bad.write_bytes(b"GIF89a")
    done = predictor("predict", model, good, bad, tmp_path / "c.png", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["warning"].startswith("This is not a diagnosis.")
    first, *others = told["images"]
    assert sum(first["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert [each["problem"] for each in others] == [
        "not_an_image: no JPEG, PNG, WEBP",
        "cannot be read: No such file or directory",
    ]
    plain = predictor("predict", model, good)
    assert plain.returncode == 0
    assert plain.stdout.startswith("This is not a diagnosis.")
    assert f"{good}: COVID " in plain.stdout


def test_nothing_of_a_model_but_its_weights_is_used(predictor: RunPredictor, model: Path, tmp_path: Path) -> None:
    """A model's file that names another network, with code in it, gives the same scores: only weights are read."""
    image, forged = tmp_path / "a.png", tmp_path / "forged"
    image.write_bytes(picture(1, "PNG"))
    files = {name: body for name, body in contents(model).items() if name not in ("SHA256SUMS", "_SUCCESS")}
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files["model.keras"])) as old, zipfile.ZipFile(file, "w") as new:
        new.writestr("config.json", '{"module": "os", "class_name": "system", "config": {"command": "false"}}')
        for name in set(old.namelist()) - {"config.json"}:
            new.writestr(name, old.read(name))
    forged.mkdir()
    for name, body in with_sums(files | {"model.keras": file.getvalue()}).items():
        (forged / name).write_bytes(body)
    scores = [json.loads(predictor("predict", each, image, "--json").stdout)["images"] for each in (model, forged)]
    assert scores[0] == scores[1]


def test_a_damaged_model_is_refused(predictor: RunPredictor, model: Path, tmp_path: Path) -> None:
    image, copy = tmp_path / "a.png", tmp_path / "copy"
    image.write_bytes(picture(1, "PNG"))
    shutil.copytree(model, copy)
    (copy / "model.keras").write_bytes(b"PK")
    done = predictor("predict", copy, image)
    assert (done.returncode, "is not what SHA256SUMS says" in done.stderr) == (1, True)
    files = {name: body for name, body in contents(model).items() if name not in ("SHA256SUMS", "_SUCCESS")}
    for name, body in with_sums(files | {"model.keras": b"PK"}).items():
        (copy / name).write_bytes(body)
    done = predictor("predict", copy, image)
    assert (done.returncode, "holds no weights of this predictor's network" in done.stderr) == (1, True)


def test_keras_itself_reads_the_model(predictor: RunPredictor, model: Path) -> None:
    done = predictor(SCRIPTS / "load_model.py", model / "model.keras")
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout.splitlines()[-1])) == pytest.approx(1, abs=1e-3)
