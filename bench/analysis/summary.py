"""summary.csv: every number of a run, tidy, one row a figure. Pure functions over ScenarioTables.

How a figure comes about, by metric:

    throughput_rps          each trial's finished requests per measured second; mean over rounds, interval on the log scale
    latency_p50_ms ...      from the summed histograms of all rounds; interval from the rounds' own (log scale)
    latency_mean_ms         the area under the survival curve of all rounds
    latency_max_ms          the longest of all, starved requests included; a maximum has no interval
    service_...             the same for service time, where the headline is response time
    latency_above_1s_share  of the health check's probes; a load balancer gives up about then
    late_in_a_row           the most health checks in a row that failed or took longer than 1 s, in any round
    failures, unfinished    requests over all rounds; unfinished: not answered, not even after the load
    starved_users           began before the measured part and were not answered by its end; mean over turns and rounds
    ceiling_rps             the law's; exact, no interval
    generator_cpu_cores     the most that the load generator used in a sample; mean over rounds
    loop_lag_p50_ms ...     of the largest lag in each 100 ms of the measured parts, all rounds together
    loop_lag_max_ms         the largest of all
    threads_borrowed_max    of anyio's threadpool, the most at a moment; threads_waiting_max the same
    server_cpu_cores        CPU seconds a second of the server's workers and their process pools; mean over rounds
    server_cpu_per_request_ms   the same by requests finished, of every endpoint; mean over rounds
    server_rss_max_mb       the most that the workers held together
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd

from bench.analysis.intervals import log_interval, positive_mean_interval
from bench.analysis.survival import Bounded, Survival, latencies, maximum, mean, percentile, share_above, survival
from bench.analysis.tables import HEALTH_ENDPOINT, ScenarioTables
from bench.results import schema
from bench.results.schema import HEALTH_TIMEOUT_S

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

ABOVE_TIMEOUT = "latency_above_1s_share"


@dataclass(frozen=True)
class Figure:
    """One row of summary.csv. ``ci_low`` and ``ci_high`` are None where there is no interval."""

    scenario: str
    variant: str
    load: str
    endpoint: str
    metric: str
    unit: str
    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    trials: int = 0
    at_least: bool = False


@dataclass(frozen=True)
class Summary:
    """The figures of one scenario, to be looked up by name."""

    figures: tuple[Figure, ...]

    def get(self, variant: str, endpoint: str, metric: str) -> Figure | None:
        """One figure, or None where it cannot be had."""
        for figure in self.figures:
            if (figure.variant, figure.endpoint, figure.metric) == (variant, endpoint, metric):
                return figure
        return None

    def value(self, variant: str, endpoint: str, metric: str) -> float | None:
        """Its value alone."""
        figure = self.get(variant, endpoint, metric)
        return None if figure is None else figure.value


def summarise(tables: ScenarioTables) -> Summary:
    """All figures of one scenario. Only trials that are evidence enter; what cannot be had has no figure."""
    return Summary(tuple(figure for variant in tables.variants for figure in _of_variant(tables, variant.name)))


def throughputs_rps(tables: ScenarioTables, variant: str, endpoint: str) -> dict[int, float]:
    """Requests finished per measured second, by round. Counts every completion, carried ones too."""
    trials = tables.trials[tables.trials["variant"] == variant]
    counts = tables.counts
    chosen = counts[(counts["variant"] == variant) & (counts["endpoint"] == endpoint) & (counts["measured"] == 1)]
    finished = chosen.groupby("round")["finished"].sum()
    return {
        int(number): float(finished.get(number, 0.0)) / float(measured_s)
        for number, measured_s in zip(trials["round"], trials["measured_s"], strict=True)
    }


def starved_users(tables: ScenarioTables, variant: str, endpoint: str) -> dict[int, float]:
    """Requests that began before a measured part and were not answered by its end: mean over its turns, by round.

    A looping user has one request at a time, so these are users who got no answer for the whole measured part.
    """
    turns = tables.turns[(tables.turns["variant"] == variant) & (tables.turns["end_s"] > tables.turns["warm_until_s"])]
    measured_turns = turns.groupby("round").size()
    return {
        number: tables.round_latencies(variant, endpoint, number).starved / max(1, int(measured_turns.get(number, 1)))
        for number in tables.rounds(variant)
    }


def cpu_cores(tables: ScenarioTables, variant: str) -> dict[int, float]:
    """CPU cores that the server used in the measured parts, by round; where they are known."""
    trials = tables.trials[tables.trials["variant"] == variant]
    used = zip(trials["round"], trials["server_cpu_cores"], strict=True)
    return {int(number): float(cores) for number, cores in used if not math.isnan(cores)}


def cpu_per_request_ms(tables: ScenarioTables, variant: str) -> dict[int, float]:
    """The server's CPU time by requests finished, health checks among them, by round; where both are known."""
    trials = tables.trials[tables.trials["variant"] == variant]
    counts = tables.counts[(tables.counts["variant"] == variant) & (tables.counts["measured"] == 1)]
    finished = counts.groupby("round")["finished"].sum()
    rounds = zip(trials["round"], trials["server_cpu_cores"], trials["measured_s"], strict=True)
    return {
        int(number): 1e3 * float(cores) * float(measured_s) / float(finished[number])
        for number, cores, measured_s in rounds
        if not math.isnan(cores) and finished.get(number, 0) > 0
    }


