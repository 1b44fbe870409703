"""Editions: named choices of what a snapshot holds, and under which name a run publishes.

The *default* edition has the settings of the deployment. Every other one stands in a file, with the settings in which
it differs; these win over the environment. Pure: no Airflow, no store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxr_snapshot.errors import SettingsError
from cxr_snapshot.settings import (
    DEFAULT_EDITION,
    LATER_SELECTION,
    SELECTION,
    Settings,
    is_edition_name,
    refuse_unknown,
    require_edition_name,
)
from cxr_snapshot.sources import chosen

DAG_ID = "covid_cxr_snapshot"  # of the default edition, and the name of its asset
CHOICES = ("sources", *SELECTION, *LATER_SELECTION)  # settings that an edition may name

_FIELDS = ("name", "title", "schedule", "paused", "settings")
_REQUIRED = ("name", "title")


@dataclass(frozen=True)
class Edition:
    """One edition.

    Attributes:
        name: up to 31 lower-case letters, digits and hyphens.
        title: what people call it.
        schedule: when its DAG runs, a cron expression; ``None`` for only by hand, and for the default edition, whose
            schedule is that of the deployment.
        paused: whether its DAG is paused when Airflow sees it for the first time.
        settings: those that it does not take from the deployment, by name.
    """

    name: str
    title: str
    schedule: str | None = None
    paused: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        """Whether this is the default edition."""
        return self.name == DEFAULT_EDITION

    @property
    def dag_id(self) -> str:
        """Name of its DAG, and of the asset that its snapshots update."""
        return dag_id(self.name)


DEFAULT = Edition(DEFAULT_EDITION, "COVID chest X-ray snapshot", paused=False)


def dag_id(edition: str) -> str:
    """Return the name of an edition's DAG, which is that of its asset too."""
    return DAG_ID if edition == DEFAULT_EDITION else f"{DAG_ID}_{edition}"


def edition_of(dag: str) -> str | None:
    """Return the name of the edition whose DAG would have this name; ``None`` for that of no edition."""
    if dag == DAG_ID:
        return DEFAULT_EDITION
    name = dag.removeprefix(f"{DAG_ID}_")
    return name if name not in (dag, DEFAULT_EDITION) and is_edition_name(name) else None


def read_editions(file: Path) -> tuple[Edition, ...]:
    """Return the default edition, and those that a file lists.

    Args:
        file: YAML: a list of mappings with ``name``, ``title``, and, where they are wanted, ``schedule``, ``paused``
            and ``settings``.

    Raises:
        SettingsError: the file cannot be read, or something in it is wrong; names file, edition and field.
    """
    import yaml

    try:
        entries = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file} cannot be read: {error}. Correct it; it lists the editions.") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"{file} is no list of editions. Begin each with '- name: ...'; an empty file has none.")
    found = [DEFAULT]
    for number, entry in enumerate(entries, start=1):
        where = f"{file}, edition {entry.get('name', f'number {number}')}"
        try:
            edition = _edition(entry)
            if edition.name in {other.name for other in found}:
                raise SettingsError("name is taken, by another entry or by the default edition. Choose another one")
        except SettingsError as error:
            raise SettingsError(f"{where}: {error}") from error
        found.append(edition)
    return tuple(found)


def place_of(
    edition: Edition, asked: str | None, own: Mapping[str, Any], wanted: Mapping[str, Any], taken: Collection[str]
) -> str:
    """Return the name of the edition under which a run publishes.

    Args:
        edition: whose DAG runs.
        asked: the name that the run asks for, if any.
        own: what :meth:`Settings.selection` says of the edition.
        wanted: what it says of the run.
        taken: names of all editions that have a DAG.

    Raises:
        SettingsError: the run differs from its edition and asks for no name, or for one that is taken.
    """
    changed = sorted(name for name in {*own, *wanted} if own.get(name) != wanted.get(name))
    if asked is None and not changed:
        return edition.name
    if asked is None:
        raise SettingsError(
            f"this run sets {', '.join(changed)} otherwise than the edition {edition.name}, so that it must not "
            "publish under its name. Trigger it again with a name of its own under Edition, such as experiment-1."
        )
    if require_edition_name(asked) in taken and (changed or asked != edition.name):
        why = f"sets {', '.join(changed)} otherwise" if changed else f"is one of the edition {edition.name}"
        raise SettingsError(
            f"this run {why} and asks for the edition {asked}, which has a DAG of its own. Give another name under "
            f"Edition; taken are {', '.join(sorted(taken))}."
        )
    return asked


def _edition(entry: Mapping[str, Any]) -> Edition:
    """Return one entry of the file.

    Raises:
        SettingsError: a field is missing, unknown or wrong.
    """
    refuse_unknown("field", map(str, entry), _FIELDS)
    for name in _REQUIRED:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise SettingsError(f"{name} is {entry.get(name)!r}, but must be a text")
    schedule, paused, settings = entry.get("schedule"), entry.get("paused", True), entry.get("settings") or {}
    if schedule is not None and (not isinstance(schedule, str) or len(schedule.split()) != 5):
        raise SettingsError(f"schedule is {schedule!r}, but must be a cron expression of five parts, or left out")
    if not isinstance(paused, bool):
        raise SettingsError(f"paused is {paused!r}, but must be true or false")
    if not isinstance(settings, dict):
        raise SettingsError(f"settings is {settings!r}, but must have a line 'setting: value' for each setting")
    refuse_unknown("setting of an edition", map(str, settings), CHOICES)
    Settings.load({"bucket": "any", **settings}, environ={})
    chosen(settings.get("sources"), where="sources")
    return Edition(require_edition_name(entry["name"]), entry["title"].strip(), schedule, paused, settings)
