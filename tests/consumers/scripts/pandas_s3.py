"""Reads the manifest and the shards straight from the S3 address URI with pandas and pyarrow."""

import json
import os
import sys

import pandas as pd
import pyarrow.dataset as ds
from pyarrow.fs import S3FileSystem

uri = sys.argv[1]
manifest = pd.read_parquet(f"{uri}/manifest.parquet")
store = S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], region=os.environ["AWS_DEFAULT_REGION"])
shards = ds.dataset(f"{uri.removeprefix('s3://')}/data", filesystem=store, format="parquet")
table = shards.to_table(columns=["file", "label", "split"])
with store.open_input_stream(f"{uri.removeprefix('s3://')}/manifest.csv") as stream:
    from_csv = pd.read_csv(stream)
print(
    json.dumps(
        {
            "columns": list(manifest.columns),
            "files": manifest["file"].tolist(),
            "integers": str(manifest["bytes"].dtype),
            "shard_rows": table.to_pylist(),
            "csv_equals_parquet": from_csv["sha256"].tolist() == manifest["sha256"].tolist(),
            "classes": from_csv["class"].value_counts().to_dict(),
        }
    )
)
