"""The audit: may this snapshot be published, and does it teach the disease or the hospital.

``gates`` says yes or no, also by what ``history`` knows of earlier snapshots; ``overrides`` records who overruled it.
``confounding``, ``probes``, ``external`` and ``drift`` measure; ``examples`` picks what people should see.
``report`` puts it all into ``audit.json``; ``plots`` and ``page`` turn that into ``audit.html``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REPORT, PAGE = "audit.json", "audit.html"
EXAMPLES = "_work/examples/"  # pictures that ``PAGE`` shows, for the next audit
LOST = "lost.jpg"  # pictures of what is lost, where a person is asked; it is not published


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main results of ``audit.json``, for the XCom, ``snapshot.json`` and the dataset card.

    Returns:
        ``level`` and ``headline`` of the verdict, the numbers of ``checks``, of those ``passed``, and of those that
        failed and were ``accepted``, and the ``figures`` that are followed from snapshot to snapshot. ``external``: its
        ``level`` and ``sentences``, and the figures ``called_covid``, ``found_covid``, ``auc_inside`` and
        ``auc_outside`` with their intervals; not of an audit by a version that did not ask.
    """
    checks = report["checks"]
    named = ("level", "sentences", "called_covid", "found_covid", "auc_inside", "auc_outside")
    more = {"external": {name: report["external"][name] for name in named}} if "external" in report else {}
    return more | {
        "level": report["verdict"]["level"],
        "headline": report["verdict"]["headline"],
        "checks": len(checks),
        "passed": sum(check["passed"] for check in checks),
        "accepted": len(report["overrides"]),
        "figures": report["figures"],
    }
