"""Which worker of a test run gets which tests."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling


class OneWorkerForAirflow(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Give all tests of a file to one worker, and those that load Airflow's web server too: that takes 10 seconds."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(("tests/dags/", "tests/pages/")):
            return "Airflow"
        return str(super()._split_scope(nodeid))
