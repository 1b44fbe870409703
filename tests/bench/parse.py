"""How long the DAG processor needs for the DAG file, beside Airflow's own import."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = f"""
import sys, time
started = time.perf_counter()
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
imported = time.perf_counter()
bag = DagBag({str(ROOT / "dags")!r})
parsed = time.perf_counter()
assert not bag.import_errors and "covid_cxr_snapshot" in bag.dags, bag.import_errors
print(imported - started, parsed - imported)
"""


def main() -> None:
    """Print best and median of five processes, after one that warms the file cache."""
    runs = []
    for _ in range(6):
        with tempfile.TemporaryDirectory() as home:
            ours = {"AIRFLOW_HOME": home, "PYTHONPATH": str(ROOT / "include"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
            command = [sys.executable, "-c", SCRIPT]
            done = subprocess.run(command, env=os.environ | ours, check=True, capture_output=True, text=True)
        runs.append([float(number) for number in done.stdout.split()[-2:]])
    print("| step | seconds, best of 5 | median |")
    print("|---|---|---|")
    for name, values in zip(("import airflow", "parse dags/"), zip(*runs[1:], strict=True), strict=True):
        print(f"| {name} | {min(values):.2f} | {sorted(values)[2]:.2f} |")


if __name__ == "__main__":
    main()
