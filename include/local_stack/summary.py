"""The words at the end of a run. Pure: what the store holds in, text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def published(snapshot: Mapping[str, Any], changes: Mapping[str, Any], *, seconds: float) -> str:
    """Return the summary of a new snapshot.

    Args:
        snapshot: the content of its ``snapshot.json``.
        changes: the content of its ``changes.json``.
        seconds: how long the run took.
    """
    from cxr_snapshot.audit.overrides import sentence, tally  # take a second
    from cxr_snapshot.selection.rules import REASONS

    counts, candidates, excluded = snapshot["counts"], snapshot["candidates"], snapshot["excluded"]
    audit = snapshot["audit"]
    images = [f"{name:<18}{counts[name]:>7,} of {candidates[name]:,} candidates" for name in sorted(counts)]
    sources = [f"{name:<19}{_revision(pin)}" for name, pin in sorted(snapshot["revisions"].items())]
    reasons = sorted(excluded.items(), key=lambda item: (-item[1], item[0]))
    parts = {
        "Address": [snapshot["uri"]],
        "Images": images,
        "Sources": sources,
        "Changed": [_changed(changes)],
        "Left out": [f"{number:>7,} {_with_words(rule, REASONS)}" for rule, number in reasons] or ["nothing"],
        "Audit": [
            f"{tally(audit['checks'], audit['passed'], snapshot['overrides'])}; see audit.html",
            *map(sentence, snapshot["overrides"]),
            audit["headline"],
        ],
        "Took": [_duration(seconds)],
    }
    rows = [
        f"  {title if first else '':<10}{line}"
        for title, lines in parts.items()
        for first, line in zip([True] + [False] * len(lines), lines, strict=False)
    ]
    return "\n".join([f"Published snapshot {snapshot['version']}", "", *rows])


def _with_words(rule: str, words: Mapping[str, str]) -> str:
    return f"{rule}: {words[rule]}" if rule in words else rule  # one of another version


def _changed(changes: Mapping[str, Any]) -> str:
    if changes["previous"] is None:
        return "this is the first snapshot"
    counts = ", ".join(f"{count:,} {kind}" for kind, count in changes["counts"].items() if count)
    return f"since {changes['previous']}: {counts or 'no image'}; see CHANGES.md"


def unchanged(latest: Mapping[str, Any] | None, *, seconds: float) -> str:
    """Return the summary of a run that published nothing; ``latest`` is the content of ``latest.json``."""
    took = f"Took {_duration(seconds)}."
    if latest is None:
        return f"Nothing published, and no snapshot exists yet. {took}"
    return f"Nothing new since {latest['version']} ({latest['uri']}); nothing published. {took}"


def how_to_read(snapshot: Mapping[str, Any], address: str | None, *, local: bool) -> str:
    """Return the commands that copy a snapshot.

    Args:
        snapshot: the content of its ``snapshot.json``.
        address: the store's endpoint, or ``None`` for Amazon S3.
        local: whether the store is the local one, which runs only while we do.
    """
    uri = snapshot["uri"]
    folder = uri.removeprefix("s3://").partition("/")[2].strip("/")
    command = "make download" if snapshot.get("synthetic") else "make download UPSTREAM=live"
    lines = [
        f"To copy it into .local/snapshots/{folder} and look at preview.jpg and audit.html there:",
        "",
        f"    {command}",
    ]
    if local:
        lines += [
            "",
            "To look at it in Airflow, or with other S3 tools, start `make ui`, which keeps the store running.",
        ]
    else:
        lines += ["", "or, with the AWS command line:", "", f"    {sync_command(uri, snapshot['version'], address)}"]
    return "\n".join(lines)


def how_to_reach(address: str, variables: str, uri: str, *, usual: int) -> str:
    """Return where the local store answers while it runs, and commands that copy all snapshots.

    Args:
        address: the store's endpoint.
        variables: assignments of what S3 tools need, for a shell.
        uri: what all snapshots are under.
        usual: the TCP port that it has where no other program has it.
    """
    odd = "" if address.endswith(f":{usual}") else f" (port {usual}, which it usually has, is in use)"
    command = f"{sync_command(uri, 'snapshots', None)} --exclude '*_work/*'"
    where = f"While this runs, the store answers at {address}{odd}. In another shell:"
    return f"{where}\n\n    export {variables}\n    {command}"


def sync_command(uri: str, target: str, address: str | None) -> str:
    """Return the AWS command line that copies everything under ``uri`` to the folder ``target``."""
    command = f"aws s3 sync {uri} {target}"
    return f"{command} --endpoint-url {address}" if address else command


def _revision(pin: str) -> str:
    return f"version {pin}" if pin.isdigit() and len(pin) < 40 else f"commit {pin}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
