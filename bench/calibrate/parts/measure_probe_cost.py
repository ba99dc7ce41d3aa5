"""What the probe costs: the throughput of a trivial endpoint with and without the probe in its server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.calibrate.rows import ProbeRow
from bench.calibrate.setup import SCENARIOS, USERS, CalibrationSetup, throughputs_rps
from bench.calibrate.turn_rates import turns_log_ratio
from bench.model import Load
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.running.group import run_group

MEASURED_S = 4.0
"""For each variant and round."""


def measure_probe_cost(setup: CalibrationSetup) -> Iterator[ProbeRow]:
    """One row for each round. The two servers take turns."""
    scenario = catalogue.load("identical", SCENARIOS)
    first = scenario.variants[0]
    variants = (
        replace(first, name="with", same_file_as="first"),
        replace(first, name="without", same_file_as="first", probed=False),
    )
    pair = replace(scenario, variants=variants)
    for number in range(1, setup.rounds + 1):
        round_name = f"probe: round {number}/{setup.rounds}"
        setup.report(round_name)
        plan = make_plan(pair, Load(users=USERS), 1, MEASURED_S, setup.seed + number)
        groups = plan.rounds[0].groups
        trials = [trial for group in groups for trial in run_group(pair, group, setup.logs / "probe")]
        if throughputs_rps(setup, round_name, trials) is not None:
            probed, plain = (next(t for t in trials if t.variant == name) for name in ("with", "without"))
            yield ProbeRow(number, turns_log_ratio(setup.logs / "probe", probed, plain), MEASURED_S)
