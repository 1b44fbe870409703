"""Guards that were overridden: what, by how much, by whom or in which run. It stays with the snapshot for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from cxr_snapshot.audit import PAGE, REPORT
from cxr_snapshot.errors import GuardError
from cxr_snapshot.inspection.forms import form_of_pictures
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.plan import Plan
from cxr_snapshot.store.encoding import parse_json
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import get_sealed

APPROVAL, SETTING = "approval", "accept_shrink"


class Approval(TypedDict):
    """A person's word. ``user``: the name, where it is known. ``time``: ISO 8601."""

    user: str | None
    time: str


def by_setting(failed: Iterable[Mapping[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """Return the overrides that the run's own setting ``accept_shrink`` makes: of lost candidates, nothing else.

    Args:
        failed: checks that failed, as in ``audit.json``.
        plan: of the run.
    """
    lost = [check for check in failed if "class" in check["measured"]] if plan["accept_shrink"] else []
    return [_record(check, SETTING, plan, plan["triggered_by"], plan["created"]) for check in lost]


def settle(store: Store, plan: Plan, approval: Approval | None) -> dict[str, bytes]:
    """Return the audit's files as they are published: with what became of the checks that failed.

    Args:
        store: holds what the audit wrote.
        plan: of the run.
        approval: the word of the person who was asked, if anybody was.

    Raises:
        GuardError: a check failed and nobody accepted it.
        MissingObjectError: the run was not audited.
    """
    folder, remedy = plan["folder"], "Clear the task audit and run again."
    files = {name: get_sealed(store, f"{folder}/{name}", remedy) for name in (REPORT, PAGE)}
    report = parse_json(files[REPORT], store.uri(f"{folder}/{REPORT}"))
    unsettled = [check for check in report["checks"] if not check["passed"] and check["accepted_by"] is None]
    if not unsettled:
        return files
    if approval is None or any(check["required"] for check in unsettled):
        names = ", ".join(check["name"] for check in unsettled)
        raise GuardError(
            f"Nothing is published: {names} failed, and there is no record that a person approved it. Clear the task "
            "audit; it says what to do, or asks."
        )
    from cxr_snapshot.audit.report import conclude, report_files  # takes two seconds and 100 MB

    made = [_record(check, APPROVAL, plan, approval["user"], approval["time"]) for check in unsettled]
    pictures = Pictures(store, form_of_pictures(plan["settings"]))
    return report_files(pictures, conclude(report, [*report["overrides"], *made]))


def who(override: Mapping[str, Any]) -> str:
    """Say who accepted that a check failed."""
    if override["how"] == APPROVAL:
        return override["user"] or "a person whose name is not known"
    triggered = f", which {override['user']} triggered" if override["user"] else ""
    return f"the setting accept_shrink of run {override['run']}{triggered}"


def sentence(override: Mapping[str, Any]) -> str:
    """Say what was overridden, by whom and when."""
    asked = f" in run {override['run']}" if override["how"] == APPROVAL else ""
    return f"{override['finding']} Accepted by {who(override)}{asked} at {override['time']}."


def tally(total: int, passed: int, overrides: Sequence[Mapping[str, Any]]) -> str:
    """Return such as ``13 of 14 checks passed, 1 failed and was accepted by reviewer``."""
    text = f"{passed} of {total} checks passed"
    if not overrides:
        return text
    people = " and ".join(sorted({who(override) for override in overrides}))
    return f"{text}, {len(overrides)} failed and {'was' if len(overrides) == 1 else 'were'} accepted by {people}"


def _record(check: Mapping[str, Any], how: str, plan: Plan, user: str | None, time: str) -> dict[str, Any]:
    """Return an entry of ``overrides``."""
    fraction = check["measured"].get("fraction")
    return {
        "check": check["name"],
        "finding": check["finding"],
        "measured": check["measured"],
        "limit": check["threshold"],
        "over": None if fraction is None else round(fraction - check["threshold"], 4),
        "how": how,
        "run": plan["run"],
        "user": user,
        "time": time,
    }
