"""Figures from the rows of a calibration: ratios, deviations and spreads. No words, no charts."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.analysis.comparisons import rotation_pairs, verdict_of
from bench.analysis.intervals import Spread, spread_about_zero
from bench.calibrate.rows import (
    BARE_LOOP,
    OUR_GENERATOR,
    FreezeRow,
    GeneratorRow,
    LagRow,
    MemoryRow,
    NoiseRow,
    OverheadRow,
    VerdictRow,
)
from bench.model import bounds
from bench.model.trimmed import log_ratio

RoundRow = TypeVar("RoundRow", GeneratorRow, LagRow)


@dataclass(frozen=True)
class PairedRatio:
    """The ratio of two figures of the same round: median over rounds, and range."""

    median: float
    low: float
    high: float
    rounds: int


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> PairedRatio | None:
    """The ratio one / other, round by round. None if they share no round."""
    ratios = [one[number] / other[number] for number in sorted(one.keys() & other.keys())]
    return PairedRatio(statistics.median(ratios), min(ratios), max(ratios), len(ratios)) if ratios else None


def by_round(rows: Iterable[RoundRow], value: Callable[[RoundRow], float]) -> dict[int, float]:
    """{round: value}."""
    return {row.round: value(row) for row in rows}


def throughput_ratio(rows: Sequence[GeneratorRow], one: str, other: str) -> PairedRatio | None:
    """Throughput of one generator relative to another's."""
    rates = [by_round((r for r in rows if r.generator == name), lambda r: r.requests_per_s) for name in (one, other)]
    return paired(*rates)


def cpu_ratio(rows: Sequence[GeneratorRow], one: str, other: str) -> PairedRatio | None:
    """CPU per request of one generator relative to another's."""
    costs = [
        by_round((r for r in rows if r.generator == name), lambda r: r.cpu_us_per_request) for name in (one, other)
    ]
    return paired(*costs)


def lag_ratio(rows: Sequence[LagRow], rate_rps: int, p99: bool) -> PairedRatio | None:
    """HubHttpUser's lag relative to the bare loop's, at one rate."""
    at_rate = [row for row in rows if row.rate_rps == rate_rps]
    lags = [
        by_round((r for r in at_rate if r.generator == name), lambda r: r.p99_us if p99 else r.p50_us)
        for name in (OUR_GENERATOR, BARE_LOOP)
    ]
    return paired(*lags)


@dataclass(frozen=True)
class Deviation:
    """A measured percentile and the computed one."""

    percentile: float
    measured_ms: float
    expected_ms: float

    @property
    def off_ms(self) -> float:
        """Absolute difference."""
        return abs(self.measured_ms - self.expected_ms)

    @property
    def off_share(self) -> float:
        """Absolute difference as a share of the computed value."""
        return self.off_ms / self.expected_ms


def open_response(rows: Sequence[FreezeRow]) -> list[FreezeRow]:
    """Response times in the open model."""
    return [row for row in rows if (row.model, row.kind) == ("open", "response")]


def closed_service(rows: Sequence[FreezeRow]) -> list[FreezeRow]:
    """Service times in the closed model, which most load generators report."""
    return [row for row in rows if (row.model, row.kind) == ("closed", "service")]


def unfrozen_ms(rows: Sequence[FreezeRow]) -> float:
    """Latency of a request outside of the freeze: the lowest percentile measured, median over rounds."""
    lowest = min(row.percentile for row in rows)
    return statistics.median(row.value_ms for row in rows if row.percentile == lowest)


def deviations(rows: Sequence[FreezeRow]) -> list[Deviation]:
    """Every round's response times in the open model, against the computed ones."""
    measured = open_response(rows)
    base_ms = unfrozen_ms(measured) if measured else 0.0
    return [
        Deviation(r.percentile, r.value_ms, bounds.frozen_response_ms(r.percentile, base_ms, r.freeze_s, r.every_s))
        for r in measured
    ]


def growth_mb(rows: Sequence[MemoryRow]) -> float | None:
    """How much more resident memory the most requests take than the fewest. None with less than two numbers of requests."""
    fewest, most = (pick(rows, key=lambda row: row.requests, default=None) for pick in (min, max))
    if fewest is None or most is None or fewest.requests == most.requests:
        return None
    return most.resident_mb - fewest.resident_mb


