"""Where a session's measurements go: into one run, or several where a scenario is measured under several loads.

A run holds each scenario under one load (schema.py, RUN), so that what stands side by side was asked the same. The next
measurement of a variant is its next round, and replaces one that is no evidence.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.model import Load, Scenario, ServerGroup
from bench.planning.catalogue import narrowed
from bench.planning.schedule import make_plan
from bench.results.schema import TrialRecord
from bench.running.run_record import Invocation, update_run

PROFILE = "web"


@dataclass(frozen=True)
class RunSlot:
    """Where one measurement goes."""

    run: Path
    round: int


@dataclass
class _Recorded:
    """A scenario in a run: its load, and the statuses of each variant's rounds."""

    load: Load
    rounds: dict[str, list[str]] = field(default_factory=dict)


class RunRegistry:
    """Gives every measurement its place, and enters what was measured. ``invocation`` goes into run.json."""

    def __init__(self, first: Path, seed: int, measure_s: float, invocation: Invocation) -> None:
        self._first = first
        self._seed = seed
        self._measure_s = measure_s
        self._invocation = invocation
        self._runs: dict[Path, dict[str, _Recorded]] = {first: {}}

    def place(self, scenario: str, load: Load, variant: str) -> RunSlot:
        """Where the next measurement of ``variant`` goes."""
        for run, kept in self._runs.items():
            if scenario not in kept or kept[scenario].load == load:
                statuses = kept[scenario].rounds.get(variant, []) if scenario in kept else []
                return RunSlot(run, len([status for status in statuses if status == "ok"]) + 1)
        run = self._first.with_name(f"{self._first.name}-{len(self._runs) + 1}")
        self._runs[run] = {}
        return RunSlot(run, 1)

    def close(self) -> tuple[Path, ...]:
        """The runs in which something is recorded; what else there is of others is removed."""
        for run in self._runs:
            if not (run / "run.json").is_file():
                shutil.rmtree(run, ignore_errors=True)
        return tuple(run for run in self._runs if run.is_dir())

    def enter(self, scenario: Scenario, trial: TrialRecord, place: RunSlot) -> None:
        """Note a trial that was recorded at ``place``, and declare it in the run's ``run.json``."""
        kept = self._runs[place.run].setdefault(scenario.name, _Recorded(Load(trial.load.users, trial.load.rate_rps)))
        statuses = kept.rounds.setdefault(trial.variant, [])
        statuses[place.round - 1 :] = [trial.status]
        self._declare(place.run, scenario, kept)

    def _declare(self, run: Path, scenario: Scenario, kept: _Recorded) -> None:
        measured = narrowed(scenario, tuple(kept.rounds))
        assert measured is not None
        rounds = max(len(statuses) for statuses in kept.rounds.values())
        update_run(run, make_plan(measured, kept.load, rounds, self._measure_s, self._seed), self._invocation)


def one_turn(scenario: Scenario, load: Load, place: RunSlot, measure_s: float, seed: int) -> ServerGroup:
    """The lineup of a scenario's one variant, as its round at ``place``."""
    (made,) = make_plan(scenario, load, 1, measure_s, seed).rounds
    return replace(made.groups[0], round=place.round)
