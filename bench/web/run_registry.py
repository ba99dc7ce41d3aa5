"""Where the measurements of the web UI are recorded: in one run, or in several when the load of a scenario changes.

A run holds each scenario under one load, so that its figures can be compared. The next measurement of a variant is its
next round. It replaces one that is not valid.
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
    """Gives every measurement its slot, and records what was measured. ``invocation`` goes into run.json."""

    def __init__(self, first: Path, seed: int, measure_s: float, invocation: Invocation) -> None:
        self._first = first
        self._seed = seed
        self._measure_s = measure_s
        self._invocation = invocation
        self._runs: dict[Path, dict[str, _Recorded]] = {first: {}}

    def slot(self, scenario: str, load: Load, variant: str) -> RunSlot:
        """Where the next measurement of ``variant`` goes."""
        for run, recorded in self._runs.items():
            if scenario not in recorded or recorded[scenario].load == load:
                statuses = recorded[scenario].rounds.get(variant, []) if scenario in recorded else []
                return RunSlot(run, len([status for status in statuses if status == "ok"]) + 1)
        run = self._first.with_name(f"{self._first.name}-{len(self._runs) + 1}")
        self._runs[run] = {}
        return RunSlot(run, 1)

    def close(self) -> tuple[Path, ...]:
        """The runs in which something is recorded. Folders of other runs are removed."""
        for run in self._runs:
            if not (run / "run.json").is_file():
                shutil.rmtree(run, ignore_errors=True)
        return tuple(run for run in self._runs if run.is_dir())

    def add(self, scenario: Scenario, trial: TrialRecord, slot: RunSlot) -> None:
        """Record a trial in its ``slot``, and declare it in the run's ``run.json``."""
        recorded = self._runs[slot.run].setdefault(
            scenario.name, _Recorded(Load(trial.load.users, trial.load.rate_rps))
        )
        statuses = recorded.rounds.setdefault(trial.variant, [])
        statuses[slot.round - 1 :] = [trial.status]
        self._declare(slot.run, scenario, recorded)

    def _declare(self, run: Path, scenario: Scenario, recorded: _Recorded) -> None:
        measured = narrowed(scenario, tuple(recorded.rounds))
        assert measured is not None
        rounds = max(len(statuses) for statuses in recorded.rounds.values())
        update_run(run, make_plan(measured, recorded.load, rounds, self._measure_s, self._seed), self._invocation)


def single_turn_group(scenario: Scenario, load: Load, slot: RunSlot, measure_s: float, seed: int) -> ServerGroup:
    """The group of a scenario with one variant, as the round of ``slot``."""
    (made,) = make_plan(scenario, load, 1, measure_s, seed).rounds
    return replace(made.groups[0], round=slot.round)
