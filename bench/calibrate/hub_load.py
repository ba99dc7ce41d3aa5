"""Runs HubHttpUser for one turn on a URL."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from bench.calibrate.setup import CalibrationFailed, CalibrationSetup
from bench.planning.catalogue import PACKAGE
from bench.results.control_messages import LoadFailed, PlannedTurn, RunTurns, TargetRecord, TurnsDone
from bench.results.schema import TrialFacts
from bench.running.control_channel import ControlChannel

MAX_START_AND_END_S = 30.0
"""Time for Locust's start and end."""


@dataclass(frozen=True)
class HubLoad:
    """One turn: closed with ``users``, or open at ``rate_rps``."""

    warmup_s: float
    measure_s: float
    rate_rps: float = 0.0
    users: int = 1
    think_time_s: float = 0.0


def run_hub_load(setup: CalibrationSetup, url: str, load: HubLoad) -> TrialFacts:
    """The generator's facts about the turn. Its histograms are left in ``logs/hub``."""
    target = TargetRecord("null", url, str(setup.logs / "hub"))
    turn = PlannedTurn("null", 1, load.warmup_s, load.measure_s, load.think_time_s)
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url),
        *("-f", str(PACKAGE / "calibrate" / "hub_user.py")),
        *("--users", str(load.users), "--spawn-rate", str(load.users)),
        *("--rate", str(load.rate_rps), "--think-s", str(load.think_time_s)),
    ]
    with ControlChannel() as channel:
        command += ["--control-fd", str(channel.fd)]
        with setup.start(command, "hub", generator=True, pass_fds=(channel.fd,)) as locust:
            channel.handed_over()
            channel.send(RunTurns((target,), (turn,), setup.seed))
            message = channel.receive(load.warmup_s + load.measure_s + MAX_START_AND_END_S)
            if isinstance(message, TurnsDone):
                return message.facts["null"]
            reason = f": {message.reason}" if isinstance(message, LoadFailed) else ""
            raise CalibrationFailed(f"locust failed{reason}; see {locust.log}")
