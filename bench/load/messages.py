"""What the conductor and the stages say to each other, over Locust's own channel between master and workers.

In a single process Locust delivers the same messages to itself, so there is one way of doing things, not two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LEAD = "bench_lead"
"""Coordinator to stages: act = begin, measure, end, close or finish; or share, without a lineup."""
REPORT = "bench_report"
"""LoadSession to conductor: kind = joined, edge, quiet, interval, load or finished."""


def listen(runner: Any, name: str, heard: Callable[[str, dict[str, Any]], None]) -> None:
    """Have ``heard(sender, content)`` called for every message called ``name``."""
    runner.register_message(name, lambda environment, msg, **_: heard(msg.node_id, msg.data))
