"""Build the dataset as a notebook does: download everything, unpack, filter with pandas, copy, upload in a loop.

    notebook.py ARCHIVE_URL KAGGLE_URL S3_URL BUCKET PREFIX

Many public notebooks do so. It checks no checksum and decodes no image, finds no duplicates, and keeps nothing for the
next time.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path

import boto3
from files import choose, fetch_covid, fetch_pneumonia

archive_url, kaggle_url, s3_url, bucket, prefix = sys.argv[1:]

with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)
    files = choose(fetch_covid(archive_url, work), fetch_pneumonia(kaggle_url, work))

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
