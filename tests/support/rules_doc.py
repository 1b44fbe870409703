"""Writes the table of docs/rules.md: the rules as the code has them, and what they left out in a replay."""

from __future__ import annotations

import re

from cxr_snapshot.selection.rules import RULES
from cxr_snapshot.tables import CLASSES
from support.paths import ROOT

DOCUMENT = ROOT / "docs/rules.md"
STEPS = 8
UPDATE = "UPDATE_DOCS=1 python -m pytest tests/integration/test_real_replay.py"

Counts = dict[str, list[int]]  # by rule or class, one number for each step; what is missing is 0 in all

_TABLE = re.compile(
    r"(?<=<!-- table: written by tests/support/rules_doc.py -->\n\n).*(?=\n\n<!-- end of table -->)", re.DOTALL
)


def with_table(page: str, excluded: Counts, candidates: Counts) -> str:
    """Return ``page`` with a new table.

    Args:
        page: the text of docs/rules.md.
        excluded: records left out, by rule.
        candidates: records that broke no rule but ``not_drawn``, by class.
    """
    steps = " | ".join(str(step) for step in range(1, STEPS + 1))
    lines = [f"| rule | what it leaves out | origin | {steps} |", "|---|---|---|" + "--:|" * STEPS]
    for rule in RULES:
        name = f"`{rule.name}`" + (" (warns)" if rule.warn else "")
        lines.append(f"| {name} | {rule.reason} | *{rule.origin}* | {_cells(excluded, rule.name)} |")
    lines += [f"| candidates | {kind}: broke no rule but the last | | {_cells(candidates, kind)} |" for kind in CLASSES]
    table = "\n".join(lines)
    return _TABLE.sub(lambda _: table, page)


def counts_of(page: str) -> tuple[Counts, Counts]:
    """Return the numbers in the table of ``page``, as :func:`with_table` takes them."""
    excluded: dict[str, list[int]] = {}
    candidates: dict[str, list[int]] = {}
    for line in _TABLE.findall(page)[0].splitlines()[2:]:
        rule, text, _origin, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        counts, name = (candidates, text.split(":")[0]) if rule == "candidates" else (excluded, rule.split("`")[1])
        counts[name] = [int(cell or 0) for cell in cells]
    return excluded, candidates


def _cells(counts: Counts, name: str) -> str:
    return " | ".join(str(count or "") for count in counts.get(name, [0] * STEPS))
