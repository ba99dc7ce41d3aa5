"""Two more tries for what is measured by a real clock: the machine may have given its cores to somebody else.

Whatever passes only then is listed at the end of the run as rerun, and is looked into when it is the same again.
"""

from __future__ import annotations

import pytest

CLOCKED = (
    "test_doctor",
    "test_end_to_end",
    "test_jobs",
    "test_lineup",
    "test_load_alarm",
    "test_load_locust",
    "test_probe_blame",
    "test_probe_manners",
    "test_processes",
    "test_services",
    "test_web",
)
"""Modules whose tests start real servers, or compare with the time that has really passed."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give what a clock decides two more tries."""
    for item in items:
        if item.path.stem in CLOCKED:
            item.add_marker(pytest.mark.flaky(reruns=2))
