"""Where the project lies, and real upstream states, which not everybody has."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared/real-data"
REAL_ADULTS = ROOT.parent / "shared/real-data-adult"
