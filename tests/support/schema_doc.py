"""Writes the tables of columns in docs/schema.md, from what the code says of each column."""

from __future__ import annotations

import re

from cxr_snapshot.publication.dictionary import ATTRIBUTION, CHANGE, EXCLUDED, MANIFEST, SHARDS, markdown_table
from cxr_snapshot.sources import SOURCES
from support.paths import ROOT

DOCUMENT = ROOT / "docs/schema.md"
UPDATE = "UPDATE_DOCS=1 python -m pytest tests/docs/test_schema.py"

TABLES = {"manifest": MANIFEST, "shards": SHARDS, "excluded": EXCLUDED, "attribution": (*ATTRIBUTION, CHANGE)}


def with_tables(page: str) -> str:
    """Return the text of docs/schema.md with new tables."""
    for name, columns in TABLES.items():
        begin, end = f"<!-- {name}: written by tests/support/schema_doc.py -->\n\n", "\n\n<!-- end of table -->"
        between = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
        table = markdown_table(columns, SOURCES).replace("\\", r"\\")
        page = between.sub(table, page)
    return page