def overheads_s(rows: Sequence[OverheadRow]) -> dict[int, float]:
    """{servers: median over rounds}, ascending."""
    return {
        servers: statistics.median(row.overhead_s for row in rows if row.servers == servers)
        for servers in sorted({row.servers for row in rows})
    }


def noise_spread(rows: Sequence[NoiseRow], method: str) -> Spread | None:
    """Standard deviation of the log ratio about zero: identical variants have a log ratio of 0 by construction."""
    return spread_about_zero([row.log_ratio for row in rows if row.method == method])


TRIED_RUNS = 10
"""Number of runs that verdicts are tried on. They are assembled from the measured rounds."""


@dataclass(frozen=True)
class TriedVerdicts:
    """Verdicts on pairs whose true difference is known, over ``runs`` runs, of which ``disjoint`` share no round."""

    pairs: int
    different: int
    """Verdict faster or slower. For identical pairs that is a false alarm."""
    slower: int
    equivalent: int
    runs: int
    disjoint: int


def tried_verdicts(rows: Sequence[VerdictRow], percent: int, rounds: int, seed: int = 1) -> TriedVerdicts | None:
    """Verdicts of runs of ``rounds`` rounds on the variants slowed by ``percent``, against those that are not slowed.

    With 0 %: on each pair of identical variants. None if fewer rounds were measured.

    The rounds are shuffled and cut into runs, then shuffled and cut again, until there are TRIED_RUNS. Runs of one
    shuffle share no round. Runs of different shuffles do, so they are not independent.
    """
    rates = _complete(rows)
    runs, disjoint = _runs(sorted(rates), rounds, seed)
    names = {row.variant: row.slowed_percent for row in rows}
    same = sorted(name for name, slowed in names.items() if slowed == 0)
    pairs = (
        list(itertools.combinations(same, 2))
        if percent == 0
        else [(name, other) for name, slowed in sorted(names.items()) if slowed == percent for other in same]
    )
    if not runs or not pairs:
        return None
    found = [
        verdict_of([_log_ratio(rates[number], one, other) for number in run]) for run in runs for one, other in pairs
    ]
    slower, faster = found.count("slower"), found.count("faster")
    return TriedVerdicts(len(found), slower + faster, slower, found.count("equivalent"), len(runs), disjoint)


def slowed_by(rows: Sequence[VerdictRow], percent: int) -> tuple[float, float] | None:
    """How much more CPU a request of the slowed variant took and how much less throughput it had, as shares.

    Medians over rounds and over the variants that are not slowed.
    """
    names = {row.variant: row.slowed_percent for row in rows}
    same, slowed = ([name for name, by in names.items() if by == wanted] for wanted in (0, percent))
    cpu_us = {(row.round, row.variant): row.cpu_us_per_request for row in rows}
    more_cpu, less_served = [], []
    for number, rates in _complete(rows).items():
        for one, other in itertools.product(slowed, same):
            more_cpu.append(cpu_us[number, one] / cpu_us[number, other] - 1)
            less_served.append(1 - math.exp(_log_ratio(rates, one, other)))
    return (statistics.median(more_cpu), statistics.median(less_served)) if more_cpu else None


RoundRates = dict[str, dict[int, float]]
"""Of one round: {variant: {pass: requests/s}}."""


def _log_ratio(rates: RoundRates, one: str, other: str) -> float:
    return log_ratio(rotation_pairs(rates[one], rates[other]))


def _complete(rows: Sequence[VerdictRow]) -> dict[int, RoundRates]:
    """The rounds in which every variant has every turn."""
    rounds: dict[int, RoundRates] = {}
    for row in rows:
        rounds.setdefault(row.round, {}).setdefault(row.variant, {})[row.pass_number] = row.rate_rps
    names = {row.variant for row in rows}
    return {
        number: turns
        for number, turns in rounds.items()
        if turns.keys() == names and len({tuple(sorted(rates)) for rates in turns.values()}) == 1
    }


def _runs(numbers: Sequence[int], rounds: int, seed: int) -> tuple[list[list[int]], int]:
    """TRIED_RUNS runs, and how many of them are disjoint: those of the first shuffle."""
    draw, runs = random.Random(seed), list[list[int]]()
    while len(numbers) >= rounds and len(runs) < TRIED_RUNS:
        shuffled = draw.sample(list(numbers), len(numbers))
        runs += [shuffled[at : at + rounds] for at in range(0, len(numbers) - rounds + 1, rounds)]
    return runs[:TRIED_RUNS], min(TRIED_RUNS, len(numbers) // rounds)
