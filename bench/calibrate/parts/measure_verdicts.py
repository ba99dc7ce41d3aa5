"""Turns of four identical variants, one that is 5 % slower and one that is 10 % slower, for trying the verdicts on.

This part reads its trials as the analysis of any run does, so it is the one that needs the analysing half. It imports
it in functions, since pandas takes seconds to import and the other parts need none.
"""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.calibrate.rows import VerdictRow
from bench.calibrate.scenarios.slowed.scenario import SLOWED_PERCENT
from bench.calibrate.setup import ENDPOINT, SCENARIOS, USERS, CalibrationFailed, CalibrationSetup
from bench.model import PROFILES, Load, Scenario, Variant
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.results.schema import MachineRecord
from bench.running.group import run_group
from bench.running.run_record import Invocation, open_run

if TYPE_CHECKING:
    from bench.analysis.tables import ScenarioTables

MEASURED_S = PROFILES["standard"].measure_s
"""For each variant and round. Rounds of the thorough profile are longer, so its runs are tried on less than they get."""
TRIED_LOOPS, TRIED_ROUNDS, TRIED_S = 30_000, 3, 4.0
"""For finding the cost of a loop. The loops take a few times as long as the request, so that noise matters less."""


def measure_verdicts(setup: CalibrationSetup) -> Iterator[VerdictRow]:
    """One row for each variant, turn and round."""
    from bench.analysis.rounds import rotation_rates
    from bench.analysis.summary import cpu_per_request_ms

    setup.report("verdicts: how much work makes a request slower")
    tables = _measured_tables(setup, _slowed(setup), "verdicts", setup.rounds, MEASURED_S)
    if tables.excluded:
        first = tables.excluded[0]
        count = len(tables.excluded)
        setup.report(f"verdicts: {count} trials are no evidence; round {first.round}: {first.reasons[0]}")
    cpu_ms = {name: cpu_per_request_ms(tables, name) for name in SLOWED_PERCENT}
    for (name, number), rates_rps in sorted(rotation_rates(tables, ENDPOINT).items(), key=lambda item: item[0][1]):
        if number not in cpu_ms[name] or not all(rate_rps > 0 for rate_rps in rates_rps.values()):
            continue
        for pass_number, rate_rps in rates_rps.items():
            yield VerdictRow(number, pass_number, name, SLOWED_PERCENT[name], rate_rps, 1e3 * cpu_ms[name][number])


def _slowed(setup: CalibrationSetup) -> Scenario:
    """The scenario, with as many loops in each variant as slow it by its percentage. A try shows what a loop costs."""
    from bench.analysis.comparisons import throughput_logs
    from bench.analysis.summary import throughputs_rps

    scenario = catalogue.load("slowed", SCENARIOS)
    loops = {"none": 0, "many": TRIED_LOOPS}
    tried = replace(scenario, variants=tuple(_looping(scenario.variants[0], name, n) for name, n in loops.items()))
    tables = _measured_tables(setup, tried, "tried", TRIED_ROUNDS, TRIED_S)
    log_ratios = throughput_logs(tables, "none", "many", ENDPOINT)
    if not log_ratios:
        raise CalibrationFailed("no round was valid; other programs may be using this machine")
    request_s = 1 / statistics.fmean(throughputs_rps(tables, "none", ENDPOINT).values())
    loop_s = request_s * math.expm1(statistics.fmean(log_ratios.values())) / TRIED_LOOPS
    if loop_s <= 0:
        raise CalibrationFailed(f"{TRIED_LOOPS} loops took no time; other programs may be using this machine")

    def loops_for(percent: int) -> int:
        """For ``percent`` less throughput, a request must take 100 / (100 - percent) times as long."""
        return round(request_s * (100 / (100 - percent) - 1) / loop_s)

    variants = tuple(_looping(each, each.name, loops_for(SLOWED_PERCENT[each.name])) for each in scenario.variants)
    return replace(scenario, variants=variants)


def _looping(variant: Variant, name: str, loops: int) -> Variant:
    return replace(variant, name=name, environment=(("LOOPS", str(loops)),))


def _measured_tables(
    setup: CalibrationSetup, scenario: Scenario, name: str, rounds: int, measure_s: float
) -> ScenarioTables:
    """Measure a run and read it as any analysis does: valid trials of complete rounds."""
    from bench.analysis.run_reader import read_run, read_scenario

    folder = setup.logs / name
    shutil.rmtree(folder, ignore_errors=True)
    plan = make_plan(scenario, Load(users=USERS), rounds, measure_s, setup.seed)
    open_run(folder, plan, Invocation("calibration", lambda *_: "", MachineRecord(), None))
    for planned in plan.rounds:
        setup.report(f"{name}: round {planned.number}/{rounds}")
        for group in planned.groups:
            run_group(scenario, group, folder)
    run = read_run(folder)
    return read_scenario(run, run.scenarios[0])
