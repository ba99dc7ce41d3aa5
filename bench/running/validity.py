"""Whether a trial can be trusted: pure checks over its facts, each giving a reason or nothing. Standard library only.

A measurement that fails one is *invalid*, never merely slow: it is shown with its reasons and kept out of comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.model import Load
from bench.model.bounds import UpperBound

GENERATOR_CORES_MOST = 0.8
"""Above this share of a core the generator queues its own work, and its delays are booked as the server's."""
GENERATOR_WAITING_MOST = 0.1
"""Share of the time that the generator was runnable without a core, on average. Another process sat on its core."""
ABOVE_CEILING_MOST = 1.05
"""A bound on waiting cannot be beaten: 5 % is room for the edges of a window of a few latencies."""
LITTLE_MOST = 0.05
"""Little's law counts the users back from latencies: off by more, requests were lost or users stood idle."""
SENT_LEAST = 0.99
LAG_P99_MOST_MS = 2.0
LAG_SHARE_MOST = 0.05
"""Lag matters where it is large both in itself and beside the response that it is part of."""


@dataclass(frozen=True)
class Evidence:
    """What is judged: the load generator's facts about one trial (store.py, FACTS) and what was planned."""

    facts: dict[str, Any]
    endpoint: str
    load: Load
    bound: UpperBound | None
    planned_s: float
    secondary_endpoints: tuple[str, ...] = ()
    """Other endpoints that the same users ask for."""
    has_think_time: bool = False
    """Whether the users may pause between their requests."""

    @property
    def main(self) -> dict[str, Any]:
        """Facts of the scenario's own endpoint; empty when it was never asked."""
        return dict(self.facts.get("endpoints", {}).get(self.endpoint, {}))


Check = Callable[[Evidence], str | None]


def judge(evidence: Evidence) -> tuple[str, ...]:
    """Why the trial is invalid, most telling reason first; empty when it can be trusted."""
    return tuple(reason for check in CHECKS if (reason := check(evidence)))


def measured_whole(evidence: Evidence) -> str | None:
    measured_s = evidence.main.get("measured_s", 0.0)
    if measured_s >= 0.95 * evidence.planned_s:
        return None
    return f"measured for {measured_s:.1f} s of {evidence.planned_s:.1f} s planned"


def no_errors(evidence: Evidence) -> str | None:
    for endpoint, facts in evidence.facts.get("endpoints", {}).items():
        failed = facts["failed"] or facts["warmup_failed"]
        if not failed:
            continue
        causes = ", ".join(f"{cause} x {count}" for cause, count in sorted(facts["causes"].items()))
        when = f" of {failed + facts['finished']}" if facts["failed"] else " in the warm-up"
        sample = f"; for example: {facts['errors'][0]}" if facts["errors"] else ""
        return f"{failed}{when} requests to {endpoint} failed{f' ({causes})' if causes else ''}{sample}"
    return None


def was_answered(evidence: Evidence) -> str | None:
    if evidence.main.get("finished", 0):
        return None
    return f"no request to {evidence.endpoint} was answered while it was measured"


def generator_had_room(evidence: Evidence) -> str | None:
    cores = evidence.facts.get("generator_cpu_cores_max")
    if cores is None:
        return "the generator's CPU was not sampled"
    if cores <= GENERATOR_CORES_MOST:
        return None
    return f"the generator used {cores:.2f} of a core, more than {GENERATOR_CORES_MOST:g}: it may be what was measured"


def generator_had_its_core(evidence: Evidence) -> str | None:
    share = evidence.facts.get("generator_waiting_share_mean")
    if share is None or share <= GENERATOR_WAITING_MOST:
        return None
    return f"the generator waited for a core {share:.0%} of the time, more than {GENERATOR_WAITING_MOST:.0%}"


def below_ceiling(evidence: Evidence) -> str | None:
    law, measured_rps = evidence.bound, evidence.main.get("throughput_rps")
    if law is None or law.kind != "waiting" or measured_rps is None:
        return None
    ceiling_rps = law.max_rps(evidence.load.users, evidence.load.rate_rps)
    # A Poisson second may bring more than the mean rate: only the station's own bound cannot be beaten.
    if evidence.load.model == "open":
        ceiling_rps = law.max_rps()
    if measured_rps <= ABOVE_CEILING_MOST * ceiling_rps:
        return None
    return f"{measured_rps:.0f} req/s is above the ceiling of {ceiling_rps:.0f} req/s: the measurement is wrong"


def obeys_little(evidence: Evidence) -> str | None:
    users = evidence.load.users
    endpoints = evidence.facts.get("endpoints", {})
    means = [
        endpoints[name]["in_flight_mean"]
        for name in (evidence.endpoint, *evidence.secondary_endpoints)
        if name in endpoints
    ]
    if users is None or evidence.has_think_time or not means or None in means:
        return None
    mean = sum(means)
    if abs(mean / users - 1) <= LITTLE_MOST:
        return None
    return f"Little's law: throughput x latency gives {mean:.1f} users in flight where {users} were looping"


def timetable_was_kept(evidence: Evidence) -> str | None:
    facts = evidence.main
    dropped, started = facts.get("dropped", 0), facts.get("started", 0)
    due = dropped + started
    if evidence.load.model == "closed" or not due or started >= SENT_LEAST * due:
        return None
    return f"{dropped} of {due} arrivals were dropped: no connection was free, the server is overloaded at this rate"


def timetable_was_punctual(evidence: Evidence) -> str | None:
    lag_ms, response_ms = evidence.main.get("lag_p99_ms"), evidence.main.get("response_p50_ms")
    if evidence.load.model == "closed" or lag_ms is None:
        return None
    if lag_ms <= LAG_P99_MOST_MS or (response_ms is not None and lag_ms <= LAG_SHARE_MOST * response_ms):
        return None
    return f"the generator sent late: lag p99 {lag_ms:.1f} ms, more than {LAG_P99_MOST_MS:g} ms"


def fell_quiet(evidence: Evidence) -> str | None:
    restless = [turn for turn in evidence.facts.get("turns", []) if turn["quiet"] is False]
    if not restless:
        return None
    return f"requests were still unanswered {restless[0]['late_s']:.1f} s after a turn: it disturbed the next one"


CHECKS: tuple[Check, ...] = (
    no_errors,
    was_answered,
    fell_quiet,
    measured_whole,
    generator_had_room,
    generator_had_its_core,
    below_ceiling,
    obeys_little,
    timetable_was_kept,
    timetable_was_punctual,
)
