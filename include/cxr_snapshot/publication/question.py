"""What a person is asked where only a person can judge: how much was lost, what it is, and what the answers do."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from cxr_snapshot.audit import LOST, PAGE
from cxr_snapshot.audit.gates import Check
from cxr_snapshot.audit.words import DRAWINGS, counted, exact_percent
from cxr_snapshot.errors import LostBlobError
from cxr_snapshot.inspection.contact_sheets import contact_sheet
from cxr_snapshot.inspection.pictures import Pictures
from cxr_snapshot.plan import Plan
from cxr_snapshot.publication.changes import explain_removed
from cxr_snapshot.publication.checksums import read_file, read_sums, read_table
from cxr_snapshot.publication.versions import is_complete
from cxr_snapshot.selection.ledger import load_ledger
from cxr_snapshot.selection.manifest import excluded_records, upstream_files
from cxr_snapshot.shown import markdown
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import put_sealed

LISTED = 20  # images of a list that are named and drawn

_IN_A_ROW = 5  # pictures; Airflow shows them 300 pixels wide

_FACTS = ["source", "path", "sha256", "class", "metadata_line"]

# Dicts with ``source``, ``path``, ``sha256``, ``reason`` and, where there is any, ``evidence``; ``None`` where nobody
# knows any more which images these are.
Images = list[dict[str, Any]] | None
Lists = Sequence[tuple[Check, Images]]


def ask(store: Store, plan: Plan, checks: Sequence[Check], failed: Sequence[Check], draft: str) -> dict[str, str]:
    """Write the question, and draw what is lost into the run's folder.

    Args:
        store: holds the run's tables, the blobs and, as the edition sees it, the earlier snapshots.
        plan: of the run.
        checks: all results of the gates.
        failed: those about which a person is asked, from :func:`cxr_snapshot.audit.gates.require`.
        draft: address at which people see the run's ``audit.html`` and ``lost.jpg``; empty where there is none.

    Returns:
        ``question``: the title. ``to_approve``: the text, in Markdown. Both are empty where nothing failed.
    """
    if not failed:
        return {"question": "", "to_approve": ""}
    folder, what = plan["folder"], "audit of what would be published"
    ledger = load_ledger(store, folder, "balanced")
    lists = [(check, _images(store, ledger, check)) for check in _worst(failed)]
    if sheet := _draw(Pictures(store), lists, [DRAWINGS] if plan["synthetic"] else []):
        put_sealed(store, f"{folder}/{LOST}", sheet)
    picture = f"![Pictures of what is lost, numbered as below]({draft}/{LOST})"
    picture = f"[{picture}]({draft}/{LOST})" if sheet and draft else ""
    audit = f"[{what}]({draft}/{PAGE})" if draft else f"{what}, `{store.uri(f'{folder}/{PAGE}')}`,"
    return {"question": title(failed), "to_approve": text(checks, failed, lists, audit, picture)}


def title(failed: Sequence[Check]) -> str:
    """Return the question in one line, with the numbers."""
    return f"Publish although {' and '.join(map(_short, _worst(failed)))}?"


def text(checks: Sequence[Check], failed: Sequence[Check], lists: Lists, audit: str, picture: str) -> str:
    """Return what a person should know to answer, in Markdown.

    Args:
        checks: all results of the gates.
        failed: those about which the person is asked.
        lists: what is lost.
        audit: where the audit of what would be published is, in Markdown.
        picture: the pictures of what is lost, in Markdown; empty where there are none.
    """
    found = [f"- **{check.name}**: {markdown(check.found)}" for check in failed]
    lines = [*_counts(checks), *found, "", "### What is lost", "", *([picture, ""] if picture else [])]
    for check, images in lists:
        lines += [*_listed(check, images), ""]
    return "\n".join([*lines, _ANSWERS.format(audit=audit)])


def find_lost(store: Store, ledger: pd.DataFrame, name: str, version: str) -> Images:
    """Return the candidates of a class that an earlier snapshot had and this run has not, and what became of each.

    Args:
        store: holds the earlier snapshot.
        ledger: columns of ``LEDGER_SCHEMA``, balanced.
        name: the class.
        version: of the earlier snapshot.

    Returns:
        See ``Images``; sorted by source and path. ``None`` where the snapshot is no longer there.
    """
    if not is_complete(store, version):
        return None
    sums = read_sums(store, version)
    published = read_table(store, version, "manifest.parquet", sums)
    published = published.assign(sha256=upstream_files(published))[_FACTS]
    left_out = pd.read_csv(io.BytesIO(read_file(store, version, "excluded.csv", sums)), dtype=str)
    not_drawn = left_out.loc[left_out["rule"].eq("not_drawn"), _FACTS]
    then = pd.concat([published.astype(object), not_drawn.astype(object)])
    then = then[then["class"].eq(name)].sort_values(["source", "path"])
    candidates = ledger[ledger["rule"].isna() | ledger["rule"].eq("not_drawn")]
    classes = dict(zip(candidates["sha256"], candidates["class"], strict=True))
    lost = then[then["sha256"].map(classes).ne(name)]
    explained = explain_removed(lost, candidates, excluded_records(ledger.drop(candidates.index)))
    return [
        image | ({"reason": f"It is {now} now.", "evidence": None} if (now := classes.get(image["sha256"])) else {})
        for image in explained
    ]


def _images(store: Store, ledger: pd.DataFrame, check: Check) -> Images:
    """Return what a failed check is about."""
    if "class" in check.measured:
        return find_lost(store, ledger, check.measured["class"], check.measured["since"])
    rows = ledger[ledger["metadata_line"].notna() & ledger["rule"].str.startswith("unknown_", na=False)]
    columns = ["source", "path", "sha256", "reason", "evidence"]
    rows = rows.sort_values(["source", "path"])[columns].astype(object)
    return [dict(zip(columns, row, strict=True)) for row in rows.where(rows.notna(), None).itertuples(index=False)]


def _worst(failed: Sequence[Check]) -> list[Check]:
    """Return the failed checks, of those that tell of the same class the one with the greatest loss."""
    about = {check.measured.get("class", check.name): check for check in sorted(failed, key=_fraction)}
    return [check for check in failed if about[check.measured.get("class", check.name)] is check]


def _fraction(check: Check) -> float:
    return float(check.measured["fraction"])


def _short(check: Check) -> str:
    facts, percent = check.measured, exact_percent(_fraction(check))
    if "class" not in facts:
        return f"{facts['unknown']:,} of {facts['rows']:,} rows of metadata.csv ({percent}) have unknown words"
    return f"{facts['class']} fell from {facts['before']:,} to {facts['after']:,} candidates ({percent} lost)"


def _heading(check: Check) -> str:
    facts = check.measured
    if "class" not in facts:
        return "Left out for unknown words"
    return f"{facts['class']} candidates of {facts['since']} that are none any more"


def _counts(checks: Sequence[Check]) -> Iterator[str]:
    """Yield a table with the candidates of each class, before and now."""
    losses = [check.measured for check in checks if check.name.startswith("shrink_")]
    if not losses:
        return
    yield f"| candidates | {losses[0]['since']} | now | change |"
    yield "|---|--:|--:|--:|"
    for loss in losses:
        before, after = loss["before"], loss["after"]
        change = f"{'+' if after > before else '-'}{exact_percent(abs(after - before) / before)}" if before else "new"
        yield f"| {loss['class']} | {before:,} | {after:,} | {'0 %' if after == before else f'**{change}**'} |"
    yield ""


def _listed(check: Check, images: Images) -> Iterator[str]:
    """Yield a list of images, by reason and one by one."""
    heading, facts = _heading(check), check.measured
    if images is None:
        yield f"**{heading}:** not known, since that snapshot was deleted."
        return
    new = facts["after"] - facts["before"] + len(images) if "class" in facts else 0
    also = f", and {counted(new, 'new one')}" if new > 0 else ""
    yield f"**{heading}: {counted(len(images), 'image')}**{also}"
    yield ""
    for reason, count in Counter(str(image["reason"]) for image in images).most_common():
        yield f"- {count:,}: {markdown(reason)}"
    yield ""
    yield "| | image | why |"
    yield "|--:|---|---|"
    for number, image in enumerate(images[:LISTED], start=1):
        why = " ".join(str(image[name]) for name in ("reason", "evidence") if image.get(name))
        yield f"| {number} | {markdown(image['source'])}: {markdown(image['path'] or 'no file')} | {markdown(why)} |"
    if len(images) > LISTED:
        yield ""
        yield f"These are the first {LISTED}."


def _draw(pictures: Pictures, lists: Lists, heading: Sequence[str]) -> bytes | None:
    """Return a JPEG with the images that are listed, in rows; ``None`` where there is nothing to draw."""
    rows: dict[str, list[bytes]] = {}
    for check, images in lists:
        drawn = list(_bodies(pictures, images or []))
        for start in range(0, len(drawn), _IN_A_ROW):
            row = drawn[start : start + _IN_A_ROW]
            numbers = ", ".join(str(number) for number, _ in row)
            rows[f"{check.measured.get('class', 'Unknown words')}: {numbers}"] = [body for _, body in row]
    return contact_sheet(rows, heading) if rows else None


def _bodies(pictures: Pictures, images: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, bytes]]:
    """Yield number and picture of each image that can be drawn; upstream may have taken back what is lost here, too."""
    for number, image in enumerate(images[:LISTED], start=1):
        if image["sha256"]:
            try:
                yield number, next(pictures.load([image["sha256"]]))
            except LostBlobError:
                continue


_ANSWERS = """\
### Before you answer

Look at what the upstream removed or renamed. The {audit} shows the rest.

- **Approve** publishes it. Your name, the time and what was found go into `snapshot.json`, the dataset card,
  `CHANGES.md` and the audit, where the check stays failed. What was lost so is not held against later snapshots.
- **Reject** ends the run and publishes nothing; the latest snapshot stays the latest. The next night asks again, unless
  the upstream has mended it.

Without an answer in time the run fails, and nothing is published either."""
