"""Whether the figures of a trial agree with each other: its requests/s, its latencies and its starved users.

By Little's law N = X · E[T]: users in flight are requests/s by the mean latency. Users without an answer are not in
the latencies, so for each trial of looping users

    N  =  X · (mean of the reported distribution)  +  starved users  +  users whose answer came very late

The last are users whose request began before the measured part, and waited in it for longer than any request that began
in it: they count with the share of the part that they waited.

In an open model N is the mean number of requests in flight, which the load generator integrates request by request.
Source: Little, Operations Research 9 (1961) 383-387.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.summary import starved_users, throughputs_rps
from bench.analysis.survival import mean, survival
from bench.analysis.tables import ScenarioTables

TOLERANCE = 0.05


@dataclass(frozen=True)
class TrialConsistency:
    """One trial's figures beside each other."""

    scenario: str
    variant: str
    load: str
    round: int
    in_flight: float
    """Users of a closed model; mean requests in flight of an open one."""
    throughput_rps: float
    mean_s: float
    """Mean of the reported distribution of service times."""
    starved: float
    late: float

    @property
    def ratio(self) -> float:
        """What the figures account for, by what was in flight: 1 when they agree."""
        return (self.throughput_rps * self.mean_s + self.starved + self.late) / self.in_flight

    @property
    def is_consistent(self) -> bool:
        """Whether they agree within TOLERANCE."""
        return abs(self.ratio - 1) <= TOLERANCE


def consistency(tables: ScenarioTables) -> Iterator[TrialConsistency]:
    """The figures of each valid trial, for the scenario's own endpoint. Trials without an answered request have none."""
    scenario = tables.scenario
    for variant in scenario.all_variants:
        rates = throughputs_rps(tables, variant.name, scenario.endpoint)
        starved = starved_users(tables, variant.name, scenario.endpoint)
        for number in tables.rounds(variant.name):
            average = mean(survival(tables.round_latencies(variant.name, scenario.endpoint, number, "service")))
            in_flight = scenario.users or tables.in_flight(variant.name, scenario.endpoint, number)
            if average is None or not in_flight or not rates[number]:
                continue
            late = tables.late_users(variant.name, scenario.endpoint, number)
            yield TrialConsistency(
                scenario.name,
                variant.name,
                scenario.load,
                number,
                in_flight,
                rates[number],
                average.value / 1e6,
                starved[number],
                late,
            )
