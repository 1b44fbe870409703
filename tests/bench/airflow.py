"""What the project adds to Airflow on one machine: `make run` with nothing new, and `make ui`, beside Airflow alone.

Airflow alone has a home of its own of the same kind, and one DAG with one empty task. Both have run before, so that
their databases are made. What `make` runs is run as `make` does. The rounds' medians count; all take turns.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "include")]

import psutil  # noqa: E402

from local_stack import airflow_home  # noqa: E402
from local_stack.airflow_ui import airflow, is_healthy  # noqa: E402
from local_stack.processes import Child, fetch, free_port  # noqa: E402
from support.bench import Spent  # noqa: E402
from support.checkouts import bare_checkout, environ_of  # noqa: E402

ROUNDS, PATIENCE = 3, 900.0
EMPTY = """
from airflow.sdk import dag, task

@dag(schedule=None)
def empty():
    @task
    def nothing():
        pass

    nothing()

empty()
"""
STEPS = {
    "make run, nothing new": "airflow dags test",
    "of that, until Airflow starts": "airflow dags test",
    "make ui, until healthy": "airflow standalone",
    "make ui, until the first run is done": "airflow standalone",
}
AIMS = {"make run, nothing new": 1.2, "make ui, until the first run is done": 1.5}


class Clock:
    """Measures since it was made: by the clock, and the processor time of a process and all below it."""

    def __init__(self, process: int) -> None:
        self.started, self.process = time.perf_counter(), psutil.Process(process)

    def spent(self) -> Spent:
        """Return what was spent so far, by what still runs or was waited for."""
        cpu = 0.0
        for each in (self.process, *self.process.children(recursive=True)):
            try:
                cpu += sum(each.cpu_times()[:4])  # its own and its ended children's
            except psutil.NoSuchProcess:  # ended just now
                continue
        return Spent(time.perf_counter() - self.started, cpu)


def command(arguments: list[str], environ: dict[str, str], begins: str = "-") -> tuple[Spent, Spent | None]:
    """Run a command; return what it took, and what it had taken when it said a line that begins with these words."""
    before, then = psutil.Process().cpu_times(), None
    with subprocess.Popen(
        arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        clock = Clock(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(begins):
                then = clock.spent()
    assert process.returncode == 0, arguments
    after = psutil.Process().cpu_times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(time.perf_counter() - clock.started, cpu), then


@contextmanager
def healthy(arguments: list[str], environ: dict[str, str], url: str, log: Path) -> Iterator[tuple[Clock, Spent]]:
    """Run an Airflow with its pages while the block lasts, which begins when it is healthy."""
    with Child(" ".join(arguments[1:4]), arguments, env=environ, log=log, grace=60) as child:
        clock = Clock(child.pid)
        child.wait_until(lambda: is_healthy(fetch(f"{url}/api/v2/monitor/health")), PATIENCE)
        yield clock, clock.spent()


def run_in(url: str, password: str) -> None:
    """Trigger the DAG as a person does, and wait until the run is done."""
    login = {"username": "admin", "password": password}
    token = ask(f"{url}/auth/token", {}, login)["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    runs = f"{url}/api/v2/dags/covid_cxr_snapshot/dagRuns"
    made = ask(runs, headers, {"logical_date": None})
    while (state := ask(f"{runs}/{made['dag_run_id']}", headers)["state"]) in ("queued", "running"):
        time.sleep(0.2)
    assert state == "success", state


def ask(url: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> Any:
    """Call Airflow's REST API, again where SQLite was busy."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {**headers, "Content-Type": "application/json"})
    for _ in range(30):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
        time.sleep(1)
    raise AssertionError(f"{url} does not answer")


def ours(root: Path) -> dict[str, Spent]:
    """Return what the commands of `make` take in a checkout that has a snapshot of all there is."""
    python, environ = [sys.executable, "-m", "local_stack"], environ_of(root)
    whole, before = command([*python, "run"], environ, "Running the DAG")
    assert before is not None
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with healthy([*python, "ui", "--port", str(port)], environ, url, root / "ui.log") as (clock, started):
        (password,) = re.findall(r'"admin_password": "(.+)"', (root / ".local/secrets.json").read_text())
        run_in(url, password)
        return dict(zip(STEPS, (whole, before, started, clock.spent()), strict=True))


def alone(root: Path) -> dict[str, Spent]:
    """Return what Airflow takes by itself."""
    home = root / "airflow"
    keys = airflow_home.load_secrets(root / "secrets.json")
    airflow_home.write_private(home / "passwords.json", json.dumps({"admin": keys["admin_password"]}))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environ = environ_of(root) | airflow_home.variables(root, home, keys, port)
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])  # it calls `airflow`
    tested, _ = command(airflow("dags", "test", "empty"), environ)
    with healthy(airflow("standalone"), environ, url, root / "standalone.log") as (_, started):
        return {"airflow dags test": tested, "airflow standalone": started}


def report(rounds: list[tuple[dict[str, Spent], dict[str, Spent]]]) -> None:
    """Print the medians and their ratios."""
    print("| ours | seconds | CPU s | Airflow alone | seconds | CPU s | ratio | of CPU s | aim |")
    print("|---" * 9 + "|")
    for step, other in STEPS.items():
        (wall, cpu), (bare_wall, bare_cpu) = (
            [statistics.median(part) for part in zip(*(each[side][name] for each in rounds), strict=True)]
            for side, name in ((0, step), (1, other))
        )
        aim = f"{AIMS[step]:.1f}" if step in AIMS else ""
        both = f"| {step} | {wall:.1f} | {cpu:.1f} | {other} | {bare_wall:.1f} | {bare_cpu:.1f}"
        print(f"{both} | {wall / bare_wall:.2f} | {cpu / bare_cpu:.2f} | {aim} |")


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="bench-airflow-") as scratch:
        checkout, bare = Path(scratch) / "checkout", Path(scratch) / "bare"
        bare_checkout(checkout)
        for name in ("dags", "plugins", "airflow"):
            (bare / name).mkdir(parents=True)
        (bare / "dags/empty.py").write_text(EMPTY)
        command([sys.executable, "-m", "local_stack", "run"], environ_of(checkout))
        keys = airflow_home.load_secrets(bare / "secrets.json")
        variables = airflow_home.variables(bare, bare / "airflow", keys, free_port())
        command(airflow("db", "migrate"), environ_of(bare) | variables)
        rounds = []
        for number in range(ROUNDS + 1):
            found = ours(checkout), alone(bare)
            rounds += [found] if number else []  # in the first, a run is due that nobody triggered
            print(f"round {number} of {ROUNDS} done", file=sys.stderr, flush=True)
        report(rounds)


if __name__ == "__main__":
    main()
