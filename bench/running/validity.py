"""Whether a trial can be trusted: pure checks over its facts. Each gives a reason why not, or None.

A trial that fails a check is *invalid*, never merely slow: it is shown with its reasons and excluded from comparisons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.model import Load
from bench.model.bounds import UpperBound
from bench.results.schema import MAX_WAITING_SHARE, EndpointFacts, TrialFacts

MAX_GENERATOR_CORES = 0.8
"""Above this share of a core the generator queues its own work, and its delays count as the server's."""
MAX_STOPPED_S = 1.0
"""Longest time that the generator may not run at all. No operating system delays a process for so long by itself."""
MIN_MEASURED_SHARE = 0.95
"""Of the planned time. Less means that turns were cut short."""
MAX_BOUND_RATIO = 1.05
"""A bound on waiting cannot be exceeded. 5 % is room for the edges of a window of a few latencies."""
MAX_LITTLE_DEVIATION = 0.05
"""Little's law computes the users from throughput and latency. A larger difference means that requests were lost or
users were idle."""
MAX_IDLE_S = 0.0005
"""Between an answer and one user's next request. The generator takes 0.1 to 0.3 ms for it."""
MIN_SENT_SHARE = 0.99
"""Of the arrivals that were due."""
MAX_LAG_P99_MS = 2.0
MAX_LAG_SHARE = 0.05
"""Lag matters where it is large by itself and also large relative to the response time that it is part of."""


@dataclass(frozen=True)
class Evidence:
    """What is judged: the load generator's facts of one trial, and what was planned."""

    facts: TrialFacts
    endpoint: str
    load: Load
    bound: UpperBound | None
    planned_s: float
    secondary_endpoints: tuple[str, ...] = ()
    """More endpoints that the same users request."""
    has_think_time: bool = False
    """Whether the users may pause between their requests."""
    has_long_requests: bool = False
    """Whether few or no requests end while it is measured, so that throughput and latency say nothing."""
    held: str = ""
    """What held the event loop, in words, where the probe saw that."""

    @property
    def main(self) -> EndpointFacts | None:
        """Facts of the scenario's own endpoint; None when it was never requested."""
        return self.facts.endpoints.get(self.endpoint)


Check = Callable[[Evidence], str | None]


def judge(evidence: Evidence) -> tuple[str, ...]:
    """Why the trial is invalid, the most telling reason first. Empty when it can be trusted."""
    return tuple(reason for check in CHECKS if (reason := check(evidence)))


def measured_long_enough(evidence: Evidence) -> str | None:
    """Were all turns measured?"""
    measured_s = evidence.main.measured_s if evidence.main else 0.0
    if measured_s >= MIN_MEASURED_SHARE * evidence.planned_s:
        return None
    return f"measured for {measured_s:.1f} s of {evidence.planned_s:.1f} s planned"


def no_errors(evidence: Evidence) -> str | None:
    """Was every request answered with an expected status?"""
    for endpoint, facts in evidence.facts.endpoints.items():
        failed = facts.failed or facts.failed_in_warmup
        if not failed:
            continue
        causes = ", ".join(f"{cause} x {count}" for cause, count in sorted(facts.causes.items()))
        noun = "request" if failed == 1 else "requests"
        which = f"{failed} {noun} to {endpoint} failed during warm-up"
        if facts.failed:
            which = f"{failed} of {failed + facts.finished} requests to {endpoint} failed"
        example = f"; for example: {facts.errors[0]}" if facts.errors else ""
        return f"{which}{f' ({causes})' if causes else ''}{example}"
    return None


def was_answered(evidence: Evidence) -> str | None:
    """Was anything answered at all?"""
    if evidence.has_long_requests or (evidence.main is not None and evidence.main.finished):
        return None
    reason = f"no request to {evidence.endpoint} was answered while it was measured"
    return f"{reason}: {evidence.held}" if evidence.held else reason


def generator_had_cpu_left(evidence: Evidence) -> str | None:
    """Was the generator far from its own limit?"""
    cores = evidence.facts.generator_cpu_cores_max
    if cores is None:
        return "the generator's CPU was not sampled"
    if cores <= MAX_GENERATOR_CORES:
        return None
    return f"the generator used {cores:.2f} of a core, more than {MAX_GENERATOR_CORES:g}: it may be what was measured"