def to_csv(summaries: Iterable[Summary]) -> str:
    """The text of summary.csv, with schema.SUMMARY_COLUMNS. What cannot be had is empty, never 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(schema.SUMMARY_COLUMNS)
    for figure in (figure for summary in summaries for figure in summary.figures):
        row = [getattr(figure, column) for column in schema.SUMMARY_COLUMNS]
        writer.writerow([_cell(item) for item in row])
    return text.getvalue()


def _cell(item: object) -> str:
    if item is None:
        return ""
    if isinstance(item, bool):
        return str(int(item))
    return f"{item:.6g}" if isinstance(item, float) else str(item)


def _of_variant(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    for endpoint in tables.endpoints():
        yield from _throughput(tables, variant, endpoint)
        yield from _latency(tables, variant, endpoint, "latency", tables.headline_kind(endpoint))
        if tables.headline_kind(endpoint) == "response":
            yield from _latency(tables, variant, endpoint, "service", "service")
        if endpoint == HEALTH_ENDPOINT:
            yield from _above_timeout(tables, variant, endpoint)
        yield from _counted(tables, variant, endpoint)
    yield from _ceiling(tables, variant)
    yield from _generator(tables, variant)
    if tables.watched_rounds(variant):
        yield from _loop_lag(tables, variant)
        yield from _largest(tables, variant)
        yield from _server_cpu(tables, variant)


def _figure(tables: ScenarioTables, variant: str, endpoint: str, metric: str, unit: str, value: float) -> Figure:
    rounds = len(tables.rounds(variant))
    return Figure(tables.scenario.name, variant, tables.scenario.load, endpoint, metric, unit, value, trials=rounds)


def _with(figure: Figure, low: float | None, high: float | None, at_least: bool = False) -> Figure:
    parts = {**vars(figure), "ci_low": low, "ci_high": high, "at_least": at_least}
    return Figure(**parts)


def _throughput(tables: ScenarioTables, variant: str, endpoint: str) -> Iterator[Figure]:
    interval = positive_mean_interval(list(throughputs_rps(tables, variant, endpoint).values()))
    if interval is None:
        return
    figure = _figure(tables, variant, endpoint, "throughput_rps", "requests/s", interval.mean)
    yield _with(figure, interval.low, interval.high)


def _latency(tables: ScenarioTables, variant: str, endpoint: str, prefix: str, kind: str) -> Iterator[Figure]:
    pooled = tables.pooled_latencies(variant, endpoint, kind)
    curve = survival(pooled)
    curves = [survival(tables.round_latencies(variant, endpoint, n, kind)) for n in tables.rounds(variant)]
    for name, share in PERCENTILES.items():
        found = percentile(curve, share)
        if found is None:
            continue
        low, high = _rounds_interval(found, [percentile(each, share) for each in curves])
        figure = _figure(tables, variant, endpoint, f"{prefix}_{name}_ms", "ms", found.value / 1e3)
        yield _with(figure, low, high, found.at_least)
    average = mean(curve)
    if average is not None:
        figure = _figure(tables, variant, endpoint, f"{prefix}_mean_ms", "ms", average.value / 1e3)
        yield _with(figure, None, None, average.at_least)
    longest = maximum(pooled)
    if longest is not None:
        figure = _figure(tables, variant, endpoint, f"{prefix}_max_ms", "ms", longest.value / 1e3)
        yield _with(figure, None, None, longest.at_least)


def _rounds_interval(pooled: Bounded, rounds: list[Bounded | None]) -> tuple[float | None, float | None]:
    """In ms; none where the value is a bound, or a round has no percentile of its own (too few samples, a bound)."""
    values = [found.value for found in rounds if found is not None and not found.at_least]
    if pooled.at_least or len(values) < len(rounds):
        return None, None
    interval = log_interval(pooled.value, values)
    return (None, None) if interval is None else (interval[0] / 1e3, interval[1] / 1e3)


def _above_timeout(tables: ScenarioTables, variant: str, endpoint: str) -> Iterator[Figure]:
    share = share_above(tables.pooled_latencies(variant, endpoint), HEALTH_TIMEOUT_S * 1e6)
    if share is not None:
        yield _figure(tables, variant, endpoint, ABOVE_TIMEOUT, "share", share)
    in_a_row = [
        late
        for number in tables.rounds(variant)
        if (facts := tables.facts[variant, number].endpoints.get(endpoint))
        and (late := facts.late_in_a_row) is not None
    ]
    if in_a_row:
        yield _figure(tables, variant, endpoint, "late_in_a_row", "requests", float(max(in_a_row)))


def _counted(tables: ScenarioTables, variant: str, endpoint: str) -> Iterator[Figure]:
    counts = tables.counts
    chosen = counts[(counts["variant"] == variant) & (counts["endpoint"] == endpoint) & (counts["measured"] == 1)]
    never_answered = float(chosen["unfinished"].sum() - chosen["completed_late"].sum())
    yield _figure(tables, variant, endpoint, "failures", "requests", float(chosen["failed"].sum()))
    yield _figure(tables, variant, endpoint, "unfinished", "requests", never_answered)
    starved = starved_users(tables, variant, endpoint)
    if starved:
        unit = "users" if tables.scenario.rate_rps is None and endpoint == tables.scenario.endpoint else "requests"
        yield _figure(tables, variant, endpoint, "starved_users", unit, fmean(starved.values()))


def _ceiling(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    ceiling_rps = tables.scenario.variant(variant).max_rps
    if ceiling_rps is not None:
        yield _figure(tables, variant, tables.scenario.endpoint, "ceiling_rps", "requests/s", ceiling_rps)


def _generator(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    column = tables.trials.loc[tables.trials["variant"] == variant, "generator_cpu_cores"]
    interval = positive_mean_interval([float(cores) for cores in column if not math.isnan(cores)])
    if interval is not None:
        figure = _figure(tables, variant, "", "generator_cpu_cores", "cores", interval.mean)
        yield _with(figure, interval.low, interval.high)


def _watched(tables: ScenarioTables, variant: str) -> pd.DataFrame:
    return tables.server[(tables.server["variant"] == variant) & tables.server["measured"]]


def _of_server(tables: ScenarioTables, variant: str, metric: str, unit: str, value: float) -> Figure:
    rounds = len(tables.watched_rounds(variant))
    return Figure(tables.scenario.name, variant, tables.scenario.load, "", metric, unit, value, trials=rounds)


def _loop_lag(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    rows = _watched(tables, variant)
    curve = lag_curve(rows)
    curves = [lag_curve(part) for _, part in rows.groupby("round")]
    for name, share in PERCENTILES.items():
        found = percentile(curve, share)
        if found is not None:
            low, high = _rounds_interval(found, [percentile(each, share) for each in curves])
            yield _with(_of_server(tables, variant, f"loop_lag_{name}_ms", "ms", found.value / 1e3), low, high)
    if curve.total:
        yield _of_server(tables, variant, "loop_lag_max_ms", "ms", curve.end_us / 1e3)


def lag_curve(rows: pd.DataFrame) -> Survival:
    """The distribution of the largest lag in each row of ScenarioTables.server."""
    lag_us = rows["lag_max_ms"].dropna().to_numpy(float) * 1e3
    return survival(latencies((lag_us, np.ones(len(lag_us)))))


def _largest(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    rows = _watched(tables, variant)
    for metric, unit, column in LARGEST:
        known = rows[column].dropna()
        if len(known):
            yield _of_server(tables, variant, metric, unit, float(known.max()))


LARGEST = (
    ("threads_borrowed_max", "threads", "tokens_borrowed"),
    ("threads_waiting_max", "requests", "tokens_waiting"),
    ("threads_total", "threads", "tokens_total"),
    ("server_rss_max_mb", "MB", "rss_mb"),
)
"""Metric, unit and column of what is given by its largest value, which has no interval."""


def _server_cpu(tables: ScenarioTables, variant: str) -> Iterator[Figure]:
    values = {
        ("server_cpu_cores", "cores"): list(cpu_cores(tables, variant).values()),
        ("server_cpu_per_request_ms", "ms"): list(cpu_per_request_ms(tables, variant).values()),
    }
    for (metric, unit), each in values.items():
        interval = positive_mean_interval(each)
        if interval is not None:
            yield _with(_of_server(tables, variant, metric, unit, interval.mean), interval.low, interval.high)
