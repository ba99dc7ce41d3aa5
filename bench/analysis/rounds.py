"""Each round's own figure of a metric: what intervals and tests are made of. One round, one value.

rotation_rates(tables, "GET /books")    # requests/s in every turn: {("plain_def", 2): {1: 4120.0, 2: 4090.0}}
per_round(tables, "plain_def", "GET /health", "latency_p50_ms")    # {1: Bounded(value=0.9, at_least=False), ...}
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.analysis.summary import (
    ABOVE_TIMEOUT,
    PERCENTILES,
    cpu_cores,
    cpu_per_request_ms,
    lag_curve,
    throughputs_rps,
)
from bench.analysis.survival import Bounded, Floats, percentile, share_above, survival
from bench.analysis.tables import ScenarioTables
from bench.results.schema import EDGE_S, HEALTH_TIMEOUT_S

RotationRates = dict[tuple[str, int], dict[int, float]]

LATENCY_KINDS = {"latency": None, "service": "service"}
"""By what a metric's name begins with: None is the endpoint's headline."""


def rotation_rates(tables: ScenarioTables, endpoint: str) -> RotationRates:
    """Requests finished a second in the measured part of every turn: {(variant, round): {rotation: requests/s}}."""
    counts = tables.counts[(tables.counts["measured"] == 1) & (tables.counts["endpoint"] == endpoint)]
    finished = dict(list(counts.groupby(["variant", "round"], observed=True, sort=False)))
    found: RotationRates = {}
    for (variant, number), turns in tables.turns.groupby(["variant", "round"], observed=True, sort=False):
        part = finished.get((variant, number))
        from_s, until_s = turns["warm_until_s"].to_numpy(float), turns["end_s"].to_numpy(float)
        done: Floats = np.zeros(len(turns))
        if part is not None:
            place = np.searchsorted(from_s, part["start_s"].to_numpy(float) + EDGE_S, side="right") - 1
            done = np.bincount(place, weights=part["finished"].to_numpy(float), minlength=len(turns)).astype(float)
        found[str(variant), int(str(number))] = {
            int(rotation): float(done[at] / (until_s[at] - from_s[at]))
            for at, rotation in enumerate(turns["pass_number"])
            if until_s[at] - from_s[at] > EDGE_S
        }
    return found


def per_round(tables: ScenarioTables, variant: str, endpoint: str, metric: str) -> dict[int, Bounded] | None:
    """The metric's value in every round that has one; None for a metric that has no value of a round's own.

    A round with too few requests for its percentile has none (survival.samples_needed).
    """
    if metric in COUNTED:
        return {number: Bounded(value, False) for number, value in COUNTED[metric](tables, variant, endpoint).items()}
    prefix, _, name = metric.removesuffix("_ms").rpartition("_")
    if name not in PERCENTILES or prefix not in (*LATENCY_KINDS, "loop_lag"):
        return None
    if prefix == "loop_lag":
        rows = tables.server[(tables.server["variant"] == variant) & tables.server["measured"]]
        curves = {int(str(number)): lag_curve(part) for number, part in rows.groupby("round")}
    else:
        kind = LATENCY_KINDS[prefix]
        curves = {
            number: survival(tables.round_latencies(variant, endpoint, number, kind))
            for number in tables.rounds(variant)
        }
    values = {number: percentile(curve, PERCENTILES[name]) for number, curve in curves.items()}
    return {number: Bounded(v.value / 1e3, v.at_least) for number, v in values.items() if v is not None}


COUNTED: dict[str, Callable[[ScenarioTables, str, str], dict[int, float]]] = {
    "throughput_rps": throughputs_rps,
    "server_cpu_cores": lambda tables, variant, _: cpu_cores(tables, variant),
    "server_cpu_per_request_ms": lambda tables, variant, _: cpu_per_request_ms(tables, variant),
    ABOVE_TIMEOUT: lambda tables, variant, endpoint: shares_above_timeout(tables, variant, endpoint),
}
"""Metrics that are not read from a curve."""


def shares_above_timeout(tables: ScenarioTables, variant: str, endpoint: str) -> dict[int, float]:
    """Share of requests that took longer than HEALTH_TIMEOUT_S, by round."""
    shares = {}
    for number in tables.rounds(variant):
        observed = tables.round_latencies(variant, endpoint, number)
        share = share_above(observed, HEALTH_TIMEOUT_S * 1e6)
        if share is not None:
            shares[number] = share
    return shares
