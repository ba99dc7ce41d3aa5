"""Each check of a trial's validity: a case that trips it, and one that only just does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.model import Load
from bench.model.bounds import UpperBound, awaited, blocked_loop
from bench.results.schema import EndpointFacts, TrialFacts, TurnRecord
from bench.running import validity
from bench.running.validity import CHECKS, Check, Evidence, judge

MAIN, HEALTH = "GET /report", "GET /health"
CLOSED, OPEN = Load(users=32), Load(rate_rps=100)
BLOCKED = blocked_loop(0.05)


FAULTLESS = EndpointFacts(
    measured_s=3.0,
    started=60,
    finished=60,
    failed=0,
    failed_in_warmup=0,
    causes={},
    statuses={},
    unfinished=0,
    completed_late=0,
    dropped=0,
    reconnects=0,
    throughput_rps=20.0,
    in_flight_mean=32.0,
    lag_p99_ms=0.2,
    response_p50_ms=55.0,
)
NOTHING = TrialFacts((), {}, generator_cpu_cores_max=0.1)


def facts(**main: Any) -> TrialFacts:
    """Facts of a faultless trial, apart from what is given about its main endpoint."""
    return trial(endpoints={MAIN: replace(FAULTLESS, **main), HEALTH: FAULTLESS})


def trial(**changed: Any) -> TrialFacts:
    made = TrialFacts(_turns(True, True), {MAIN: FAULTLESS, HEALTH: FAULTLESS}, 0.1, 0.05, 0.001)
    return replace(made, **changed)


def health(**changed: Any) -> TrialFacts:
    return trial(endpoints={MAIN: FAULTLESS, HEALTH: replace(FAULTLESS, **changed)})


def turns(*drained: bool | None) -> TrialFacts:
    return trial(turns=_turns(*drained))


def _turns(*drained: bool | None) -> tuple[TurnRecord, ...]:
    return tuple(TurnRecord(number, 0.0, 0.1, 1.0, each, 2.0) for number, each in enumerate(drained, start=1))


def evidence(
    given: TrialFacts, load: Load = CLOSED, bound: UpperBound | None = BLOCKED, planned_s: float = 3.0
) -> Evidence:
    return Evidence(given, MAIN, load, bound, planned_s)


FAILED = {"failed": 3, "finished": 57, "causes": {"status": 2, "reset": 1}, "errors": ("status 500",)}

TRIPPED: list[tuple[Check, Evidence, str]] = [
    (
        validity.no_errors,
        evidence(facts(**FAILED)),
        "3 of 60 requests to GET /report failed (reset x 1, status x 2); for example: status 500",
    ),
    (validity.no_errors, evidence(health(failed=1, causes={"closed": 1})), "1 of 61 requests to GET /health failed"),
    (validity.no_errors, evidence(facts(failed_in_warmup=1)), "1 request to GET /report failed during warm-up"),
    (validity.measured_long_enough, evidence(facts(measured_s=2.84)), "measured for 2.8 s of 3.0 s planned"),
    (validity.measured_long_enough, evidence(NOTHING), "measured for 0.0 s of 3.0 s planned"),
    (validity.was_answered, evidence(facts(finished=0)), "no request to GET /report was answered"),
    (validity.was_answered, evidence(trial(endpoints={})), "no request to GET /report was answered"),
    (validity.generator_had_cpu_left, evidence(trial(generator_cpu_cores_max=0.81)), "used 0.81 of a core"),
    (validity.generator_had_cpu_left, evidence(trial(generator_cpu_cores_max=None)), "CPU was not sampled"),
    (validity.generator_had_its_core, evidence(trial(generator_waiting_share_mean=0.12)), "waited for a core 12%"),
    (validity.generator_was_not_stopped, evidence(trial(generator_stopped_s_max=4.04)), "stood still for 4.0 s"),
    (validity.below_bound, evidence(facts(throughput_rps=21.1)), "21 req/s is above the bound of 20 req/s"),
    (validity.below_bound, evidence(facts(throughput_rps=673.0), bound=awaited(0.05)), "bound of 640 req/s"),
    (validity.below_bound, evidence(facts(throughput_rps=21.1), OPEN), "bound of 20 req/s"),
    (
        validity.obeys_littles_law,
        evidence(facts(in_flight_mean=30.3)),
        "gives 30.3 users in flight where 32 were looping",
    ),
    (validity.obeys_littles_law, evidence(facts(in_flight_mean=33.7)), "33.7 users"),
    (validity.arrivals_were_sent, evidence(facts(started=989, dropped=11), OPEN), "11 of 1000 arrivals were dropped"),
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=2.8), OPEN), "sent late: lag p99 2.8 ms"),
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=2.1, response_p50_ms=None), OPEN), "sent late"),
    (validity.turns_drained, evidence(turns(False, True)), "still unanswered 2.0 s after a turn"),
    (validity.turns_drained, evidence(turns(True, False)), "still unanswered 2.0 s after a turn"),
]

PASSED: list[tuple[Check, Evidence]] = [
    (validity.no_errors, evidence(facts(unfinished=32))),
    (validity.no_errors, evidence(NOTHING)),
    (validity.measured_long_enough, evidence(facts(measured_s=2.86))),
    (validity.was_answered, evidence(facts(finished=1))),
    (validity.generator_had_cpu_left, evidence(trial(generator_cpu_cores_max=0.8))),
    (validity.generator_had_its_core, evidence(trial(generator_waiting_share_mean=0.1))),
    (validity.generator_had_its_core, evidence(trial(generator_waiting_share_mean=None))),
    (validity.generator_was_not_stopped, evidence(trial(generator_stopped_s_max=0.9))),
    (validity.below_bound, evidence(facts(throughput_rps=20.9))),
    (validity.below_bound, evidence(facts(throughput_rps=5000.0), bound=None)),
    (validity.below_bound, evidence(facts(throughput_rps=5000.0), bound=UpperBound("1/c", 0.05, 1, "cpu"))),
    (validity.below_bound, evidence(facts(throughput_rps=None))),
    # A Poisson second may bring more than the mean of 100 a second.
    (validity.below_bound, evidence(facts(throughput_rps=130.0), OPEN, awaited(0.05))),
    (validity.obeys_littles_law, evidence(facts(in_flight_mean=30.5))),
    (validity.obeys_littles_law, evidence(facts(in_flight_mean=33.5))),
    (validity.obeys_littles_law, evidence(facts(in_flight_mean=1.0), OPEN)),
    (validity.arrivals_were_sent, evidence(facts(started=990, dropped=10), OPEN)),
    (validity.arrivals_were_sent, evidence(facts(started=0, dropped=0), OPEN)),
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=2.7), OPEN)),  # 5 % of a response of 55 ms
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=2.0, response_p50_ms=1.0), OPEN)),
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=None), OPEN)),
    (validity.arrivals_were_on_time, evidence(facts(lag_p99_ms=50.0), CLOSED)),
    (validity.turns_drained, evidence(turns(True, None))),  # the group's last turn disturbs nobody
]


@pytest.mark.parametrize(
    ("check", "given", "reason"), TRIPPED, ids=[f"{check.__name__}: {reason}" for check, _, reason in TRIPPED]
)
def test_what_trips_a_check(check: Check, given: Evidence, reason: str) -> None:
    found = check(given)
    assert found is not None
    assert reason in found
    assert "\n" not in found
    assert found in judge(given)


@pytest.mark.parametrize(("check", "given"), PASSED, ids=[check.__name__ for check, _ in PASSED])
def test_what_only_just_does_not(check: Check, given: Evidence) -> None:
    assert check(given) is None


def test_every_check_has_both() -> None:
    assert {check for check, *_ in TRIPPED} == {check for check, _ in PASSED} == set(CHECKS)


@pytest.mark.parametrize("load", [CLOSED, OPEN], ids=["closed", "open"])
def test_a_faultless_trial_is_valid(load: Load) -> None:
    assert judge(evidence(facts(), load)) == ()


def test_the_most_telling_reason_comes_first() -> None:
    everything = facts(**{**FAILED, "finished": 0, "measured_s": 1.0, "in_flight_mean": 1.0})
    everything = replace(everything, generator_cpu_cores_max=0.9)
    reasons = judge(evidence(everything))
    assert ["failed" in reasons[0], "answered" in reasons[1], "planned" in reasons[2]] == [True] * 3
    assert "Little" in reasons[-1]
    assert len(reasons) == 5
