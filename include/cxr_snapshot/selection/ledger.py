"""The ledger in the store, on its way from stage to stage."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxr_snapshot import shown
from cxr_snapshot.progress import listed
from cxr_snapshot.selection.balance import class_counts
from cxr_snapshot.selection.rules import excluded_by_rule
from cxr_snapshot.store.objects import Store
from cxr_snapshot.store.seals import get_sealed_table, put_sealed_table
from cxr_snapshot.tables import LEDGER_SCHEMA

log = shown.logger(__name__)

JUDGES = "judges"  # the ledger that has the collections that only judge, too
_TASKS = {"filtered": "filter", JUDGES: "filter", "balanced": "balance"}  # which writes what


def load_ledger(store: Store, folder: str, stage: str) -> pd.DataFrame:
    """Return the ledger that a stage left in the run's folder, columns of ``LEDGER_SCHEMA``.

    Args:
        store: where it is.
        folder: the run's folder.
        stage: ``filtered``, ``balanced`` or ``JUDGES``.

    Raises:
        MissingObjectError: there is none.
        DamagedObjectError: it is not what the stage wrote.
    """
    remedy = f"Clear the task {_TASKS[stage]} and run again."
    return get_sealed_table(store, f"{folder}/{stage}.parquet", remedy)


def in_order(ledger: pd.DataFrame) -> pd.DataFrame:
    """Return the ledger by source, path and line of the table, so that equal ledgers are equal bytes."""
    return ledger.sort_values(["source", "path", "metadata_line"], na_position="last", ignore_index=True)


def save_ledger(store: Store, folder: str, stage: str, ledger: pd.DataFrame) -> dict[str, Any]:
    """Keep the ledger for the next stage.

    Returns:
        Small facts for the XCom: address of the ``ledger``, ``counts`` by class, ``excluded`` by rule.
    """
    name = f"{folder}/{stage}.parquet"
    put_sealed_table(store, name, ledger, LEDGER_SCHEMA)
    counts, excluded = class_counts(ledger), excluded_by_rule(ledger)
    log.info("%s; excluded %s; table %s", listed(counts), listed(excluded) or "nothing", store.uri(name))
    return {"ledger": store.uri(name), "counts": counts, "excluded": excluded}
