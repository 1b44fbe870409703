"""When an upstream fails for good, the error says where and what to do, and nothing is published.

That each fault is survived by retry when it passes is tested beside the sources.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_snapshot.errors import SourceError
from cxr_snapshot.publication.versions import read_latest
from cxr_snapshot.store.objects import Store
from support.stages import run_stages
from support.stores import copy_objects
from support.upstreams import ServedUpstream
from support.waiting import PATIENCE
from upstream_simulator.faults import Fault

LASTING = [
    ("429", "/commits/", "covid"),
    ("403-rate-limit", "/commits/", "covid"),
    ("401", "/commits/", "covid"),
    ("404", "/commits/", "covid"),
    ("500", "/commits/", "covid"),
    ("500", "/git/trees/", "covid"),
    ("truncated", "/git/trees/", "covid"),
    ("cut", "/git/trees/", "covid"),
    ("corrupt", "/github-raw/", "covid"),
    ("cut", "/github-raw/", "covid"),
    ("slow", "/github-raw/", "covid"),
    ("500", "/GetDataset", "pneumonia"),
    ("401", "/GetDataset", "pneumonia"),
]
ONE_OF_EACH_KIND = list({kind: (kind, path, source) for kind, path, source in LASTING}.values())


@pytest.mark.parametrize(
    "faults",
    [pytest.param(ONE_OF_EACH_KIND, id="one-of-each-kind"), pytest.param(LASTING, id="all", marks=pytest.mark.long)],
)
def test_lasting_fault_publishes_nothing_and_the_next_night_catches_up(
    first_state: Store, sample: ServedUpstream, store: Store, tmp_path: Path, faults: list[tuple[str, str, str]]
) -> None:
    copy_objects(first_state, store)
    first, _ = read_latest(store)
    assert first is not None
    before = store.list("2026")
    sample.move_to_step(2)
    for kind, path, source in faults:
        sample.simulator.faults.add(Fault(kind, path=path, times=1000, seconds=PATIENCE if kind == "slow" else 2))
        timeout = 2 if kind == "slow" else PATIENCE
        with pytest.raises(SourceError) as caught:
            run_stages(sample.pipeline(store, tmp_path, http_attempts=1, http_timeout=timeout), "second")
        sample.simulator.faults.clear()
        text = str(caught.value)
        assert text.startswith(f"{source}: "), text
        assert f"({sample.simulator.url}" in text or f"({sample.simulator.files_url}" in text, text
        assert caught.value.transient == (kind not in ("401", "404", "truncated", "corrupt")), text
        assert store.list("2026") == before
        assert read_latest(store)[0] == first

    second = run_stages(sample.pipeline(store, tmp_path), "third").snapshot
    assert second is not None
    assert second["previous"] == first["version"]
