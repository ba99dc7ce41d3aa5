"""The figures of each trial by itself, as JSON: what stands side by side in the web UI."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.analysis.statistics import Bounded, percentile, survival
from bench.analysis.summary import lag_curve, throughputs_rps
from bench.analysis.tables import HEALTH_ENDPOINT, Run, ScenarioTables, read_run, read_scenario
from bench.results import files

LATENCIES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def write_trials(folder: Path, path: Path) -> None:
    """Write ``{"trials": [row …]}`` about the run in ``folder``: a row for each trial that is evidence.

    A row has scenario, variant, round, throughput_rps, {name: {value, at_least}} of latency_p50_ms, latency_p90_ms,
    latency_p99_ms, health_p50_ms …, and loop_lag_p50_ms and loop_lag_max_ms. What cannot be had is null.
    """
    run = read_run(folder)
    files.write_text(path, json.dumps({"trials": [row for frames in _each_variant(run) for row in _rows(frames)]}))


def _each_variant(run: Run) -> list[ScenarioTables]:
    """Each variant by itself: its rounds count, whether the others have them or not."""
    return [
        read_scenario(run, replace(scenario, variants=(variant,)))
        for scenario in run.scenarios
        for variant in scenario.variants
    ]


def _rows(frames: ScenarioTables) -> list[dict[str, Any]]:
    scenario = frames.scenario
    (variant,) = (each.name for each in scenario.variants)
    rates = throughputs_rps(frames, variant, scenario.endpoint)
    return [
        {
            "scenario": scenario.name,
            "variant": variant,
            "round": number,
            "throughput_rps": rates.get(number),
            **_latencies(frames, variant, scenario.endpoint, number, "latency"),
            **_latencies(frames, variant, HEALTH_ENDPOINT, number, "health"),
            **_lag(frames, variant, number),
        }
        for number in frames.rounds(variant)
    ]


def _latencies(frames: ScenarioTables, variant: str, endpoint: str, number: int, prefix: str) -> dict[str, Any]:
    curve = survival(frames.round_latencies(variant, endpoint, number))
    return {f"{prefix}_{name}_ms": _said(percentile(curve, share)) for name, share in LATENCIES.items()}


def _lag(frames: ScenarioTables, variant: str, number: int) -> dict[str, Any]:
    rows = frames.server[frames.server["measured"] & (frames.server["round"] == number)]
    curve = lag_curve(rows)
    longest = Bounded(curve.end_us, at_least=False) if curve.total else None
    return {"loop_lag_p50_ms": _said(percentile(curve, 0.5)), "loop_lag_max_ms": _said(longest)}


def _said(found: Bounded | None) -> dict[str, Any] | None:
    return None if found is None else {"value": found.value / 1e3, "at_least": found.at_least}
