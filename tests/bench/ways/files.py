"""How the ways begin that start from both archives: download, unpack, filter with pandas."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import requests


def fetch_covid(url: str, folder: Path) -> Path:
    """Download and unpack the repository's archive; return the repository."""
    with requests.get(url, stream=True, timeout=60) as answer, (folder / "covid.tar.gz").open("wb") as file:
        answer.raise_for_status()
        shutil.copyfileobj(answer.raw, file)
    with tarfile.open(folder / "covid.tar.gz") as tar:
        tar.extractall(folder / "covid", filter="data")
    (repository,) = (folder / "covid").iterdir()
    return repository


def fetch_pneumonia(url: str, folder: Path) -> Path:
    """Download and unpack Kaggle's zip; return the folder with its three splits."""
    dataset = {"ownerSlug": "paultimothymooney", "datasetSlug": "chest-xray-pneumonia"}
    with requests.post(url, json=dataset, stream=True, timeout=60) as answer, (folder / "k.zip").open("wb") as file:
        answer.raise_for_status()
        shutil.copyfileobj(answer.raw, file)
    with zipfile.ZipFile(folder / "k.zip") as archive:
        archive.extractall(folder / "kaggle")
    return folder / "kaggle/chest_xray"


def choose(repository: Path, kaggle: Path) -> dict[str, list[Path]]:
    """Return the files of each class, as upstream's own ``select_covid_patient_X_ray_images.py`` filters them."""
    metadata = pd.read_csv(repository / "metadata.csv")
    covid = metadata[metadata["finding"].str.contains("COVID-19", na=False)]
    covid = covid[covid["view"].isin(["PA", "AP", "AP Supine", "AP Erect"]) & covid["modality"].eq("X-ray")]
    return {
        "COVID": [path for name in covid["filename"] if (path := repository / "images" / name.strip()).exists()],
        "NORMAL": sorted(kaggle.glob("t*/NORMAL/*.jpeg")),
        "PNEUMONIA": sorted(kaggle.glob("t*/PNEUMONIA/*.jpeg")),
    }
