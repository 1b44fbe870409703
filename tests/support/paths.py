"""Where the project lies, and the real upstream states, which not everybody has."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_DATA = ROOT.parent / "shared/real-data"
