"""How long a group of N servers takes beyond its load: starting, waiting until ready, stopping."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from bench.calibrate.rows import OverheadRow
from bench.calibrate.setup import SCENARIOS, USERS, CalibrationSetup, throughputs_rps
from bench.model import Load
from bench.planning import catalogue
from bench.planning.schedule import make_plan
from bench.running.group import run_group

SERVERS = (1, 2, 3, 5)
MEASURED_S = 0.4


def measure_overhead(setup: CalibrationSetup) -> Iterator[OverheadRow]:
    """One row for each number of servers and round."""
    scenario = catalogue.load("identical", SCENARIOS)
    first = scenario.variants[0]
    for number in range(1, setup.rounds + 1):
        for servers in SERVERS:
            round_name = f"overhead: round {number}/{setup.rounds}, {servers} server(s)"
            setup.report(round_name)
            copies = tuple(replace(first, name=f"copy_{index}", same_file_as=first.name) for index in range(servers))
            copied = replace(scenario, variants=copies)
            plan = make_plan(copied, Load(users=USERS), 1, MEASURED_S, setup.seed + number)
            for group in plan.rounds[0].groups:
                start_s = time.perf_counter()
                trials = run_group(copied, group, setup.logs / "overhead")
                overhead_s = time.perf_counter() - start_s - group.load_s
                if throughputs_rps(setup, round_name, trials) is not None:
                    yield OverheadRow(number, servers, overhead_s)
