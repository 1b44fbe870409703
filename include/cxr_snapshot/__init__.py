"""Builds dated, balanced, immutable snapshots of public chest X-ray collections. Imports no Airflow."""

import os

__version__ = "0.2.0"

# What Arrow allocates by itself, such as to write Parquet, and not from the pool that ``tables`` sets. Arrow reads this
# when it is loaded; its own choice keeps 60 MB more once four threads have written tables.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
