"""summary.csv from runs whose every figure can be worked out by hand."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
from synthetic import ENDPOINT, HEALTH, Histogram

from bench.analysis.run_reader import read_run, read_scenario
from bench.analysis.summary import Summary, summarise, throughputs_rps, to_csv
from bench.analysis.tables import ScenarioTables
from bench.results import schema

WAY = synthetic.WAYS[0]


def analysed(run: Path) -> tuple[ScenarioTables, Summary]:
    read = read_run(run)
    tables = read_scenario(read, read.scenarios[0])
    return tables, summarise(tables)


def exact_run(run: Path, finished: tuple[int, ...] = (38, 40, 42), **more: Any) -> Path:
    """One variant, a round for each of ``finished``; two measured seconds after one of warm-up."""
    synthetic.write_run(run, {"blocking": synthetic.scenario([WAY], rounds=len(finished))})
    for number, done in enumerate(finished, start=1):
        histograms = [
            Histogram(ENDPOINT, "service", 100, 1, {7: 1000}),
            Histogram(ENDPOINT, "service", 101, 1, {1000: 18, 1900: done - 20}),
            Histogram(ENDPOINT, "straddling", 101, 1, {2000: 2}),
            Histogram(ENDPOINT, "unfinished", 102, 1, {1500: 4}),
            Histogram(HEALTH, "response", 101, 1, {2_000_000: 10, 500: 5}),
            Histogram(HEALTH, "service", 101, 1, {1_800_000: 10, 400: 5}),
            Histogram(HEALTH, "unfinished", 102, 1, {3_000_000: 5}),
        ]
        counts = [
            {"start_s": 100, "end_s": 101, "endpoint": ENDPOINT, "measured": 0, "finished": 1000, "failed": 9},
            {"start_s": 101, "end_s": 102, "endpoint": ENDPOINT, "measured": 1, "finished": done, "failed": 1},
            {"start_s": 102, "end_s": 103, "endpoint": ENDPOINT, "measured": 1, "unfinished": 4, "completed_late": 3},
            {"start_s": 102, "end_s": 103, "endpoint": HEALTH, "measured": 1, "finished": 15, "unfinished": 5},
        ]
        turns = [synthetic.turn(100, 101, 103)]
        synthetic.write_trial(
            run, "blocking", WAY.name, number, histograms=histograms, counts=counts, turns=turns, **more
        )
    return run


def test_throughput_counts_completions_of_the_measured_part(tmp_path: Path) -> None:
    """38, 40 and 42 requests in 2 s: 19, 20, 21 a second; mean 20, times or by exp(4.3027·s/√3) of the logs."""
    tables, summary = analysed(exact_run(tmp_path))
    assert throughputs_rps(tables, WAY.name, ENDPOINT) == {1: 19.0, 2: 20.0, 3: 21.0}
    figure = summary.get(WAY.name, ENDPOINT, "throughput_rps")
    assert figure is not None
    assert (figure.value, figure.trials, figure.unit) == (20.0, 3, "requests/s")
    factor = math.exp(4.302653 * float(np.std(np.log([19, 20, 21]), ddof=1)) / math.sqrt(3))
    assert (figure.ci_low, figure.ci_high) == pytest.approx((20 / factor, 20 * factor), rel=1e-6)


def test_latency_percentiles_include_the_unanswered_and_not_the_carried(tmp_path: Path) -> None:
    """In all rounds together 54 finish in 1000 us, 60 in 1900 us, and 12 are given up at 1500 us.

    After 1000 us 72 of 126 are left; 12 leave the risk set at 1500 us and all others finish at 1900 us. So p50 is
    1900 us. Without the 12, 54 of 114 would have to be compared, and with the carried it would be other numbers again.
    """
    _, summary = analysed(exact_run(tmp_path))
    median = summary.get(WAY.name, ENDPOINT, "latency_p50_ms")
    assert median is not None
    assert (median.value, median.at_least) == (1.9, False)
    assert summary.value(WAY.name, ENDPOINT, "latency_max_ms") == 1.9
    assert summary.get(WAY.name, ENDPOINT, "latency_p99_ms") is None


def test_a_percentile_among_the_unanswered_is_marked(tmp_path: Path) -> None:
    """Of 60 probes, 15 take 0.5 ms, 30 take 2 s, 15 were given up at 3 s: the median is 2 s, the rest is a bound."""
    tables, summary = analysed(exact_run(tmp_path))
    assert tables.pooled_latencies(WAY.name, HEALTH).total == 60
    median, longest = (summary.get(WAY.name, HEALTH, f"latency_{name}_ms") for name in ("p50", "max"))
    assert median is not None
    assert median.value == pytest.approx(2000, rel=1e-3)
    assert not median.at_least
    assert longest is not None
    assert longest.value == pytest.approx(3000, rel=1e-3)
    assert longest.at_least


def test_share_above_a_second(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path))
    assert summary.value(WAY.name, HEALTH, "latency_above_1s_share") == pytest.approx(45 / 60)


def test_service_time_stands_beside_response_time_where_a_timetable_drives(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path))
    assert summary.value(WAY.name, HEALTH, "service_p50_ms") == pytest.approx(1800, rel=1e-3)
    assert summary.get(WAY.name, ENDPOINT, "service_p50_ms") is None


def test_failures_and_never_answered_are_summed_over_rounds(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path))
    assert summary.value(WAY.name, ENDPOINT, "failures") == 3
    assert summary.value(WAY.name, ENDPOINT, "unfinished") == 3
    assert summary.value(WAY.name, HEALTH, "unfinished") == 15


def test_one_round_has_no_interval(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path, finished=(40,)))
    for metric in ("throughput_rps", "latency_p50_ms"):
        figure = summary.get(WAY.name, ENDPOINT, metric)
        assert figure is not None
        assert (figure.ci_low, figure.ci_high, figure.trials) == (None, None, 1)


def test_generator_cores_have_no_endpoint(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path))
    assert summary.value(WAY.name, "", "generator_cpu_cores") == 0.25


def test_what_the_trials_do_not_say_has_no_figure(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path, facts={"endpoints": {}}))
    assert summary.get(WAY.name, "", "generator_cpu_cores") is None


def test_ceiling_only_with_a_law(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path / "with"))
    assert summary.value(WAY.name, ENDPOINT, "ceiling_rps") == 20.0
    lawless = synthetic.Way(WAY.name, "trap", "no law known", None)
    synthetic.blocking_run(tmp_path / "without", rounds=1, ways=[lawless])
    assert analysed(tmp_path / "without")[1].get(WAY.name, ENDPOINT, "ceiling_rps") is None


def test_only_ok_trials_enter(tmp_path: Path) -> None:
    exact_run(tmp_path)
    synthetic.write_trial(tmp_path, "blocking", WAY.name, 3, status="invalid", reasons=["generator too busy"])
    _, summary = analysed(tmp_path)
    figure = summary.get(WAY.name, ENDPOINT, "throughput_rps")
    assert figure is not None
    assert (figure.value, figure.trials) == (19.5, 2)


def test_csv_is_the_contracts(tmp_path: Path) -> None:
    _, summary = analysed(exact_run(tmp_path, finished=(40,)))
    rows = list(csv.DictReader(io.StringIO(to_csv([summary]))))
    assert tuple(rows[0]) == schema.SUMMARY_COLUMNS
    found = {(row["endpoint"], row["metric"]): row for row in rows}
    assert found[ENDPOINT, "throughput_rps"] == {
        "scenario": "blocking",
        "variant": WAY.name,
        "load": "users-32",
        "endpoint": ENDPOINT,
        "metric": "throughput_rps",
        "unit": "requests/s",
        "value": "20",
        "ci_low": "",
        "ci_high": "",
        "trials": "1",
        "at_least": "0",
    }
    assert found[HEALTH, "latency_max_ms"]["at_least"] == "1"


def test_no_scenario_still_has_a_header() -> None:
    assert to_csv([]) == ",".join(schema.SUMMARY_COLUMNS) + "\n"


def test_simulated_blocking_scenario_obeys_its_laws(tmp_path: Path) -> None:
    """The trap is held to 20 requests/s; the fixes stay within 20 % of 640; only the trap's health check waits."""
    _, summary = analysed(synthetic.blocking_run(tmp_path))
    assert summary.value("blocking_call", ENDPOINT, "throughput_rps") == pytest.approx(20, rel=0.05)
    assert summary.value("awaited", ENDPOINT, "throughput_rps") == pytest.approx(590, rel=0.05)
    assert (summary.value("blocking_call", HEALTH, "latency_p50_ms") or 0) > 1000
    assert (summary.value("awaited", HEALTH, "latency_p50_ms") or 9999) < 20
