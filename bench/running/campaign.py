"""All lineups of a run's scenario, round by round, with resume. What is measured, and how it is shown, comes in."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.model import Plan, Round, ServerGroup
from bench.model.errors import UsageError
from bench.results import files, layout
from bench.results.schema import TrialRecord


class CampaignObserver(Protocol):
    """Is told how a campaign goes, to show it."""

    def planned(self, rounds: list[Round], kept: int) -> None:
        """These rounds will be measured; so many were already there."""

    def lineup(self, lineup: ServerGroup) -> None:
        """This lineup comes next."""

    def phase(self, word: str) -> None:
        """It is starting, loading or stopping."""

    def measured(self, lineup: ServerGroup, trials: list[TrialRecord]) -> None:
        """It has ended, with these trials."""


@dataclass(frozen=True)
class Outcome:
    """What a campaign measured now, and what it found done."""

    trials: tuple[TrialRecord, ...]
    rounds_kept: int

    @property
    def not_ok(self) -> tuple[TrialRecord, ...]:
        """Trials that are failed or invalid."""
        return tuple(trial for trial in self.trials if trial.status != "ok")


Measure = Callable[[ServerGroup, Callable[[str], None]], list[TrialRecord]]


def run_campaign(
    plan: Plan, run: Path, measure: Measure, watch: CampaignObserver, fresh: Callable[[], None] = lambda: None
) -> Outcome:
    """Measure every round of ``plan`` that ``run`` does not have yet.

    A round that was cut short is measured again whole, so that its comparisons stay paired. ``fresh`` is called before
    each: it puts the services that the scenario needs back to their first state.
    """
    missing = [made for made in plan.rounds if not round_is_complete(run, plan, made)]
    kept = len(plan.rounds) - len(missing)
    watch.planned(missing, kept)
    trials: list[TrialRecord] = []
    for made in missing:
        _forget(run, plan, made)
        fresh()
        for lineup in made.groups:
            watch.lineup(lineup)
            measured = measure(lineup, watch.phase)
            watch.measured(lineup, measured)
            trials += measured
    return Outcome(tuple(trials), kept)


def round_is_complete(run: Path, plan: Plan, made: Round) -> bool:
    """Whether every variant has its record of the round, and it can be read."""
    return all(_is_recorded(folder) for folder in _folders(run, plan, made))


def _is_recorded(folder: Path) -> bool:
    try:
        trial = files.read_record(folder / "trial.json", TrialRecord)
        files.check_files(folder, trial.files)
    except files.BrokenFile:  # cut short, or changed
        return False
    return True


def _folders(run: Path, plan: Plan, made: Round) -> list[Path]:
    return [layout.trial_folder(run, plan.scenario.name, name, made.load.name, made.number) for name in plan.variants]


def _forget(run: Path, plan: Plan, made: Round) -> None:
    for folder in _folders(run, plan, made):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def measurement_lock(results: Path) -> Iterator[None]:
    """Hold the results folder for measuring; UsageError where another harness measures: each would spoil the other."""
    with (results / ".measuring").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another measurement into {results} is under way; two at once spoil each other") from None
        yield
