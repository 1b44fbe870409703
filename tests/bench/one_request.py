"""What a request to the store costs of this process's processor time: as the pipeline asks, and by other ways.

Objects of 80 kB, one thread, one S3 server on the same machine. Each way is a process of its own, so that no way pays
for another's modules; the ways take turns, and the medians of the rounds count.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

from local_stack.stack import s3_server  # noqa: E402
from support.bench import KEY_VARIABLES  # noqa: E402
from support.paths import ROOT  # noqa: E402
from support.stores import client_of  # noqa: E402

ROUNDS = 3
SCRIPT = Path(__file__).parent / "ways/one_request.py"
OTHER = ROOT / ".local/compare-venv/bin/python"  # has obstore, which is in no other environment
WAYS = {
    "store": (sys.executable, "`Store`, over boto3 (used)"),
    "boto3": (sys.executable, "boto3 alone"),
    "urllib3": (sys.executable, "urllib3 alone, not signed"),
    "http_client": (sys.executable, "`http.client` alone, not signed"),
    "obstore": (OTHER, "obstore"),
}
ASKED = ("read", "write", "copy")


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"PATH": os.environ["PATH"], "HOME": folder, "PYTHONPATH": str(ROOT / "include"), **KEY_VARIABLES}
        with s3_server(ROOT, Path(folder) / "data", Path(folder) / "log", environ) as (url, _):
            client_of(url).create_bucket(Bucket="bench")
            environ["AWS_ENDPOINT_URL_S3"] = url
            rounds = [{way: costs(way, url, environ) for way in WAYS} for _ in range(ROUNDS)]
    print(f"| way | {' | '.join(ASKED)} |")
    print("|---" * (1 + len(ASKED)) + "|")
    for way, (_, words) in WAYS.items():
        cells = [middle([found[way] for found in rounds], asked) for asked in ASKED]
        print(f"| {words} | {' | '.join(cells)} |")


def costs(way: str, url: str, environ: dict[str, str]) -> dict[str, float]:
    """Return the milliseconds of a request by one way, by what is asked."""
    command = [WAYS[way][0], SCRIPT, way, url]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def middle(rounds: list[dict[str, float]], asked: str) -> str:
    """Return the median with two digits; nothing where a way was not asked for that."""
    return f"{statistics.median(found[asked] for found in rounds):.2f}" if asked in rounds[0] else ""


if __name__ == "__main__":
    main()