def generator_had_its_core(evidence: Evidence) -> str | None:
    """Did no other program use the generator's core?"""
    share = evidence.facts.generator_waiting_share_mean
    if share is None or share <= MAX_WAITING_SHARE:
        return None
    return f"the generator waited for a core {share:.0%} of the time, more than {MAX_WAITING_SHARE:.0%}"


def generator_was_not_stopped(evidence: Evidence) -> str | None:
    """Did the generator run all the time?"""
    stopped_s = evidence.facts.generator_stopped_s_max
    if stopped_s is None or stopped_s <= MAX_STOPPED_S:
        return None
    return f"the generator stood still for {stopped_s:.1f} s: the machine was suspended, or this process was stopped"


def below_bound(evidence: Evidence) -> str | None:
    """Is the throughput possible?"""
    bound, main = evidence.bound, evidence.main
    if bound is None or bound.kind != "waiting" or main is None or main.throughput_rps is None:
        return None
    max_rps = bound.max_rps(evidence.load.users, evidence.load.rate_rps)
    # A Poisson second may bring more than the mean rate: only the station's own bound cannot be exceeded.
    if evidence.load.model == "open":
        max_rps = bound.max_rps()
    if main.throughput_rps <= MAX_BOUND_RATIO * max_rps:
        return None
    return f"{main.throughput_rps:.0f} req/s is above the bound of {max_rps:.0f} req/s: the measurement is wrong"


def obeys_littles_law(evidence: Evidence) -> str | None:
    """Do throughput and latency account for all users?

    One user alone may be idle for a moment between an answer and the next request: that is no latency, but a large part of
    the time of an endpoint that takes a few hundred microseconds.
    """
    users, endpoints = evidence.load.users, evidence.facts.endpoints
    names = (evidence.endpoint, *evidence.secondary_endpoints)
    means = [endpoints[name].in_flight_mean for name in names if name in endpoints]
    known = [mean for mean in means if mean is not None]
    if users is None or evidence.has_think_time or evidence.has_long_requests:
        return None
    if not known or len(known) < len(means):
        return None
    mean = sum(known)
    idle = MAX_IDLE_S * sum(endpoints[name].throughput_rps or 0.0 for name in names) if users == 1 else 0.0
    if -MAX_LITTLE_DEVIATION - idle <= mean / users - 1 <= MAX_LITTLE_DEVIATION:
        return None
    return f"Little's law: throughput x latency gives {mean:.1f} users in flight where {users} were looping"


def arrivals_were_sent(evidence: Evidence) -> str | None:
    """Was the arrival schedule sent completely?"""
    main = evidence.main
    if evidence.load.model == "closed" or main is None:
        return None
    due = main.dropped + main.started
    if not due or main.started >= MIN_SENT_SHARE * due:
        return None
    return (
        f"{main.dropped} of {due} arrivals were dropped: no connection was free, the server is overloaded at this rate"
    )


def arrivals_were_on_time(evidence: Evidence) -> str | None:
    """Was the arrival schedule sent on time?"""
    main = evidence.main
    if evidence.load.model == "closed" or main is None or main.lag_p99_ms is None:
        return None
    lag_ms, response_ms = main.lag_p99_ms, main.response_p50_ms
    if lag_ms <= MAX_LAG_P99_MS or (response_ms is not None and lag_ms <= MAX_LAG_SHARE * response_ms):
        return None
    return f"the generator sent late: lag p99 {lag_ms:.1f} ms, more than {MAX_LAG_P99_MS:g} ms"


def turns_drained(evidence: Evidence) -> str | None:
    """Was every request answered before the next turn?"""
    if evidence.has_long_requests:
        return None
    not_drained = [turn for turn in evidence.facts.turns if turn.drained is False]
    if not not_drained:
        return None
    return f"requests were still unanswered {not_drained[0].drain_s:.1f} s after a turn: they disturbed the next one"


CHECKS: tuple[Check, ...] = (
    no_errors,
    was_answered,
    turns_drained,
    measured_long_enough,
    generator_had_cpu_left,
    generator_had_its_core,
    generator_was_not_stopped,
    below_bound,
    obeys_littles_law,
    arrivals_were_sent,
    arrivals_were_on_time,
)
