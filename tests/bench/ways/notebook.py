"""Build the dataset as a notebook does: download everything, unpack, filter with pandas, copy, upload in a loop.

    notebook.py ARCHIVE_URL KAGGLE_URL S3_URL BUCKET PREFIX

It follows upstream's own ``select_covid_patient_X_ray_images.py`` and many public notebooks. It checks no checksum and
decodes no image, finds no duplicates, and keeps nothing for the next time.
"""

from __future__ import annotations

import random
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import boto3
import pandas as pd
import requests

archive_url, kaggle_url, s3_url, bucket, prefix = sys.argv[1:]

with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)

    # The COVID images
    with requests.get(archive_url, stream=True, timeout=60) as answer, (work / "covid.tar.gz").open("wb") as file:
        shutil.copyfileobj(answer.raw, file)
    with tarfile.open(work / "covid.tar.gz") as tar:
        tar.extractall(work / "covid", filter="data")
    (repository,) = (work / "covid").iterdir()

    # The other images
    dataset = {"ownerSlug": "paultimothymooney", "datasetSlug": "chest-xray-pneumonia"}
    with (
        requests.post(kaggle_url, json=dataset, stream=True, timeout=60) as answer,
        (work / "k.zip").open("wb") as file,
    ):
        shutil.copyfileobj(answer.raw, file)
    with zipfile.ZipFile(work / "k.zip") as archive:
        archive.extractall(work / "kaggle")

    # Filter
    metadata = pd.read_csv(repository / "metadata.csv")
    covid = metadata[metadata["finding"].str.contains("COVID-19", na=False)]
    covid = covid[covid["view"].isin(["PA", "AP", "AP Supine", "AP Erect"]) & covid["modality"].eq("X-ray")]
    files = {
        "COVID": [path for name in covid["filename"] if (path := repository / "images" / name.strip()).exists()],
        "NORMAL": sorted((work / "kaggle/chest_xray").glob("t*/NORMAL/*.jpeg")),
        "PNEUMONIA": sorted((work / "kaggle/chest_xray").glob("t*/PNEUMONIA/*.jpeg")),
    }

    # Balance and copy
    size = min(map(len, files.values()))
    random.seed(0)
    for label, paths in files.items():
        (work / "dataset" / label).mkdir(parents=True)
        for path in random.sample(paths, size):
            shutil.copy(path, work / "dataset" / label)

    # Upload
    s3 = boto3.client("s3", endpoint_url=s3_url)
    for path in sorted((work / "dataset").rglob("*.*")):
        s3.upload_file(str(path), bucket, f"{prefix}/{path.relative_to(work / 'dataset')}")
