"""Runs HubHttpUser for one turn on a URL."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from bench.calibrate.setup import CalibrationFailed, CalibrationSetup
from bench.planning.catalogue import PACKAGE
from bench.results import files

EXIT_WITHIN_S = 30.0
"""Locust's start and end."""


@dataclass(frozen=True)
class HubLoad:
    """One turn: closed with ``users``, or open at ``rate_rps``."""

    warmup_s: float
    measure_s: float
    rate_rps: float = 0.0
    users: int = 1
    think_time_s: float = 0.0


def run_hub_load(setup: CalibrationSetup, url: str, load: HubLoad) -> dict[str, Any]:
    """The generator's facts about the turn. Its histograms are left in ``logs/hub``."""
    lineup = setup.logs / "hub.json"
    facts = lineup.with_suffix(".facts.json")
    facts.unlink(missing_ok=True)
    turn = {
        "variant": "null",
        "rotation": 1,
        "warmup_s": load.warmup_s,
        "measure_s": load.measure_s,
        "stagger_s": load.think_time_s,
    }
    target = {"variant": "null", "url": url, "folder": str(setup.logs / "hub")}
    files.write_text(lineup, json.dumps({"targets": [target], "turns": [turn], "seed": setup.seed}))
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--host", url),
        *(
            "-f",
            str(PACKAGE / "calibrate" / "hub_user.py"),
            "--users",
            str(load.users),
            "--spawn-rate",
            str(load.users),
        ),
        *("--rate", str(load.rate_rps), "--think-s", str(load.think_time_s), "--lineup", str(lineup)),
    ]
    with setup.start(command, "hub", generator=True) as locust:
        if locust.wait(load.warmup_s + load.measure_s + EXIT_WITHIN_S) != 0:
            raise CalibrationFailed(f"locust failed; see {locust.log}")
    return dict(json.loads(facts.read_text())["targets"]["null"])
