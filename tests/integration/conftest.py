"""The real upstream states, where they are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.upstreams import ServedUpstream, served_real


@pytest.fixture
def real_upstream(tmp_path: Path) -> Iterator[ServedUpstream]:
    """The real upstream, at its last commit."""
    with served_real(tmp_path) as served:
        yield served
