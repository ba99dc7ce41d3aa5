"""Each round's own figure of a metric: what intervals and tests are made of. One round, one value.

rotation_rates(frames, "GET /books")    # requests/s in every turn: {("plain_def", 2): {1: 4120.0, 2: 4090.0}}
per_round(frames, "plain_def", "GET /health", "latency_p50_ms")    # {1: Bounded(value=0.9, at_least=False), ...}
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.analysis.statistics import Bounded, Floats, percentile, survival
from bench.analysis.summary import PERCENTILES, cpu_per_request_ms, lag_curve, throughputs_rps
from bench.analysis.tables import EDGE_S, ScenarioTables

RotationRates = dict[tuple[str, int], dict[int, float]]

LATENCY_KINDS = {"latency": None, "service": "service"}
"""By what a metric's name begins with: None is the endpoint's headline."""


def rotation_rates(frames: ScenarioTables, endpoint: str) -> RotationRates:
    """Requests finished a second in the measured part of every turn: {(variant, round): {rotation: requests/s}}."""
    counts = frames.counts[(frames.counts["measured"] == 1) & (frames.counts["endpoint"] == endpoint)]
    finished = dict(list(counts.groupby(["variant", "round"], observed=True, sort=False)))
    found: RotationRates = {}
    for (variant, number), turns in frames.turns.groupby(["variant", "round"], observed=True, sort=False):
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


def per_round(frames: ScenarioTables, variant: str, endpoint: str, metric: str) -> dict[int, Bounded] | None:
    """The metric's value in every round that has one; None for a metric that has no value of a round's own.

    A round with too few requests for its percentile has none (statistics.samples_needed).
    """
    if metric in COUNTED:
        return {number: Bounded(value, False) for number, value in COUNTED[metric](frames, variant, endpoint).items()}
    prefix, _, name = metric.removesuffix("_ms").rpartition("_")
    if name not in PERCENTILES or prefix not in (*LATENCY_KINDS, "loop_lag"):
        return None
    if prefix == "loop_lag":
        rows = frames.server[(frames.server["variant"] == variant) & frames.server["measured"]]
        curves = {int(str(number)): lag_curve(part) for number, part in rows.groupby("round")}
    else:
        kind = LATENCY_KINDS[prefix]
        curves = {
            number: survival(frames.round_latencies(variant, endpoint, number, kind))
            for number in frames.rounds(variant)
        }
    values = {number: percentile(curve, PERCENTILES[name]) for number, curve in curves.items()}
    return {number: Bounded(v.value / 1e3, v.at_least) for number, v in values.items() if v is not None}


COUNTED: dict[str, Callable[[ScenarioTables, str, str], dict[int, float]]] = {
    "throughput_rps": throughputs_rps,
    "server_cpu_per_request_ms": lambda frames, variant, _: cpu_per_request_ms(frames, variant),
}
"""What is counted and not read from a curve."""
