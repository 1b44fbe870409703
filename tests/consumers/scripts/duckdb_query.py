"""Asks DuckDB about the Parquet files of FOLDER."""

import json
import sys

import duckdb

folder = sys.argv[1]
counts = duckdb.sql(f"select split, class, label, count(*) from '{folder}/data/*.parquet' group by all order by all")
png = duckdb.sql(f"select distinct hex(image.bytes[1:4]) from '{folder}/data/*.parquet'")
joined = duckdb.sql(
    f"select count(*) from '{folder}/data/*.parquet' as shard join '{folder}/manifest.parquet' as manifest "
    "using (sha256) where shard.split = manifest.split and shard.file = manifest.file"
)
print(json.dumps({"counts": counts.fetchall(), "png": png.fetchall(), "joined": joined.fetchone()[0]}))
