"""Whether the figures of a trial agree with each other: its requests/s, its latencies and its starved users.

By Little's law N = X · E[T]: users in flight are requests/s by the mean latency. Users without an answer are not in
the latencies, so for each trial of looping users

    N  =  X · (mean of the reported distribution)  +  starved users  +  users whose answer came very late

The last are users whose request began before the measured part, and waited in it for longer than any request that began
in it: they count with the share of the part that they waited.

The two edges of each turn cut the requests of N users at random ages. For ages between 0 and the mean, as in a queue, X has
a standard error of √(turns · N / 6) / n for n answered requests, and so has the mean, whose cut requests are estimated:
together √(turns · N / 3) / n. A trial agrees within 5 %, or within three standard errors where it has too few requests.

In an open model every arrival of the measured part must be in the distribution: answered, failed, dropped, or waiting at
its end. (Little's law is of no use there, since an overloaded server has no steady state.)
Source: Little, Operations Research 9 (1961) 383-387.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.summary import starved_users, throughputs_rps
from bench.analysis.survival import mean, survival
from bench.analysis.tables import ScenarioTables
from bench.results.schema import EDGE_S

TOLERANCE = 0.05
MAX_STANDARD_ERRORS = 3.0


Agreement = tuple[float, float, float, str]
"""Expected, accounted for, standard error, and the figures in words."""


@dataclass(frozen=True)
class TrialConsistency:
    """One trial's figures beside each other."""

    scenario: str
    variant: str
    load: str
    round: int
    expected: float
    """Users of a closed model; arrivals of an open one."""
    accounted: float
    """What the reported figures account for of them."""
    standard_error: float
    """Of ``ratio``, by chance."""
    figures: str
    """The figures, in words."""

    @property
    def ratio(self) -> float:
        """Accounted by expected: 1 when the figures agree."""
        return self.accounted / self.expected

    @property
    def is_within_tolerance(self) -> bool:
        """Whether they agree within TOLERANCE."""
        return abs(self.ratio - 1) <= TOLERANCE

    @property
    def is_consistent(self) -> bool:
        """Whether they agree within TOLERANCE, or within what chance allows."""
        return self.is_within_tolerance or abs(self.ratio - 1) <= MAX_STANDARD_ERRORS * self.standard_error


def consistency(tables: ScenarioTables) -> Iterator[TrialConsistency]:
    """The figures of each valid trial, for the scenario's own endpoint. Trials without an answered request have none."""
    scenario = tables.scenario
    check = _of_arrivals if scenario.users is None else _of_users
    for variant in scenario.all_variants:
        for number in tables.rounds(variant.name):
            found = check(tables, variant.name, number)
            if found is not None:
                yield TrialConsistency(scenario.name, variant.name, scenario.load, number, *found)


def _of_users(tables: ScenarioTables, variant: str, number: int) -> Agreement | None:
    endpoint, users = tables.scenario.endpoint, tables.scenario.users
    curve = survival(tables.round_latencies(variant, endpoint, number, "service"))
    average = mean(curve)
    rate_rps = throughputs_rps(tables, variant, endpoint)[number]
    if average is None or users is None or not rate_rps:
        return None
    starved = starved_users(tables, variant, endpoint)[number]
    late = _late_users(tables, variant, number, curve.end_us)
    words = (
        f"{users} users; {rate_rps:.4g} requests/s of {average.value / 1e3:.4g} ms, "
        f"{starved:.3g} starved and {late:.3g} late"
    )
    measured_s = tables.measured_s(variant, number)
    turns = tables.turns[(tables.turns["variant"] == variant) & (tables.turns["round"] == number)]
    measured_turns = int((turns["end_s"] - turns["warm_until_s"] > EDGE_S).sum())
    standard_error = math.sqrt(measured_turns * users / 3) / (rate_rps * measured_s)
    return float(users), rate_rps * average.value / 1e6 + starved + late, standard_error, words


def _late_users(tables: ScenarioTables, variant: str, number: int, longest_us: float) -> float:
    """Users whose request began before the measured part and waited in it for longer than any that began in it.

    Each counts with the share of the measured time that it waited.
    """
    values_us, counts = tables.histogram(variant, tables.scenario.endpoint, "straddling_remaining", number)
    late = values_us > longest_us
    return float((values_us[late] * counts[late]).sum()) / 1e6 / tables.measured_s(variant, number)


def _of_arrivals(tables: ScenarioTables, variant: str, number: int) -> Agreement | None:
    endpoint, rate_rps = tables.scenario.endpoint, tables.scenario.rate_rps
    facts = tables.facts[variant, number].endpoints.get(endpoint)
    if rate_rps is None or facts is None or endpoint.partition(" ")[2] != tables.scenario.path:
        return None  # an endpoint that follows another, such as "job done", has no schedule of its own
    observed = tables.round_latencies(variant, endpoint, number)
    arrivals = rate_rps * facts.measured_s
    words = (
        f"{arrivals:.4g} arrivals; {observed.finished} answered, {observed.censored} waiting, {facts.failed} failed and "
        f"{facts.dropped} dropped"
    )
    return arrivals, float(observed.total + facts.failed + facts.dropped), 0.0, words
