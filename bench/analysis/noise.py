"""What differs although nothing was changed: a variant against its twin, and a trial against itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bench.analysis.comparisons import Verdict, compare_throughput, rotation_pairs, throughput_logs
from bench.analysis.intervals import Spread, spread_about_zero
from bench.analysis.rounds import rotation_rates
from bench.analysis.survival import Floats
from bench.analysis.tables import ScenarioTables

UNSTEADY = 1.25
"""Factor between the halves of a trial that the machine's own drift does not explain: identical trials were seen to
differ by 12 % (standard deviation), and this is two of those."""
UNSTEADY_SIGMAS = 4.0
"""Few requests differ by chance: ln of the ratio of two counts n and m has a variance of about 1/n + 1/m."""


@dataclass(frozen=True)
class NoiseFloor:
    """A variant against its twin, the same code under another name: whatever differs is noise.

    ``round_spread`` and ``rotation_spread`` are standard deviations of ln(variant / twin) about zero, of a round and
    of one pair of turns. ``verdict`` is what the comparison of any two variants would give them.
    """

    variant: str
    twin: str
    ratio: float
    ci_low: float | None
    ci_high: float | None
    rounds: int
    round_spread: Spread
    rotation_spread: Spread | None
    verdict: Verdict


@dataclass(frozen=True)
class Unsteady:
    """A trial whose second half served ``ratio`` times the requests of its first."""

    variant: str
    round: int
    ratio: float


def noise_floor(tables: ScenarioTables) -> NoiseFloor | None:
    """Of the first twin that gave evidence in the same rounds as its original; None without one."""
    rates = rotation_rates(tables, tables.scenario.endpoint) if tables.scenario.controls else {}
    for control in tables.scenario.controls:
        row = compare_throughput(tables, control.control_of, control.name, rates)
        if row is None or row.ratio is None:
            continue
        logs = throughput_logs(tables, control.control_of, control.name, row.endpoint, rates)
        pairs = [
            pair
            for number in logs
            for pair in rotation_pairs(rates[control.control_of, number], rates[control.name, number])
        ]
        by_round = spread_about_zero(list(logs.values()))
        assert by_round is not None
        return NoiseFloor(
            variant=control.control_of,
            twin=control.name,
            ratio=row.ratio,
            ci_low=row.ci_low,
            ci_high=row.ci_high,
            rounds=row.rounds,
            round_spread=by_round,
            rotation_spread=spread_about_zero([math.log(one / other) for one, other in pairs]),
            verdict=row.verdict,
        )
    return None


def unsteady(tables: ScenarioTables) -> tuple[Unsteady, ...]:
    """The trials whose halves disagree beyond the noise: not steady, so their means hide a change."""
    counts = tables.counts
    chosen = counts[(counts["measured"] == 1) & (counts["endpoint"] == tables.scenario.endpoint)]
    found = []
    for (variant, number), part in chosen.groupby(["variant", "round"], observed=True, sort=False):
        length_s = (part["end_s"] - part["start_s"]).to_numpy(float)
        ratio = _halves_ratio(part["start_s"].to_numpy(float), length_s, part["finished"].to_numpy(float))
        if ratio is not None:
            found.append(Unsteady(str(variant), int(str(number)), ratio))
    return tuple(found)


def _halves_ratio(start_s: Floats, length_s: Floats, finished: Floats) -> float | None:
    """Second half by first of the measured time, an interval across the middle shared out; None where it is noise."""
    order = np.argsort(start_s)
    passed_s, done = np.cumsum(length_s[order]), np.cumsum(finished[order])
    middle_s = passed_s[-1] / 2
    first = float(np.interp(middle_s, np.concatenate(([0.0], passed_s)), np.concatenate(([0.0], done))))
    second = float(done[-1]) - first
    if min(first, second) <= 0:
        return None
    sigma = math.sqrt(1 / first + 1 / second)
    change = abs(math.log(second / first))
    return second / first if change > max(math.log(UNSTEADY), UNSTEADY_SIGMAS * sigma) else None
