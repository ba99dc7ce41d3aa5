"""How far two identical variants differ, taking turns and one after another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from bench.calibrate.rows import ONE_AFTER_ANOTHER, TAKING_TURNS, NoiseRow
from bench.calibrate.setup import SCENARIOS, USERS, CalibrationSetup, throughputs_rps
from bench.calibrate.turn_rates import turns_log_ratio
from bench.model import Load
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.running.group import run_group

MEASURED_S = 4.0
"""For each variant and round, the same for both methods."""


def measure_noise(setup: CalibrationSetup) -> Iterator[NoiseRow]:
    """One row for each method and round."""
    together = catalogue.load("identical", SCENARIOS)
    apart = replace(together, variants=tuple(replace(variant, exclusive=True) for variant in together.variants))
    for number in range(1, setup.rounds + 1):
        for method in setup.shuffled((TAKING_TURNS, ONE_AFTER_ANOTHER), number):
            round_name = f"noise: round {number}/{setup.rounds}, {method}"
            setup.report(round_name)
            scenario = together if method == TAKING_TURNS else apart
            plan = make_plan(scenario, Load(users=USERS), 1, MEASURED_S, setup.seed + number)
            start_s = time.perf_counter()
            groups = plan.rounds[0].groups
            trials = [trial for group in groups for trial in run_group(scenario, group, setup.logs / "noise")]
            took_s = time.perf_counter() - start_s
            if throughputs_rps(setup, round_name, trials) is not None:
                first, second = (next(t for t in trials if t.variant == name) for name in ("first", "second"))
                yield NoiseRow(number, method, turns_log_ratio(setup.logs / "noise", first, second), MEASURED_S, took_s)
