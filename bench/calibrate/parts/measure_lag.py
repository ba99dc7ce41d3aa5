"""How late the open model sends, beside a bare loop that only sleeps to the same arrival schedule."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from bench.calibrate.hub_load import HubLoad, run_hub_load
from bench.calibrate.rows import BARE_LOOP, OUR_GENERATOR, LagRow
from bench.calibrate.setup import ENDPOINT, CalibrationFailed, CalibrationSetup, running_null_server
from bench.planning.catalogue import PACKAGE

RATES_RPS = (100, 1000, 5000)
MIN_MEASURED_S = 4.0
MIN_SAMPLES = 1200
"""A 99th percentile needs a thousand samples, ten of them beyond it. At a low rate that takes longer."""
EXIT_WITHIN_S = 10.0


def measure_lag(setup: CalibrationSetup) -> Iterator[LagRow]:
    """One row for each generator, rate and round."""
    with running_null_server(setup) as url:
        for number in range(1, setup.rounds + 1):
            for rate_rps in RATES_RPS:
                for name in setup.shuffled((OUR_GENERATOR, BARE_LOOP), number * rate_rps):
                    setup.report(f"lag: round {number}/{setup.rounds}, {name} at {rate_rps} req/s")
                    lag = hub_lag(setup, url, rate_rps) if name == OUR_GENERATOR else bare_loop_lag(setup, rate_rps)
                    yield LagRow(number, name, rate_rps, *lag)


def hub_lag(setup: CalibrationSetup, url: str, rate_rps: int) -> tuple[float, float, float]:
    """p50 and p99 of HubHttpUser's lag in microseconds, and the share of the scheduled requests that were sent."""
    load = HubLoad(1.0, _measured_s(rate_rps), rate_rps=rate_rps)
    facts = run_hub_load(setup, url, load).endpoints[ENDPOINT]
    if facts.lag_p50_ms is None or facts.lag_p99_ms is None:
        raise CalibrationFailed(f"too few requests for a 99th percentile: {facts.started}")
    sent_share = facts.started / (rate_rps * facts.measured_s)
    return facts.lag_p50_ms * 1000, facts.lag_p99_ms * 1000, sent_share


def bare_loop_lag(setup: CalibrationSetup, rate_rps: int) -> tuple[float, float, float]:
    """The same of the bare loop."""
    measured_s = _measured_s(rate_rps)
    command = [sys.executable, str(PACKAGE / "calibrate" / "bare_loop.py"), str(rate_rps), str(measured_s)]
    with setup.start(command, "bare-loop", generator=True) as loop:
        if loop.wait(measured_s + EXIT_WITHIN_S) != 0:
            raise CalibrationFailed(f"the bare loop failed; see {loop.log}")
    lags_us = sorted(json.loads(loop.log.read_text()))
    return lags_us[len(lags_us) // 2], lags_us[int(0.99 * len(lags_us))], 1.0


def _measured_s(rate_rps: int) -> float:
    return max(MIN_MEASURED_S, MIN_SAMPLES / rate_rps)
