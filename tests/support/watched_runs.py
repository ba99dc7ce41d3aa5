"""Runs whose servers were watched by the probe, made by hand, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import synthetic
from synthetic import ENDPOINT, HEALTH, turn

from bench.analysis.run_reader import read_run, read_scenario
from bench.analysis.tables import ScenarioTables

NAME = "awaited"
WAY = synthetic.WAYS[1]
Rows = Sequence[Mapping[str, Any]]
PLACE = {"file": "apps/blocking/awaited.py", "line": 10, "function": "report", "callee": "asyncio.sleep"}


def piece(at_s: float, stalled_ms: float, **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "stall": 1, "kind": "loop", "stalled_ms": stalled_ms, "samples": 1} | PLACE | more


def one_trial(
    run: Path,
    watched: Mapping[int, Rows],
    stalls: Mapping[int, Rows] | None = None,
    number: int = 1,
) -> ScenarioTables:
    """One round of one variant: 100 requests and 20 health checks are answered in 2 measured seconds from 101."""
    counts = [
        {"start_s": 100, "end_s": 101, "endpoint": ENDPOINT, "measured": 0, "finished": 999},
        {"start_s": 101, "end_s": 103, "endpoint": ENDPOINT, "measured": 1, "finished": 100},
        {"start_s": 101, "end_s": 103, "endpoint": HEALTH, "measured": 1, "finished": 20},
    ]
    histograms = [synthetic.Histogram(ENDPOINT, "service", 101, 1, {50_000: 100})]
    turns = [turn(100, 101, 103)]
    synthetic.write_run(run, {"blocking": synthetic.scenario([WAY], rounds=1)})
    synthetic.write_trial(
        run, "blocking", NAME, number, histograms=histograms, counts=counts, turns=turns, server=watched, stalls=stalls
    )
    return tables_of(run)


def tables_of(run: Path) -> ScenarioTables:
    read = read_run(run)
    return read_scenario(read, read.scenarios[0])
