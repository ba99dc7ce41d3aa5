"""Reported latencies and starved users against the log of a server that starves some of its clients."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from locust_turns import take_turns

from bench.analysis.survival import Floats, Latencies, latencies, maximum, mean, percentile, share_above, survival
from bench.analysis.trial_reader import decode_kinds
from bench.results.control_messages import PlannedTurn, RunTurns, TargetRecord
from bench.results.schema import TrialFacts

SERVER = Path(__file__).parents[1] / "support" / "starving_server.py"
USERS = 16
WARMUP_S, MEASURED_S = 1.0, 10.0
PATH = "/work"
TOLERANCE = 0.02
NETWORK_S = 0.003
"""The client sees a latency a little later than the server's log: sockets, and the wake-up of the client."""


@dataclass(frozen=True)
class Measured:
    """What was reported, and what the server's log says of the same seconds."""

    reported: Latencies
    facts: TrialFacts
    log: list[tuple[str, float, float | None]]
    rate_rps: float | None

    @property
    def window(self) -> tuple[float, float]:
        (turn,) = self.facts.turns
        return turn.warm_until_s, turn.end_s

    @property
    def truth_s(self) -> Floats:
        """Latencies of all requests that came in the measured part; infinite without an answer."""
        begun_s, end_s = self.window
        return np.array(
            [(answered or np.inf) - received for _, received, answered in self.log if begun_s <= received < end_s]
        )

    @property
    def starved(self) -> list[float]:
        """Ages, at the end of the measured part, of requests that came before it and had no answer by then."""
        begun_s, end_s = self.window
        return [end_s - came for _, came, answered in self.log if came < begun_s and (answered or np.inf) > end_s]


@contextmanager
def starving_server(mode: str, service_ms: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen(
        [sys.executable, str(SERVER), mode, str(service_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process
        finally:
            process.kill()


def measured(folder: Path, mode: str, service_ms: float, rate_rps: float | None) -> Measured:
    with starving_server(mode, service_ms) as (url, server):
        turn = PlannedTurn("starving", 1, WARMUP_S, MEASURED_S)
        facts = take_turns(
            RunTurns((TargetRecord("starving", url, str(folder)),), (turn,), seed=3),
            *("-f", "locustfiles/get_and_health.py", "--path", PATH, "--host", url),
            *("--users", str(USERS + 1), "--spawn-rate", "100"),
            *(("--rate", str(rate_rps)) if rate_rps else ()),
        )["starving"]
        printed, _ = server.communicate()
    kinds = decode_kinds(folder / "requests.hlog", facts, f"GET {PATH}")
    reported = latencies(
        *(kinds[kind] for kind in ("response" if rate_rps else "service", "unfinished", "straddling_unfinished"))
    )
    return Measured(reported, facts, [entry for entry in json.loads(printed) if entry[0] == PATH], rate_rps)


CASES = {
    "never, closed": ("never", 20.0, None),
    "last come first served, closed": ("lifo", 20.0, None),
    "freezes, closed": ("freeze", 20.0, None),
    "last come first served, open": ("lifo", 20.0, 60.0),
    "freezes, open": ("freeze", 10.0, 40.0),
}


@pytest.fixture(scope="module", params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    mode, service_ms, rate_rps = request.param
    return measured(tmp_path_factory.mktemp("starving"), mode, service_ms, rate_rps)


def test_starved_users_are_those_of_the_servers_log(case: Measured) -> None:
    assert case.reported.starved == pytest.approx(len(case.starved), rel=TOLERANCE, abs=1)


def test_the_maximum_is_that_of_the_servers_log(case: Measured) -> None:
    _, end_s = case.window
    finished = [a - r for _, r, a in case.log if a is not None and case.window[0] <= r and a <= end_s]
    ages = [end_s - r for _, r, a in case.log if r < end_s and (a or np.inf) > end_s]
    longest = maximum(case.reported)
    assert longest is not None
    assert longest.value / 1e6 == pytest.approx(max([*finished, *ages]), rel=TOLERANCE, abs=NETWORK_S)
    assert longest.at_least == (max(ages, default=0.0) >= max(finished, default=0.0))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_percentiles_are_those_of_the_servers_log(case: Measured, share: float) -> None:
    found = percentile(survival(case.reported), share)
    truth_s = float(np.quantile(case.truth_s, share, method="inverted_cdf"))
    assert found is not None
    if found.at_least:
        assert found.value / 1e6 <= truth_s + NETWORK_S
        assert truth_s > MEASURED_S / 2, "what is answered within half of the measured part has a number"
    else:
        spread = np.quantile(case.truth_s, [share - 0.05, min(1.0, share + 0.05)], method="inverted_cdf")
        assert spread[0] * (1 - TOLERANCE) - NETWORK_S <= found.value / 1e6 <= spread[1] * (1 + TOLERANCE) + NETWORK_S


@pytest.mark.parametrize("limit_s", [0.1, 0.5, 1.0])
def test_shares_above_a_limit_are_those_of_the_servers_log(case: Measured, limit_s: float) -> None:
    found = share_above(case.reported, limit_s * 1e6)
    assert found is not None
    starved = sum(age > limit_s for age in case.starved)
    truth = (np.sum(case.truth_s > limit_s) + starved) / (len(case.truth_s) + starved)
    assert found == pytest.approx(truth, abs=2 * TOLERANCE)


def test_throughput_latencies_and_starved_users_account_for_all_users(case: Measured) -> None:
    """Closed model: Little's law. Open model: every arrival is answered or waiting."""
    endpoint = case.facts.endpoints[f"GET {PATH}"]
    if case.rate_rps is not None:
        arrivals = case.rate_rps * endpoint.measured_s
        assert case.reported.total == pytest.approx(arrivals, rel=TOLERANCE)
        return
    average = mean(survival(case.reported))
    assert average is not None
    assert endpoint.throughput_rps is not None
    accounted = endpoint.throughput_rps * average.value / 1e6 + case.reported.starved
    assert accounted == pytest.approx(USERS, rel=0.05)
