"""Figures of each trial by itself, for the web UI."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.analysis.run_reader import read_run, read_scenario
from bench.analysis.summary import lag_curve, throughputs_rps
from bench.analysis.survival import Bounded, percentile, survival
from bench.analysis.tables import HEALTH_ENDPOINT, Run, ScenarioTables
from bench.results import files
from bench.results.control_messages import BoundedMs, FiguresRecord, TrialFigures
from bench.results.schema import SCHEMA


def write_trials(folder: Path, path: Path) -> None:
    """Write a FiguresRecord about the run in ``folder``: figures of each valid trial."""
    run = read_run(folder)
    trials = tuple(trial for tables in _each_variant(run) for trial in _trials(tables))
    files.write_record(path, FiguresRecord(SCHEMA, trials))


def _each_variant(run: Run) -> list[ScenarioTables]:
    """Each variant by itself: its rounds count, whether the others have them or not."""
    return [
        read_scenario(run, replace(scenario, variants=(variant,)))
        for scenario in run.scenarios
        for variant in scenario.variants
    ]


def _trials(tables: ScenarioTables) -> list[TrialFigures]:
    scenario = tables.scenario
    (variant,) = (each.name for each in scenario.variants)
    rates = throughputs_rps(tables, variant, scenario.endpoint)

    def percentile_ms(endpoint: str, number: int, share: float) -> BoundedMs | None:
        return _ms(percentile(survival(tables.round_latencies(variant, endpoint, number)), share))

    def figures(number: int) -> TrialFigures:
        lag_p50_ms, lag_max_ms = _lag_ms(tables, number)
        return TrialFigures(
            scenario=scenario.name,
            variant=variant,
            round=number,
            throughput_rps=rates.get(number),
            latency_p50_ms=percentile_ms(scenario.endpoint, number, 0.5),
            latency_p90_ms=percentile_ms(scenario.endpoint, number, 0.9),
            latency_p99_ms=percentile_ms(scenario.endpoint, number, 0.99),
            health_p50_ms=percentile_ms(HEALTH_ENDPOINT, number, 0.5),
            health_p90_ms=percentile_ms(HEALTH_ENDPOINT, number, 0.9),
            health_p99_ms=percentile_ms(HEALTH_ENDPOINT, number, 0.99),
            loop_lag_p50_ms=lag_p50_ms,
            loop_lag_max_ms=lag_max_ms,
        )

    return [figures(number) for number in tables.rounds(variant)]


def _lag_ms(tables: ScenarioTables, number: int) -> tuple[BoundedMs | None, BoundedMs | None]:
    """Median and maximum of the loop lag in one round."""
    curve = lag_curve(tables.server[tables.server["measured"] & (tables.server["round"] == number)])
    longest = Bounded(curve.end_us, at_least=False) if curve.total else None
    return _ms(percentile(curve, 0.5)), _ms(longest)


def _ms(bounded_us: Bounded | None) -> BoundedMs | None:
    return None if bounded_us is None else BoundedMs(bounded_us.value / 1e3, bounded_us.at_least)
