"""Put the images in a folder into a bucket, in 16 threads: ``upload.py FOLDER PATTERN S3_URL BUCKET PREFIX``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

folder, pattern, s3_url, bucket, prefix = sys.argv[1:]
config = Config(max_pool_connections=16, request_checksum_calculation="when_required")
client = boto3.client("s3", endpoint_url=s3_url, config=config)


def put(path: Path) -> None:
    client.put_object(Bucket=bucket, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())


with ThreadPoolExecutor(16) as pool:
    list(pool.map(put, Path(folder).glob(pattern)))
