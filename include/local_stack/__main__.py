"""Command line of the local stack; ``make`` calls it. See ``make help``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_snapshot import shown
from cxr_snapshot.errors import SnapshotError
from local_stack import airflow_home, environment, stack, summary
from local_stack.airflow_ui import airflow_ui, wait_for_the_first
from local_stack.processes import Child, StackError, free_port, unwind_on_signals

if TYPE_CHECKING:
    from cxr_snapshot.store.objects import Store

ROOT = Path(__file__).parents[2]
DAG_ID = "covid_cxr_snapshot"
PAGES = "covid-cxr-snapshots"  # the address that plugins/snapshot_pages.py gives them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; ``arguments`` stands in for the command line."""
    options = _parse(arguments)
    unwind_on_signals()
    shown.on_any_terminal()
    try:
        return _run(options)
    except (StackError, SnapshotError) as error:
        print(f"\nError: {shown.lines(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 128 + signal.SIGINT


def _run(options: argparse.Namespace) -> int:
    if options.upstream == "live" and (options.command == "advance" or vars(options).get("advance")):
        raise StackError(
            "Only the generated sample can be given a commit; the real collections move by themselves. "
            "Leave out UPSTREAM=live, or leave out ADVANCE and `make advance`."
        )
    commands: dict[str, Callable[[], int]] = {
        "run": lambda: run(options.upstream, advance=options.advance),
        "advance": advance,
        "ui": lambda: ui(options.upstream, options.port),
        "download": lambda: download(options.upstream, options.edition, options.to),
        "predictor": lambda: predictor(options.upstream, options.judges),
        "cxr": lambda: cxr(options.upstream, options.arguments),
    }
    return commands[options.command]()


def run(upstream: str, *, advance: bool) -> int:
    """Run the DAG once and say what came of it."""
    started = time.monotonic()
    _check_dag_is_there()
    with stack.services(ROOT, upstream, advance=advance) as processes:
        store = _store()
        before = store.get_json("latest.json")
        os.environ.update(_airflow_variables(port=free_port()))
        log = stack.log_file(ROOT, f"run-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
        print(f"Running the DAG {DAG_ID} (Airflow's log: {log.relative_to(ROOT)})", flush=True)
        command = [sys.executable, "-m", "local_stack.dag_run", DAG_ID, str(log)]
        # No grace: Airflow takes an interrupt for a failure of the task and goes on, and a killed run can be continued.
        with Child("The run", command, env=os.environ, grace=0) as job:
            if job.wait() != 0:
                print(f"\nThe run failed. Log: {log.relative_to(ROOT)}", file=sys.stderr)
                return 1
        latest = store.get_json("latest.json")
        seconds = time.monotonic() - started
        print()
        if latest is None or latest == before:
            print(shown.lines(summary.unchanged(latest, seconds=seconds)))
            return 0
        snapshot = json.loads(store.get(f"{latest['version']}/snapshot.json"))
        changes = json.loads(store.get(f"{latest['version']}/changes.json"))
        print(shown.lines(summary.published(snapshot, changes, seconds=seconds)))
        address = environment.endpoint(os.environ)
        print(f"\n{summary.how_to_read(snapshot, address, local=bool(processes))}")
    return 0


def advance() -> int:
    """Give the generated sample its next commit, also while ``make ui`` serves it."""
    step = stack.advance_sample(ROOT / ".local/upstream")
    if step is None:
        print("The generated sample is at its last commit; there is none to move on to.")
    else:
        print(f"The generated sample has a new commit, {step}. To publish it: `make run`; while `make ui` runs, press")
        print("*Trigger* on the DAG's page instead.")
    return 0


def ui(upstream: str, port: int | None) -> int:
    """Run Airflow with its web pages until Ctrl-C, or a signal, comes."""
    _check_dag_is_there()
    if port is not None and (port == stack.PORT or free_port(port) != port):
        raise StackError(f"Port {port} is in use, or the store's. Choose another: make ui PORT={free_port()}")
    if port is None:
        port = free_port(8080)
        if port != 8080:
            print(f"Port 8080 is in use, so this takes port {port}.")
    url = f"http://127.0.0.1:{port}"
    with stack.services(ROOT, upstream) as processes:
        _store().get_json("latest.json")  # a bucket that cannot be read is better noticed now
        os.environ.update(_airflow_variables(port=port))
        logs = stack.log_file(ROOT, "airflow").parent
        print(f"Airflow is starting (logs: {logs.relative_to(ROOT)}/airflow-*.log) ...", flush=True)
        with airflow_ui(url, os.environ, logs) as parts:
            keys = airflow_home.load_secrets(ROOT / ".local/secrets.json")
            print(f"\nAirflow:   {url}/dags/{DAG_ID}\nSnapshots: {url}/{PAGES}/\nUser:      admin")
            print(f"Password:  {keys['admin_password']}")
            print("\nA run that is due starts by itself. One that you trigger waits until no other is active.")
            if processes:
                address, uri = os.environ["AWS_ENDPOINT_URL_S3"], _store().uri("")
                variables = environment.assignments(environment.reader(address, keys))
                print(f"\n{summary.how_to_reach(address, variables, uri, usual=stack.PORT)}")
            print("\nCtrl-C stops everything.", flush=True)
            try:
                wait_for_the_first([*processes, *parts])
            except KeyboardInterrupt:  # the end that it is meant to have
                print("\nStopping ...", flush=True)
    print("Stopped.")
    return 0


def download(upstream: str, edition: str, to: Path | None) -> int:
    """Copy an edition's latest snapshot of the sample, or of the live upstreams, to ``to`` or ``.local/snapshots``."""
    from cxr_snapshot.catalog.reading import find_edition
    from local_stack.download import download as fetch_latest

    with stack.store_only(ROOT, upstream):
        folder, files = fetch_latest(find_edition(_store(), edition), ROOT / ".local/snapshots", to)
    fetched = f"{files} files fetched and checked" if files else "it was there before"
    shorter = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(f"{shown.lines(str(shorter))} holds the latest snapshot; {fetched}.")
    return 0


def predictor(upstream: str, judges: str | None) -> int:
    """Train a model on the latest snapshot, publish it, and copy it to ``.local/models``."""
    from local_stack.predictor import train

    with stack.store_only(ROOT, upstream):
        folder = train(_store(), ROOT / ".local/models", judges)
    print(f"\n{(folder / 'README.md').relative_to(ROOT)} says how good it is, and what its scores do not mean.")
    print(f'To try it: make cxr ARGS="predict {folder.relative_to(ROOT)} IMAGE..."')
    return 0


def cxr(upstream: str, arguments: list[str]) -> int:
    """Run the command line of the snapshots against the store that ``make run`` writes to."""
    command = [sys.executable, "-m", "cxr_snapshot", *arguments]
    with stack.store_only(ROOT, upstream):
        return subprocess.run(command, check=False).returncode


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local_stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="run the pipeline once")
    run_parser.add_argument("--advance", action="store_true", help="first move the sample upstream one commit on")
    advance_parser = commands.add_parser("advance", help="move the sample upstream one commit on")
    ui_parser = commands.add_parser("ui", help="run Airflow with its web pages")
    ui_parser.add_argument("--port", type=int, help="TCP port (default: 8080, or a free one)")
    download_parser = commands.add_parser("download", help="copy the latest snapshot to .local/snapshots")
    cxr_parser = commands.add_parser("cxr", help="list, show, compare, verify, download or prune snapshots")
    download_parser.add_argument("--edition", default="default", help="whose snapshot (default: %(default)s)")
    download_parser.add_argument("--to", type=_folder, help="folder that becomes the snapshot")
    predictor_parser = commands.add_parser("predictor", help="train a model on the latest snapshot")
    predictor_parser.add_argument("--judges", help="another snapshot, whose unknown patients judge the model")
    for command in (run_parser, advance_parser, ui_parser, download_parser, cxr_parser, predictor_parser):
        command.add_argument(
            "--upstream", choices=["sample", "live"], default="sample", help="a generated sample, or GitHub and Kaggle"
        )
    cxr_parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    return Path(text).expanduser()


def _check_dag_is_there() -> None:
    file = ROOT / "dags" / f"{DAG_ID}.py"
    if not file.exists():
        raise StackError(f"{file} does not exist. Check out the whole repository.")


def _store() -> Store:
    from cxr_snapshot.settings import Settings
    from cxr_snapshot.store.client import open_store

    return open_store(Settings.load())


def _airflow_variables(port: int) -> dict[str, str]:
    home = ROOT / ".local/airflow"
    home.mkdir(parents=True, exist_ok=True)
    keys = airflow_home.load_secrets(ROOT / ".local/secrets.json")
    airflow_home.write_private(home / "passwords.json", json.dumps({"admin": keys["admin_password"]}))
    return airflow_home.variables(ROOT, home, keys, port)


if __name__ == "__main__":
    sys.exit(main())
