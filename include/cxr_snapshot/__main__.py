"""Command line: what is published, and what may be deleted. ``python -m cxr_snapshot --help`` lists the commands.

Exit status: 0 all is well, 1 a problem was found, 2 the command line or a setting is wrong.
"""

from __future__ import annotations

import getpass
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from cxr_predictor import environment
from cxr_snapshot import shown
from cxr_snapshot.audit.words import counted
from cxr_snapshot.catalog import reading as catalog
from cxr_snapshot.catalog import retention, side_by_side, withdrawal
from cxr_snapshot.catalog.download import download as download_snapshot
from cxr_snapshot.errors import SettingsError, SnapshotError
from cxr_snapshot.publication.changes import KINDS, NAMED_ANEW, describe, named_anew
from cxr_snapshot.publication.dictionary import data_dictionary
from cxr_snapshot.publication.index import INDEX, INDEX_PAGE, update_index
from cxr_snapshot.publication.marks import read_mark
from cxr_snapshot.publication.verification import verify as read_back
from cxr_snapshot.settings import DEFAULT_EDITION, Settings
from cxr_snapshot.sources import SOURCES
from cxr_snapshot.store.client import open_store
from cxr_snapshot.store.objects import Store

_WIDE = 100_000  # columns, where no terminal limits them: each row is one line

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at, check, copy and prune the snapshots of the bucket CXR_BUCKET. Address and keys of the store come "
    "from the variables that boto3 reads, such as AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID and AWS_PROFILE.",
)

Version = Annotated[str, typer.Argument(metavar="VERSION", help="Such as 2026-11-23 or 2026-11-23.1, or: latest.")]
Edition = Annotated[str, typer.Option(metavar="NAME", help="Of which edition.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]


@app.command("list")
def list_(
    edition: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this edition.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Ask the store as well whether the list is right.")] = False,
    as_json: AsJson = False,
) -> None:
    """List all snapshots of all editions, oldest first, as index.json names them."""
    found = catalog.list_snapshots(_store(DEFAULT_EDITION), edition, check=check)
    if as_json:
        _print_json(found)
        return
    rows = [
        [_marked(item), item["edition"], item["created"], _listed(item["counts"]), _listed(item["revisions"])]
        for item in found
    ]
    _print_table(["version", "edition", "created", "images", "revisions"], rows)


@app.command()
def reindex() -> None:
    """Write index.json and index.html anew, from what is in the bucket. Needs the right to write."""
    entries = update_index(_store(DEFAULT_EDITION), anew=True)
    _say(f"{INDEX} and {INDEX_PAGE} list {counted(len(entries), 'snapshot')}.")


@app.command()
def editions(as_json: AsJson = False) -> None:
    """Compare the newest snapshots of all editions: what is in them, and what tells their classes apart."""
    found = side_by_side.newest_of_all(_store(DEFAULT_EDITION))
    if as_json:
        _print_json(found)
        return
    rows = [[title, *cells] for title, cells in side_by_side.rows_of(found)]
    _print_table(["", *(entry["edition"] for entry in found)], rows)
    _say("The classes are told by a simple classifier from what shows no disease; guessing names 33 %.")


@app.command()
def show(version: Version, edition: Edition = DEFAULT_EDITION, as_json: AsJson = False) -> None:
    """Show what a snapshot holds, and from what it was made."""
    found = catalog.show(_store(edition), version)
    if as_json:
        _print_json(found)
        return
    _print_table(["", found["version"]], list(_flat(found)))


@app.command()
def diff(old: Version, new: Version, edition: Edition = DEFAULT_EDITION, as_json: AsJson = False) -> None:
    """List the images that were added, removed, replaced, re-labelled, moved to another split, renamed or updated."""
    found = catalog.diff(_store(edition), old, new)
    if as_json:
        _print_json(found)
        return
    entries = [(kind, entry) for kind in KINDS for entry in found[kind]]
    rows = [[kind, entry["file"], describe(entry)] for kind, entry in entries if not named_anew(entry)]
    _print_table(["change", "file", "what"], rows)
    if len(rows) < len(entries):
        _say(f"{NAMED_ANEW} For this reason alone {len(entries) - len(rows)} have another name.")
    _say(f"{found['old']} to {found['new']}: {_listed(found['counts'])}")


@app.command()
def columns(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Not given: as this release makes them.")
    ] = None,
    edition: Edition = DEFAULT_EDITION,
    as_json: AsJson = False,
) -> None:
    """Say what each file and each column means."""
    found = catalog.columns(_store(edition), version) if version else data_dictionary({}, SOURCES)
    if as_json:
        _print_json({"columns": found.to_dict("records")})
        return
    _print_table(list(map(str, found)), found.to_numpy().tolist())


@app.command()
def verify(
    version: Version,
    all_images: Annotated[bool, typer.Option("--all", help="Read every image back, not a sample.")] = False,
    edition: Edition = DEFAULT_EDITION,
    as_json: AsJson = False,
) -> None:
    """Read a snapshot back and compare names, sizes and SHA-256 with what was published."""
    store = _store(edition)
    name = catalog.resolve(store, version)
    found = read_back(store, name, all_images=all_images)
    if as_json:
        _print_json({"version": name, **found})
    else:
        _say(f"{name} is whole: {found['objects']} files, {decimal(found['bytes'])}; read {found['read_back']} back.")
        _say_mark(store, name)


@app.command()
def download(
    version: Version,
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="New or empty folder, one to go on with, or one with an earlier snapshot."),
    ],
    edition: Edition = DEFAULT_EDITION,
    as_json: AsJson = False,
) -> None:
    """Copy a snapshot to a folder and check every file; run it again to go on after an interruption."""
    store = _store(edition)
    name = catalog.resolve(store, version)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=as_json) as bar:
        task = bar.add_task(name, total=None)
        done = download_snapshot(store, name, folder, lambda done, total: bar.update(task, completed=done, total=total))
    if as_json:
        _print_json({"version": name, "folder": str(folder), **done._asdict()})
    else:
        saved = f" ({decimal(done.saved)} were there)" if done.saved else ""
        _say(f"{folder} holds {name}; {done.fetched} files fetched{saved}, every file checked.")
        _say_mark(store, name)


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest snapshots stay.")],
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only say what would be deleted.")] = False,
    edition: Edition = DEFAULT_EDITION,
    as_json: AsJson = False,
) -> None:
    """Delete old snapshots of an edition and what served only them. A run may be at work meanwhile."""
    store = _store(edition)
    plan = retention.plan_prune(store, keep, datetime.now(UTC))
    if yes:
        retention.prune(store, plan)
    if as_json:
        _print_json({"done": yes, **plan.summary()})
        return
    rows = [[kind, str(len(objects)), decimal(sum(objects.values()))] for kind, objects in plan.objects.items()]
    _print_table(["what", "objects", "size"], rows)
    _say(f"Edition: {plan.edition}. Of other editions, all snapshots stay.")
    _say(f"Kept: {', '.join(plan.kept) or 'none'}.")
    _say(f"{'Deleted' if yes else 'To delete'}: {', '.join(plan.doomed) or 'none'}.")
    if not yes:
        typer.echo("Nothing was deleted. Add --yes to delete this.")


