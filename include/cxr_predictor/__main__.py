"""Command line of the predictor, in its own environment. ``python -m cxr_predictor --help`` lists the commands.

Exit status: 0 all is well, 1 a problem was found, 2 the command line or a setting is wrong, 3 the snapshot is too
small.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxr_predictor.environment import TOO_FEW
from cxr_predictor.errors import TooFewPatientsError
from cxr_snapshot import shown
from cxr_snapshot.errors import SettingsError, SnapshotError

_NAMED = "a folder, an s3:// address, or [EDITION/]VERSION of the store that CXR_BUCKET and the AWS_* variables name"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; ``arguments`` stands in for the command line."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("cxr_predictor").setLevel(logging.INFO)
    try:
        status: int = options.run(options)
    except SnapshotError as error:
        print(f"Error: {error}", file=sys.stderr)
        return TOO_FEW if isinstance(error, TooFewPatientsError) else 2 if isinstance(error, SettingsError) else 1
    return status


def _train(options: argparse.Namespace) -> int:
    from cxr_predictor.published import store_of_settings
    from cxr_predictor.release import train_and_publish, train_to_folder

    if options.out:
        done = train_to_folder(options.snapshot, options.out, options.judges, options.seed)
    else:
        done = train_and_publish(store_of_settings(), options.snapshot, options.judges, options.seed)
    print(shown.json_text(done))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from cxr_predictor.prediction import predict
    from cxr_predictor.published import find_model

    done = predict(find_model(options.model), options.images)
    print(shown.json_text(done) if options.json else shown.lines(_told(done)))
    return int(any("problem" in image for image in done["images"]))


def _told(done: dict[str, Any]) -> str:
    lines = [done["warning"], ""]
    for image in done["images"]:
        said = image.get("problem") or "  ".join(f"{name} {value:.2f}" for name, value in image["scores"].items())
        lines.append(f"{image['file']}: {said}")
    return "\n".join(lines)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    from cxr_predictor.training import SEED

    parser = argparse.ArgumentParser(prog="python -m cxr_predictor", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a model on a snapshot and publish it beside the snapshots")
    train.add_argument("snapshot", help=_NAMED)
    train.add_argument("--judges", help="another snapshot, whose unknown patients judge the model; named likewise")
    train.add_argument("--out", type=Path, help="write the model to this new folder and publish nothing")
    train.add_argument("--seed", type=int, default=SEED)
    train.set_defaults(run=_train)
    predict = commands.add_parser("predict", help="give probabilities for images, with a warning")
    predict.add_argument("model", help=_NAMED)
    predict.add_argument("images", nargs="+", type=Path)
    predict.add_argument("--json", action="store_true")
    predict.set_defaults(run=_predict)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
