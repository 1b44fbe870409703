"""Command line: write a sample upstream, serve it, and move it on by one commit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from upstream_simulator import sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; ``arguments`` stands in for the command line."""
    parser = argparse.ArgumentParser(prog="python -m upstream_simulator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("sample", help="write a generated upstream to DIR, unless one is there")
    write.add_argument("--seed", type=int, default=0, help="another number gives other pictures (default: 0)")
    onward = commands.add_parser("advance", help="move the COVID upstream in DIR on by one commit")
    serve = commands.add_parser("serve", help="serve DIR in the forms of GitHub and Kaggle until interrupted")
    serve.add_argument(
        "--port", type=int, required=True, help="TCP port of the APIs, files are at the next; 0: free ones"
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    serve.add_argument("--replay", action="store_true", help="first move the COVID upstream back to its first commit")
    for command in (write, onward, serve):
        command.add_argument("folder", metavar="DIR", type=Path, help="folder of the sample")
    options = parser.parse_args(arguments)
    try:
        if sample.move_older(options.folder):
            print(f"Moved the repository of an older version to {options.folder / sample.GIT_NAME}.", flush=True)
        if options.command == "sample":
            _sample(options.folder, options.seed)
        elif options.command == "advance":
            _advance(options.folder)
        else:
            _serve(options.folder, options.host, options.port, replay=options.replay)
    except sample.SampleError as error:
        sys.exit(f"upstream_simulator: {error}")


def _sample(folder: Path, seed: int) -> None:
    if sample.has_sample(folder):
        print(f"{folder} has a sample already; left untouched. Delete the folder to write a new one.")
        return
    sample.write_sample(folder, seed)
    print(f"Wrote a sample upstream to {folder}.")


def _advance(folder: Path) -> None:
    step = sample.advance(folder / sample.GIT_NAME)
    if step is None:
        print(f"The COVID upstream in {folder} is at its last step; there is no further one.")
    else:
        print(f"The COVID upstream in {folder} is now at {step}.")


def _serve(folder: Path, host: str, port: int, *, replay: bool) -> None:
    from upstream_simulator.server import UpstreamSimulator

    git_dir = folder / sample.GIT_NAME
    if not git_dir.exists():
        raise sample.SampleError(f"{git_dir} does not exist; run `python -m upstream_simulator sample {folder}` first")
    if replay:
        sample.rewind(git_dir)
    try:
        simulator = UpstreamSimulator(folder / sample.GITHUB_NAME, folder / sample.KAGGLE_NAME, port=port, host=host)
    except OSError as error:
        where = f"port {port} and the next"
        raise sample.SampleError(f"cannot serve {folder} on {where}: {error}; choose another --port") from error
    with simulator:
        print(f"Serving {folder} at {simulator.url}", flush=True)
        for name, value in simulator.settings().items():
            print(f"CXR_{name.upper()}={value}", flush=True)
        simulator.serve_forever()


if __name__ == "__main__":
    main()