@app.command()
def withdraw(
    *,
    reason: Annotated[str, typer.Option(help="Why. It is published.")],
    image: Annotated[
        str | None, typer.Option(metavar="SHA256|FILE", help="An image, by hash or published name.")
    ] = None,
    patient: Annotated[str | None, typer.Option(metavar="ID", help="All of a patient, such as covid:311a.")] = None,
    source_path: Annotated[
        str | None, typer.Option(metavar="SOURCE:PATH", help="An upstream's file, such as covid:images/a.jpg.")
    ] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Delete all bytes too, for good.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take images back, in all editions: no later snapshot has them, and those that do are marked."""
    kind, value = withdrawal.asked_for(image, patient, source_path)
    store = _store(DEFAULT_EDITION)
    time = datetime.now(UTC).isoformat(timespec="seconds")
    plan = withdrawal.plan_withdrawal(store, kind, value, reason=reason, erase=erase, time=time, by=getpass.getuser())
    done = withdrawal.withdraw(store, plan) if yes else {}
    if as_json:
        _print_json({"done": yes, **plan.summary(), **done})
        return
    found = [(name, version, files) for name, each in plan.snapshots.items() for version, files in each.items()]
    _print_table(
        ["edition", "version", "images"], [[name, version, ", ".join(files)] for name, version, files in found]
    )
    _say(f"{'Withdrawn' if yes else 'To withdraw'}, copies included: {', '.join(plan.records)}.")
    if erase:
        _say(f"{'Erased' if yes else 'To erase'}: {plan.blobs} of the upstreams' files, and all that was made of them.")
    if not yes:
        typer.echo("Nothing was done. Add --yes to do this.")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, an s3:// address, or [EDITION/]VERSION.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="JPEG, PNG or WebP files.")],
    as_json: AsJson = False,
) -> None:
    """Say what a model makes of images. This is not a diagnosis. Needs the environment of `make predictor`."""
    python = environment.predictor_python()
    if not python.is_file():
        raise SettingsError(environment.remedy(python))
    command = [str(python), "-m", "cxr_predictor", "predict", *(["--json"] if as_json else []), "--", model]
    done = subprocess.run([*command, *map(str, images)], env=environment.variables(), check=False)  # noqa: S603
    raise typer.Exit(done.returncode)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, or ``arguments`` in its place, and exit."""
    shown.on_any_terminal()
    try:
        sys.exit(app(args=arguments))
    except SnapshotError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(2 if isinstance(error, SettingsError) else 1)


def _store(edition: str) -> Store:
    return catalog.find_edition(open_store(Settings.load()), edition)


def _say_mark(store: Store, version: str) -> None:
    """Say what was withdrawn of a snapshot, if anything was."""
    mark, etag = read_mark(store, version)
    if etag:
        _say(f"WITHDRAWN: {mark.sentence}")


def _say(text: str) -> None:
    typer.echo(shown.line(text))


def _print_json(value: Any) -> None:
    typer.echo(shown.json_text(value))


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    table = Table()
    for name in header:
        table.add_column(_text(name), overflow="fold")  # a cell that is too wide goes on in the next line
    for row in rows:
        table.add_row(*map(_text, row))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _text(cell: str) -> Text:
    """Return a cell that is no markup to rich; on a terminal, hashes are shortened to ten digits."""
    if sys.stdout.isatty():
        cell = shown.short_hashes(cell)
    return Text(shown.line(cell))


def _flat(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield name and value of each entry, and of entries within entries."""
    for name, value in found.items():
        if not isinstance(value, Mapping):
            yield [name, str(value)]
            continue
        inner = {key: each for key, each in value.items() if isinstance(each, Mapping)}
        if plain := {key: each for key, each in value.items() if key not in inner}:
            yield [name, _listed(plain)]
        yield from ([f"{name}: {key}", _listed(each)] for key, each in inner.items())


def _marked(item: Mapping[str, Any]) -> str:
    marks = {"latest": item["latest"], "generated": item["synthetic"], "withdrawn": item["withdrawn"]}
    named = ", ".join(name for name, is_so in marks.items() if is_so)
    return f"{item['version']} ({named})" if named else str(item["version"])


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in values.items())


if __name__ == "__main__":
    main()
